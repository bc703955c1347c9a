"""What an operation was: who was served, what became of every bit, what alarms there were. Read by programs.

Frozen, no NaN; times are UTC, bits whole. The sums of each link and each pair add up, and say so themselves.
"""

import msgspec

from satqkd.errors import LocalProtocolError


class PairService(msgspec.Struct, frozen=True, kw_only=True):
    """One pair over the horizon."""

    pair: str
    ends: tuple[str, str]
    satellites: int
    """Over how many its key is combined."""
    demand_bit_s: float
    wanted_bits: int
    used_bits: int
    share: float
    """Of the demand that was met; 1 where there is none."""
    share_of_periods: float
    """In which all of the demand was met."""
    lowest_bits: int
    """Of its store at the end of a period."""
    longest_empty_s: float
    """Periods in a row at whose ends its store was empty."""
    relayed_bits: int
    """By all satellites."""
    combined_bits: int
    """Of these, taken by combinations, with tags; 0 for key over one satellite."""
    waiting_bits: int
    """Of these, not combined at the end."""
    key_bits: int
    """That it could use: what was relayed, or what combinations gave."""
    left_bits: int
    """Unused at the end."""

    def __post_init__(self) -> None:
        several = self.satellites > 1
        given = self.combined_bits + self.waiting_bits if several else self.key_bits
        _require_sum(f"pair {self.pair}: relayed", self.relayed_bits, given)
        _require_sum(f"pair {self.pair}: key", self.key_bits, self.used_bits + self.left_bits)
        if not 0 <= self.used_bits <= self.wanted_bits:
            raise LocalProtocolError(f"pair {self.pair}: {self.used_bits} of {self.wanted_bits} bits used")

    @property
    def unmet_bits(self) -> int:
        """Demand for which there was no key."""
        return self.wanted_bits - self.used_bits


class LinkService(msgspec.Struct, frozen=True, kw_only=True):
    """One satellite and one station: what came is in one of the others, to the bit."""

    satellite: str
    station: str
    key_bits: int
    """That contacts brought."""
    overflow_bits: int
    """For which the store on board had no room."""
    relayed_bits: int
    tag_bits: int
    """Of relays."""
    expired_bits: int
    left_bits: int

    def __post_init__(self) -> None:
        parts = self.overflow_bits + self.relayed_bits + self.tag_bits + self.expired_bits + self.left_bits
        _require_sum(f"link {self.satellite} {self.station}", self.key_bits, parts)

    @property
    def lost_bits(self) -> int:
        """Given up."""
        return self.overflow_bits + self.expired_bits


class SatelliteService(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts of one satellite."""

    satellite: str
    contacts: int
    """Scheduled and flown."""
    cloudy: int
    """Of these, without key for clouds."""
    contact_s: float
    """Of all of them."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's store below its low mark, at the ends of periods."""

    pair: str
    begin_utc: str
    end_utc: str | None
    """None: it lasted to the end."""
    lowest_bits: int


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule operated under one sampled sky."""

    name: str
    seed: int
    method: str
    start_utc: str
    duration_s: float
    period_s: float
    window_s: float
    windows: int
    """How often contacts were chosen."""
    gap: float | None
    """The largest of a window's search: of its objective to what no choice exceeds. None: a method without
    bounds, or no plan that was worth anything."""
    pairs: tuple[PairService, ...]
    links: tuple[LinkService, ...]
    """Those that brought key."""
    satellites: tuple[SatelliteService, ...]
    alarms: tuple[Alarm, ...]
    levels: tuple[tuple[int, ...], ...]
    """Bits in the store of each pair at the end of each period."""

    @property
    def share(self) -> float:
        """Of the demand of all pairs that was met; 1 where there is none."""
        wanted = sum(each.wanted_bits for each in self.pairs)
        return sum(each.used_bits for each in self.pairs) / wanted if wanted else 1.0

    @property
    def worst_share(self) -> float:
        """Of the pair with the least."""
        return min((each.share for each in self.pairs), default=1.0)


def _require_sum(what: str, total: int, parts: int) -> None:
    if total != parts:
        raise LocalProtocolError(f"{what}: {total} bits came and {parts} are accounted for")
