"""A plan of faults for one pass: processes killed, the laser link cut, at pass times fixed beforehand.

The emulator says when, for it is time master; the launcher does it, for it started the processes. A node is
killed in the middle of a tick: it is granted the tick, killed at once, and what it answers is not taken. So
it may die before, in or after any commit of that tick. Draws nothing and knows no key.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import ConfigError
from satqkd.mission.terminal import TICKS_PER_S

Victim = Literal["satellite", "station"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault. Raises ConfigError where its fields do not go together."""

    at_s: float
    """Pass time."""
    what: Literal["kill", "cut"]
    """`kill`: end a process with signal 9 and start it again; `cut`: nothing crosses the laser link."""
    role: Victim | None = None
    """Who is killed."""
    down_s: Annotated[float, Meta(ge=0)] = 0.0
    """Pass time that goes by before the process is started again."""
    for_s: Annotated[float, Meta(ge=0)] = 0.0
    """Length of a cut."""

    def __post_init__(self) -> None:
        if (self.what == "kill") != (self.role is not None):
            raise ConfigError(
                f"faults at {self.at_s:g} s: expected a role with what = kill and none with cut, got "
                f"{self.role!r} with {self.what}"
            )
        if self.what == "cut" and not self.for_s > 0:
            raise ConfigError(f"faults at {self.at_s:g} s: expected for_s > 0 of a cut, got {self.for_s:g}")

    @property
    def first_tick(self) -> int:
        """Of the fault."""
        return round(self.at_s * TICKS_PER_S)

    @property
    def end_tick(self) -> int:
        """The first tick on which it is over: the node is started again, or the link is back."""
        return max(self.first_tick + 1, round((self.at_s + self.down_s + self.for_s) * TICKS_PER_S))


def cuts(faults: Iterable[Fault]) -> Iterator[tuple[float, float]]:
    """Stretches of pass time without a laser link: (from, to)."""
    return ((each.at_s, each.at_s + each.for_s) for each in faults if each.what == "cut")


def kills(faults: Iterable[Fault], tick: int) -> list[Victim]:
    """Who is killed on a tick."""
    return [each.role for each in faults if each.role is not None and each.first_tick == tick]


def starts(faults: Iterable[Fault], tick: int) -> list[Victim]:
    """Who is started again on a tick."""
    return [each.role for each in faults if each.role is not None and each.end_tick == tick]
