"""What a planner answers: contacts that are flown, key of each pair, what is relayed when. Read by programs.

Frozen, no NaN; times are UTC. An objective stands with the bound that was proved for it.
"""

import msgspec


class PlannedContact(msgspec.Struct, frozen=True, kw_only=True):
    """One pass that is flown."""

    satellite: str
    station: str
    start_utc: str
    end_utc: str
    max_elevation_rad: float
    key_bits: float
    """Expected of this pass with a clear sky."""
    clear_probability: float
    period: int
    """In whose books its key comes in, from 0."""


class PlannedRelay(msgspec.Struct, frozen=True, kw_only=True):
    """Key of two links of a satellite that becomes key of a pair."""

    satellite: str
    pair: str
    period: int
    """At whose end it is relayed."""
    key_bits: float


class PairKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair is expected to get."""

    pair: str
    ends: tuple[str, str]
    key_bits: float
    by_date_bits: float
    """Until the date of its demand; all of it where there is none."""
    demand_bits: float | None = None
    relayed_bits: dict[str, float]
    """By satellite."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with what it is worth."""

    name: str
    objective_name: str
    objective: float
    bound: float
    """No plan of this model is worth more."""
    gap: float
    """(bound - objective) / objective."""
    method: str
    status: str
    start_utc: str
    period_s: float
    contacts: tuple[PlannedContact, ...]
    relays: tuple[PlannedRelay, ...]
    pairs: tuple[PairKey, ...]
    passes: int
    """That could have been chosen."""
    time_s: float
    """Of computing."""
