"""The OpenAPI document against the running server, by schemathesis: what it says holds, whatever is sent."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from delivery_cases import LOCAL, Kme, files_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from satqkd.delivery.app import default_routes

EXAMPLES = 30
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture
def kme(start: Callable[..., Kme]) -> Kme:
    return start("beijing", serve={"skip": True}, limits={"requests_per_s": 1e6, "burst": 1_000_000})


def operation_of(kme: Kme, name: str) -> Any:
    """One operation of the document that the server gives."""
    schema: Any = schemathesis.openapi.from_dict(kme.ask("GET", "/openapi.json").body)
    schema.config.base_url = kme.address.url.replace("127.0.0.1", "localhost")
    found = [each.ok() for each in schema.get_all_operations()]
    return next(each for each in found if each.definition.raw["operationId"] == name)


def session_of(kme: Kme) -> requests.Session:
    """Mutual TLS as an application."""
    session = requests.Session()
    session.cert = tuple(str(each) for each in files_of(kme.folder, LOCAL))
    session.verify = str(kme.folder / "authority.crt")
    return session


ROUTES = default_routes(skip=True)
WRONG = [(route.operation, "negative") for route in ROUTES if route.query or route.body]
"""What has no query and no body cannot be asked wrongly."""


@pytest.mark.parametrize(("name", "mode"), [(route.operation, "positive") for route in ROUTES] + WRONG)
def test_what_the_document_says_holds(kme: Kme, name: str, mode: str) -> None:
    operation, session = operation_of(kme, name), session_of(kme)
    cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=cases, known=st.booleans())
    def run(case: Any, known: bool) -> None:
        if known and mode == "positive":
            for parameters in (case.path_parameters, case.query):
                for each in {"slave_SAE_ID", "master_SAE_ID", "remoteSystemID"} & set(parameters or {}):
                    parameters[each] = LOCAL
        case.call_and_validate(session=session, checks=CHECKS, verify=session.verify)

    run()


def test_every_path_that_is_served_is_in_the_document(kme: Kme) -> None:
    document = kme.ask("GET", "/openapi.json").body
    told = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert told == {(route.method, route.path) for route in ROUTES}
    assert document["openapi"].startswith("3.1")
    asked = document["components"]["schemas"]["GetKey"]["properties"]
    assert (asked["number"]["maximum"], asked["size"]["multipleOf"]) == (128, 8)
