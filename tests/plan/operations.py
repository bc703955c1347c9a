"""Networks and passes made up for the tests of operation, and a ledger that notes what is done."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from planning import network

from satqkd.constants import DAY_S
from satqkd.plan.books import Books
from satqkd.plan.ledger import Bits, Combined
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.planner import Offer

STATIONS = ("a", "b", "c", "d")
PASS_S = 300.0
SKY = {"default_clear": 0.5, "nearest_km": 0.0}


class Made(NamedTuple):
    """A pass that is made up."""

    satellite: int
    station: int
    end_day: float
    bits: float
    clear: float = 1.0


def made_network(pairs: Sequence[dict[str, Any]], *, satellites: int = 1, **tables: Any) -> Network:
    """Stations a to d far from each other; pairs by their tables; six days."""
    places = [
        {"preset": "beijing", "name": name, "latitude_deg": 20.0 - 10 * k, "longitude_deg": 40.0 * k}
        for k, name in enumerate(STATIONS)
    ]
    craft = {
        "preset": "jinan-1",
        "name": "s",
        "pattern": "sun-synchronous",
        "count": satellites,
        "planes": satellites,
        "altitude_km": 500,
    }
    tables = {"duration_days": 6, "service": {"setup_s": 0}} | tables
    return network(satellite=[craft], station=places, pair=list(pairs), **tables)


def made_offer(rows: Sequence[Made]) -> Offer:
    """The passes as columns, as those of a search would be."""
    ordered = sorted(rows)
    end_s = np.array([row.end_day * DAY_S for row in ordered])
    n = len(ordered)
    return Offer(
        passes=Opportunities(
            satellite=np.array([row.satellite for row in ordered], dtype=np.int32),
            station=np.array([row.station for row in ordered], dtype=np.int32),
            start_s=end_s - PASS_S,
            culmination_s=end_s - PASS_S / 2,
            end_s=end_s,
            max_elevation_rad=np.full(n, 1.0),
            min_range_m=np.full(n, 6e5),
            sun_elevation_rad=np.full(n, -0.5),
            sunlit=np.zeros(n, dtype=np.bool_),
        ),
        key_bits=np.array([row.bits for row in ordered], dtype=np.float64),
        clear=np.array([row.clear for row in ordered], dtype=np.float64),
    )


class Recorder(Books):
    """Books that keep a list of what was done, in order."""

    def __init__(self, found: Network) -> None:
        super().__init__(found)
        self.done: list[tuple[Any, ...]] = []

    def receive(self, satellite: int, station: int, bits: int, *, now_s: int) -> None:
        self.done.append(("receive", satellite, station, bits, now_s))
        super().receive(satellite, station, bits, now_s=now_s)

    def expire(self, before_s: int, *, now_s: int) -> Bits:
        gone = super().expire(before_s, now_s=now_s)
        self.done.append(("expire", before_s, int(gone.sum())))
        return gone

    def relay(self, satellite: int, pair: int, bits: int, *, now_s: int) -> None:
        self.done.append(("relay", satellite, pair, bits, now_s))
        super().relay(satellite, pair, bits, now_s=now_s)

    def combine(self, pair: int, *, now_s: int) -> Combined:
        found = super().combine(pair, now_s=now_s)
        self.done.append(("combine", pair, found, now_s))
        return found

    def use(self, pair: int, bits: int, *, now_s: int) -> None:
        self.done.append(("use", pair, bits, now_s))
        super().use(pair, bits, now_s=now_s)

    def all_of(self, what: str) -> list[tuple[Any, ...]]:
        """What was done of one kind."""
        return [each for each in self.done if each[0] == what]
