"""What a request and a policy demand of a key's way: nodes to be avoided, how many would have to collude.

The extension parameters `satqkd_avoid_nodes` (list of node names) and `satqkd_colluders` (a whole
number), the only ones that are known. No supply, no HTTP.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.delivery.refusals import MANDATORY_UNKNOWN, bad_request
from satqkd.delivery.settings import Policy
from satqkd.delivery.wire import Extension

AVOID_NODES: Final = "satqkd_avoid_nodes"
COLLUDERS: Final = "satqkd_colluders"
KNOWN: Final = (AVOID_NODES, COLLUDERS)
_Names = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=64)]
_Count = Annotated[int, Meta(ge=1, le=16)]


class Demands(msgspec.Struct, frozen=True):
    """Of one key's way."""

    avoid: frozenset[str] = frozenset()
    colluders: int = 1

    def __or__(self, other: "Demands") -> "Demands":
        """Both."""
        return Demands(self.avoid | other.avoid, max(self.colluders, other.colluders))


NONE: Final = Demands()


def of_policy(policy: Policy) -> Demands:
    """What the settings demand."""
    return Demands(frozenset(policy.avoid_nodes), policy.colluders)


def mandatory(extensions: Iterable[Extension]) -> Demands:
    """What a request demands. Raises Refusal (400) on a parameter that is not known or not understood."""
    demands = NONE
    for name, value in _parameters(extensions):
        if name not in KNOWN:
            raise bad_request(MANDATORY_UNKNOWN, **{name[:100]: "not known"})
        try:
            demands |= _read(name, value)
        except msgspec.ValidationError as error:
            raise bad_request(f"extension_mandatory: {name}: {str(error)[:200]}") from None
    return demands


def optional(extensions: Iterable[Extension]) -> Demands:
    """What a request wishes; what is not known or not understood is left out."""
    demands = NONE
    for name, value in _parameters(extensions):
        try:
            demands |= _read(name, value) if name in KNOWN else NONE
        except msgspec.ValidationError:
            continue
    return demands


def _parameters(extensions: Iterable[Extension]) -> Iterable[tuple[str, msgspec.Raw]]:
    return ((name, value) for extension in extensions for name, value in extension.items())


def _read(name: str, value: msgspec.Raw) -> Demands:
    if name == AVOID_NODES:
        return Demands(frozenset(msgspec.json.decode(value, type=_Names)))
    return Demands(colluders=msgspec.json.decode(value, type=_Count))
