"""The interface as an OpenAPI 3.1 document, made of the table of routes and of the structs on the wire."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

import satqkd
from satqkd.delivery.refusals import ErrorBody
from satqkd.delivery.routes import Parameter, Route
from satqkd.delivery.settings import Limits

_REFERENCES: Final = "#/components/schemas/{name}"
_STATUSES: Final = {
    "400": "What was asked for is malformed, beyond a limit, or not there",
    "401": "The caller may not have it",
    "503": "No key is left, or the server cannot answer now",
}
Table = dict[str, Any]


def document(routes: Sequence[Route], limits: Limits) -> bytes:
    """The document as JSON."""
    types = [
        ErrorBody,
        *dict.fromkeys(each for route in routes for each in (route.body, route.answer) if each),
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCES)
    of_type = dict(zip(types, schemas, strict=True))
    _limit(components, limits)
    paths: Table = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_type)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "satqkd key delivery, ETSI GS QKD 014 V1.1.1", "version": satqkd.__version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"certificate": {"type": "mutualTLS"}}},
        "security": [{"certificate": []}],
    }
    return msgspec.json.encode(whole)


def _limit(components: Table, limits: Limits) -> None:
    """What the settings allow, where the standard leaves it open."""
    if "GetKey" in components:
        asked = components["GetKey"]["properties"]
        asked["number"]["maximum"] = limits.max_keys
        asked["size"] |= {"minimum": limits.min_key_bits, "maximum": limits.max_key_bits, "multipleOf": 8}
        asked["additional_slave_SAE_IDs"]["maxItems"] = limits.max_additional_slaves
    if "KeyIds" in components:
        components["KeyIds"]["properties"]["key_IDs"]["maxItems"] = limits.max_keys


def _operation(route: Route, of_type: dict[type, Table]) -> Table:
    parameters = [_path_parameter(name) for name in _names(route.path)] + [
        _query(each) for each in route.query
    ]
    told = {"description": route.summary, "content": _json(of_type[route.answer])}
    errors = {
        status: {"description": words, "content": _json(of_type[ErrorBody])}
        for status, words in _STATUSES.items()
    }
    operation: Table = {
        "operationId": route.operation,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {"200": told, **errors},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": route.body_required, "content": _json(of_type[route.body])}
    return operation


def _names(path: str) -> Iterable[str]:
    return (part[1:-1] for part in path.split("/") if part.startswith("{"))


def _path_parameter(name: str) -> Table:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query(parameter: Parameter) -> Table:
    schema = msgspec.json.schema(parameter.kind)
    return {"name": parameter.name, "in": "query", "required": parameter.required, "schema": schema}


def _json(schema: Table) -> Table:
    return {"application/json": {"schema": schema}}
