"""SKIP (draft-cisco-skip-02) over the same core: a thin adapter.

Its system ids are the SAE ids of the settings: the caller's own is `localSystemID`, every other is a
`remoteSystemID`. Key ids are the same UUIDs, written as 32 hexadecimal digits. Keys are hexadecimal.
"""

from typing import Final

import msgspec

from satqkd.delivery.desk import Desk, Wish
from satqkd.delivery.refusals import NOT_FOUND, bad_request
from satqkd.delivery.routes import Answer, Call, Parameter, Route
from satqkd.delivery.wire import integer, key_id, query_of
from satqkd.keys.supply_door import KeyBatch

ENTROPY_BITS: Final = 256
"""Where a request names none."""
MOST_ENTROPY_BITS: Final = 65_536
ALGORITHM: Final = "QKD"


class Capabilities(msgspec.Struct, frozen=True):
    """What the key provider offers the caller."""

    entropy: bool
    key: bool
    algorithm: str
    localSystemID: str  # noqa: N815 - the draft's spelling
    remoteSystemID: list[str]  # noqa: N815


class SkipKey(msgspec.Struct, frozen=True):
    """One key; the type of the answer, never made here: see `_told`."""

    keyId: str  # noqa: N815
    key: str
    """Hexadecimal."""


class Entropy(msgspec.Struct, frozen=True):
    """Random bits."""

    randomStr: str  # noqa: N815
    """Hexadecimal."""
    minentropy: int
    """In bits."""


async def get_capabilities(desk: Desk, call: Call) -> Answer:
    """What is offered."""
    query_of(call.query, ())
    others = [name for name in desk.roster.applications if name != call.caller]
    return Answer(msgspec.json.encode(Capabilities(True, True, ALGORITHM, call.caller, others)))


async def get_new_key(desk: Desk, call: Call) -> Answer:
    """A new key for the caller and a remote system."""
    query = query_of(call.query, ("remoteSystemID", "size"))
    size = integer("size", query["size"]) if "size" in query else None
    wish = Wish(master=call.caller, slave=_remote(query), size_bits=size)
    return _told(await desk.draw(wish))


async def get_known_key(desk: Desk, call: Call) -> Answer:
    """A key that the remote system drew for the caller."""
    query = query_of(call.query, ("remoteSystemID",))
    [batch] = await desk.fetch(call.caller, _remote(query), [_dashed(call.name)])
    return _told(batch)


async def get_entropy(desk: Desk, call: Call) -> Answer:
    """Random bits of the operating system, not of key."""
    query = query_of(call.query, ("minentropy",))
    bits = integer("minentropy", query["minentropy"]) if query else ENTROPY_BITS
    if not 1 <= bits <= MOST_ENTROPY_BITS:
        raise bad_request(f"minentropy: expected 1 to {MOST_ENTROPY_BITS} bits, got {bits}")
    return Answer(msgspec.json.encode(Entropy(desk.randbytes(-(-bits // 8)).hex(), bits)))


def _remote(query: dict[str, str]) -> str:
    name = query.get("remoteSystemID", "")
    if not name:
        raise bad_request("expected remoteSystemID in the query, got none")
    return name


def _dashed(text: str) -> str:
    """A UUID of 32 digits, or written as a UUID already."""
    if len(text) == 32:
        text = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    try:
        return key_id(text)
    except Exception:
        raise bad_request(NOT_FOUND) from None


def _told(batch: KeyBatch) -> Answer:
    name = batch.ids[0].replace("-", "")
    with batch.keys as secret:
        body = b'{"keyId":"%b","key":"%b"}' % (name.encode(), secret.expose().hex().encode())
    return Answer(body, 1, batch.size_bits)


_REMOTE: Final = Parameter("remoteSystemID", str, required=True)
SKIP: Final = (
    Route("getCapabilities", "GET", "/capabilities", get_capabilities, "What is offered", Capabilities),
    Route(
        "getNewKey", "GET", "/key", get_new_key, "A new key for the caller and a remote system", SkipKey,
        query=(_REMOTE, Parameter("size", int)),
    ),
    Route(
        "getKnownKey", "GET", "/key/{keyId}", get_known_key, "A key that the remote system drew", SkipKey,
        query=(_REMOTE,),
    ),
    Route("getEntropy", "GET", "/entropy", get_entropy, "Random bits", Entropy,
          query=(Parameter("minentropy", int),)),
)  # fmt: skip
