"""Passes and their key summed up: by night, month, elevation, terminal; under higher masks; by pools.

A row is a dictionary of text, numbers and truth, the same in tables, on the terminal and in JSON.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.planner import clear_probability
from satqkd.plan.yields_pools import Pools
from satqkd.plan.yields_spread import KeySpread
from satqkd.sky import format_utc

Floats = NDArray[np.float64]
Row = dict[str, Any]

NIGHT_CLASSES: Final = ("night", "astronomical", "nautical", "civil", "day")
_NIGHT_EDGES_RAD: Final = np.radians([-18.0, -12.0, -6.0, -0.833])
"""Of the Sun's elevation; the last is its upper limb on a level horizon, refraction included."""
_ELEVATION_STEP_DEG: Final = 10


def night_classes(passes: Opportunities) -> list[str]:
    """How dark it is at the station at culmination, by the Sun's elevation: of `NIGHT_CLASSES`."""
    places = np.searchsorted(_NIGHT_EDGES_RAD, passes.sun_elevation_rad, side="left")
    return [NIGHT_CLASSES[each] for each in places.tolist()]


def months(network: Network, passes: Opportunities) -> list[str]:
    """Year and month of each culmination, UTC: 2024-10."""
    moments = (network.start + timedelta(seconds=t_s) for t_s in passes.culmination_s.tolist())
    return [f"{each:%Y-%m}" for each in moments]


def _elevations(network: Network, passes: Opportunities) -> list[str]:
    lowest = np.degrees(passes.max_elevation_rad) // _ELEVATION_STEP_DEG * _ELEVATION_STEP_DEG
    lowest = np.minimum(lowest, 90 - _ELEVATION_STEP_DEG).astype(int)
    return [f"{each:02d}-{each + _ELEVATION_STEP_DEG}" for each in lowest.tolist()]


GROUPS: Final[dict[str, Callable[[Network, Opportunities], list[str]]]] = {
    "night_class": lambda network, passes: night_classes(passes),
    "month": months,
    "elevation": _elevations,
    "satellite": lambda network, passes: [network.satellites[k].name for k in passes.satellite.tolist()],
    "station": lambda network, passes: [network.stations[k].name for k in passes.station.tolist()],
}
"""What passes can be grouped by; `elevation`: their highest, in steps of ten degrees."""


def group_rows(
    network: Network, passes: Opportunities, spread: KeySpread, clear: Floats, *, by: str
) -> list[Row]:
    """A row for each group that has passes, in order of its name, of `night_class` from dark to light.

    by: of `GROUPS`. clear: probability of a clear sky of each pass, shape (n,).
    """
    names = GROUPS[by](network, passes)
    order = NIGHT_CLASSES if by == "night_class" else sorted(set(names))
    members = np.array(names)
    found = ((name, np.flatnonzero(members == name)) for name in order)
    return [{by: name} | sums(rows, spread, clear) for name, rows in found if rows.size]


def sums(rows: NDArray[np.intp], spread: KeySpread, clear: Floats) -> Row:
    """Of some passes: how many, how many with key, their key by a clear sky and with weather."""
    key_bits = spread.key_bits[rows]
    return {
        "passes": len(rows),
        "passes_with_key": int((key_bits > 0).sum()),
        "likely_with_key": float(spread.key_probability[rows].sum()),
        "key_bits": float(key_bits.sum()),
        "expected_bits": float((key_bits * clear[rows]).sum()),
        "best_pass_bits": float(key_bits.max(initial=0.0)),
    }


def cut_rows(
    network: Network, cuts_rad: Sequence[float], spread_of: Callable[[Network, Opportunities], KeySpread]
) -> list[Row]:
    """What is left when all masks are raised to each elevation: every pass shortened to what lies above it.

    The first row is the scenario as it is; a cut below a station's mask changes nothing there.
    share: of the first row's `expected_bits`.
    """
    rows: list[Row] = []
    for cut_rad in (None, *cuts_rad):
        lowest_rad = max(network.service.minimum_elevation_rad or 0.0, cut_rad or 0.0) or None
        service = msgspec.structs.replace(network.service, minimum_elevation_rad=lowest_rad)
        raised = msgspec.structs.replace(network, service=service)
        passes = find_opportunities(raised)
        spread, clear = spread_of(raised, passes), clear_probability(raised, passes)
        cut_deg = None if cut_rad is None else float(np.degrees(cut_rad))
        rows.append({"cut_deg": cut_deg} | sums(np.arange(len(passes)), spread, clear))
    whole = rows[0]["expected_bits"]
    return [row | {"share": row["expected_bits"] / whole if whole else 0.0} for row in rows]


def pool_rows(network: Network, pools: Pools) -> list[Row]:
    """A row a pool, in its order."""

    def utc(t_s: float) -> str:
        return format_utc(network.start + timedelta(seconds=float(t_s)))

    return [
        {
            "pool": k,
            "satellite": network.satellites[pools.satellite[k]].name,
            "station": network.stations[pools.station[k]].name,
            "start_utc": utc(pools.start_s[k]),
            "end_utc": utc(pools.end_s[k]),
            "passes": int(pools.passes[k]),
            "detections": float(pools.detections[k]),
            "apart_bits": float(pools.apart_bits[k]),
            "pooled_bits": float(pools.pooled_bits[k]),
            "closed": bool(pools.closed[k]),
        }
        for k in range(len(pools.passes))
    ]


def pool_sums(network: Network, pools: Pools) -> list[Row]:
    """A row for each link that has a pool: how many, how many passes, their key apart and pooled."""
    links = sorted(set(zip(pools.satellite.tolist(), pools.station.tolist(), strict=True)))
    rows = []
    for satellite, station in links:
        mine = (pools.satellite == satellite) & (pools.station == station)
        rows.append(
            {
                "satellite": network.satellites[satellite].name,
                "station": network.stations[station].name,
                "pools": int(mine.sum()),
                "not_closed": int((mine & ~pools.closed).sum()),
                "passes": int(pools.passes[mine].sum()),
                "apart_bits": float(pools.apart_bits[mine].sum()),
                "pooled_bits": float(pools.pooled_bits[mine].sum()),
            }
        )
    return rows
