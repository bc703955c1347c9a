"""What the pictures of a plan are drawn from: the plan as JSON tells it, places, tracks, skies, levels.

Checked once: names that belong together are there. Fields of the plan that are not shown are ignored. Knows
no planner and no file.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import DAY_S
from satqkd.errors import DataFormatError, nearest
from satqkd.show.plan_parts import Coverage, GroundTrack, Place, StationSky, StoreLevels
from satqkd.sky import parse_utc

Array = NDArray[np.float64]


class ContactView(msgspec.Struct, frozen=True, kw_only=True):
    """One pass that is flown."""

    satellite: str
    station: str
    start_utc: str
    end_utc: str
    max_elevation_rad: float
    key_bits: float
    """With a clear sky."""
    clear_probability: float


class PairView(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair is expected to get."""

    pair: str
    ends: tuple[str, str]
    """Stations."""
    key_bits: float
    by_date_bits: float
    demand_bits: float | None = None
    relayed_bits: dict[str, float] = {}
    """By satellite."""


class PlanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as `satqkd plan --json` prints it, the fields that are shown."""

    name: str
    objective_name: str
    objective: float
    """Bits; a share of what is demanded under `demand`."""
    bound: float
    gap: float
    method: str
    status: str
    start_utc: str
    contacts: tuple[ContactView, ...]
    pairs: tuple[PairView, ...]
    passes: int
    time_s: float


class PlanView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Everything that pictures and report show. Made by `view_of_plan`, which checks it."""

    plan: PlanFacts
    duration_s: float
    stations: tuple[Place, ...]
    satellites: tuple[str, ...]
    tracks: tuple[GroundTrack, ...] = ()
    coverage: Coverage | None = None
    skies: tuple[StationSky, ...] | None = None
    """None: the sky is always clear."""
    levels: tuple[StoreLevels, ...] = ()
    assumed: tuple[str, ...] = ()
    """Sentences."""

    @property
    def span(self) -> str:
        """Its length in words."""
        return f"{self.days:.4g} day{'' if self.days == 1 else 's'}"

    @property
    def days(self) -> float:
        """Length of the plan."""
        return self.duration_s / DAY_S


def view_of_plan(
    plan: dict[str, Any],
    *,
    duration_s: float,
    stations: Sequence[Place],
    satellites: Sequence[str],
    tracks: Sequence[GroundTrack] = (),
    coverage: Coverage | None = None,
    skies: Sequence[StationSky] | None = None,
    levels: Sequence[StoreLevels] = (),
    assumed: Sequence[str] = (),
) -> PlanView:
    """A plan's JSON put together with what it does not hold.

    Raises DataFormatError for what is no plan, for contacts, pairs and skies of stations or satellites that
    are not listed, and for contacts that end before they begin.
    """
    try:
        facts = msgspec.convert(plan, PlanFacts)
    except msgspec.ValidationError as error:
        raise DataFormatError(f"plan: expected what `satqkd plan --json` prints, got {error}") from None
    known, craft = [each.name for each in stations], list(satellites)
    _require_known("station", (each.station for each in facts.contacts), known)
    _require_known("station", (end for each in facts.pairs for end in each.ends), known)
    _require_known("station", (each.station for each in skies or ()), known)
    _require_known("satellite", (each.satellite for each in facts.contacts), craft)
    _require_known("satellite", (each.satellite for each in tracks), craft)
    for each in facts.contacts:
        if not parse_utc(each.start_utc) < parse_utc(each.end_utc):
            raise DataFormatError(
                f"plan, contact of {each.satellite} over {each.station}: expected an end after its start, "
                f"got {each.start_utc} to {each.end_utc}"
            )
    return PlanView(
        plan=facts,
        duration_s=duration_s,
        stations=tuple(stations),
        satellites=tuple(satellites),
        tracks=tuple(tracks),
        coverage=coverage,
        skies=None if skies is None else tuple(skies),
        levels=tuple(levels),
        assumed=tuple(assumed),
    )


def contact_times_s(view: PlanView) -> tuple[Array, Array]:
    """Begin and end of each contact in seconds after the plan's start, shape (n,) each."""
    start = parse_utc(view.plan.start_utc)

    def column(name: str) -> Array:
        return np.array(
            [(parse_utc(getattr(each, name)) - start).total_seconds() for each in view.plan.contacts],
            dtype=np.float64,
        )

    return column("start_utc"), column("end_utc")


def _require_known(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise DataFormatError(f"plan: expected a known {what}, got {name!r}; {near or 'give its place'}")
