"""The three methods of ETSI GS QKD 014 V1.1.1, and what KMEs tell each other, as one table of thin handlers.

The table is what the server dispatches by and what the OpenAPI document is made of. A handler parses, asks
the desk and serialises. No socket here.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from satqkd.delivery import demands
from satqkd.delivery.desk import Desk, Wish
from satqkd.delivery.peers import ENTITLE_PATH, Entitle, Entitled
from satqkd.delivery.refusals import bad_request
from satqkd.delivery.wire import (
    GetKey,
    KeyContainer,
    KeyIds,
    Status,
    container,
    decoded,
    integer,
    key_id,
    query_of,
)
from satqkd.keys.supply_door import KeyBatch

Asker = Literal["sae", "kme", "node"]
"""Sorts of callers."""


class Call(NamedTuple):
    """One request, of an application that is known."""

    caller: str
    name: str
    """The name in the path, decoded; empty where the path has none."""
    query: str
    body: bytes
    content_type: str


class Answer(NamedTuple):
    """What goes back, with status 200."""

    body: bytes
    keys: int = 0
    bits: int = 0
    """Of all keys in it."""


class Parameter(NamedTuple):
    """One parameter of a query, as documented."""

    name: str
    kind: type | Any
    required: bool = False


class Route(NamedTuple):
    """One method of one path."""

    operation: str
    method: str
    path: str
    """With at most one `{name}`, a whole segment."""
    handler: Callable[[Desk, Call], Awaitable[Answer]]
    summary: str
    answer: type
    query: tuple[Parameter, ...] = ()
    body: type | None = None
    body_required: bool = False
    asked_by: Asker = "sae"
    """Applications, other KMEs, or nodes that make key."""
    body_bytes: int | None = None
    """The longest body; None: what the limits say."""


async def get_status(desk: Desk, call: Call) -> Answer:
    """Status."""
    query_of(call.query, ())
    return Answer(msgspec.json.encode(await desk.status(call.caller, call.name)))


async def get_keys(desk: Desk, call: Call) -> Answer:
    """Keys by GET: number and size alone."""
    query = query_of(call.query, ("number", "size"))
    count = integer("number", query["number"]) if "number" in query else 1
    size = integer("size", query["size"]) if "size" in query else None
    return told([await desk.draw(Wish(master=call.caller, slave=call.name, count=count, size_bits=size))])


async def post_keys(desk: Desk, call: Call) -> Answer:
    """Keys by POST; an empty body asks for one key of the default size."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, GetKey) if call.body else GetKey()
    wish = Wish(
        master=call.caller,
        slave=call.name,
        more_slaves=tuple(asked.additional_slave_SAE_IDs),
        count=asked.number,
        size_bits=None if asked.size is msgspec.UNSET else asked.size,
        mandatory=demands.mandatory(asked.extension_mandatory),
        optional=demands.optional(asked.extension_optional),
    )
    return told([await desk.draw(wish)])


async def get_key_by_id(desk: Desk, call: Call) -> Answer:
    """One key that a master drew, by GET."""
    query = query_of(call.query, ("key_ID",))
    if not query:
        raise bad_request("expected a query of key_ID, got none")
    return told(await desk.fetch(call.caller, call.name, [key_id(query["key_ID"])]))


async def post_key_ids(desk: Desk, call: Call) -> Answer:
    """Keys that a master drew."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, KeyIds)
    return told(await desk.fetch(call.caller, call.name, [each.key_ID.lower() for each in asked.key_IDs]))


async def post_entitle(desk: Desk, call: Call) -> Answer:
    """Slaves of this KME that may fetch what a master at the asking KME drew."""
    query_of(call.query, ())
    asked = decoded(call.body, call.content_type, Entitle)
    await desk.entitle(call.caller, asked)
    return Answer(msgspec.json.encode(Entitled(len(asked.key_IDs))))


def told(batches: list[KeyBatch]) -> Answer:
    """Keys as a Key container; the batches are wiped."""
    keys = sum(len(batch.ids) for batch in batches)
    bits = sum(len(batch.ids) * batch.size_bits for batch in batches)
    return Answer(container(batches), keys, bits)


_KEYS: Final = "/api/v1/keys"
ETSI: Final = (
    Route(
        "getStatus", "GET", f"{_KEYS}/{{slave_SAE_ID}}/status", get_status,
        "What the caller may draw for a slave", Status,
    ),
    Route(
        "getKey", "GET", f"{_KEYS}/{{slave_SAE_ID}}/enc_keys", get_keys,
        "New keys for the caller and a slave", KeyContainer,
        query=(Parameter("number", int), Parameter("size", int)),
    ),
    Route(
        "postKey", "POST", f"{_KEYS}/{{slave_SAE_ID}}/enc_keys", post_keys,
        "New keys for the caller and one slave or more", KeyContainer, body=GetKey,
    ),
    Route(
        "getKeyWithId", "GET", f"{_KEYS}/{{master_SAE_ID}}/dec_keys", get_key_by_id,
        "A key that a master drew for the caller", KeyContainer,
        query=(Parameter("key_ID", str, required=True),),
    ),
    Route(
        "postKeyWithIds", "POST", f"{_KEYS}/{{master_SAE_ID}}/dec_keys", post_key_ids,
        "Keys that a master drew for the caller", KeyContainer, body=KeyIds, body_required=True,
    ),
    Route(
        "postEntitle", "POST", ENTITLE_PATH, post_entitle,
        "Between KMEs: several slaves may fetch keys", Entitled, body=Entitle, body_required=True,
        asked_by="kme",
    ),
)  # fmt: skip


class Table:
    """Routes found by path and method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._paths: dict[int, list[tuple[list[str], dict[str, Route]]]] = {}
        for route in routes:
            parts = route.path.split("/")
            known = self._paths.setdefault(len(parts), [])
            methods = next((methods for each, methods in known if each == parts), None)
            if methods is None:
                methods = {}
                known.append((parts, methods))
            methods[route.method] = route

    def find(self, raw_path: str) -> tuple[dict[str, Route], str] | None:
        """Routes of a path by method, and the name in it as it stands, percent-encoded; None for no path."""
        parts = raw_path.split("/")
        for template, methods in self._paths.get(len(parts), []):
            name = ""
            for wanted, got in zip(template, parts, strict=True):
                if wanted[:1] == "{":
                    name = got
                elif wanted != got:
                    break
            else:
                return methods, name
        return None
