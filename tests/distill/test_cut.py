"""A source that forgets: what is told too late is cut off its block, at both ends; the rest gives key."""

from typing import Any

import numpy as np
import pytest

from satqkd.distill.parameters import Parameters
from satqkd.errors import RemoteProtocolError
from session_pair import DOWN, SOURCE, UP, MemoryShelf, Pair, Table, kind_of, parameters

AGREED = parameters(slots=400_000, blocks=2)
HORIZON = 30_000


class LatePair(Pair):
    """Reports can be held back; the source remembers `HORIZON` slots."""

    def __init__(self, agreed: Parameters = AGREED, **more: Any) -> None:
        table = Table(agreed)
        table.horizon_slots = HORIZON
        super().__init__(agreed, table, **more)

    def tell(self, low: int, high: int) -> None:
        rows = slice(*np.searchsorted(self.table.slots, [low, high]))
        self.station.announce(self.table.slots[rows], self.table.bases[rows], self.table.bits[rows])

    def at(self, slot: int) -> None:
        """Exchange when the satellite has sent so many slots."""
        self.exchange(slot / SOURCE.pulse_rate_hz + 1e-7)


def checked(pair: Pair, block: int, detections: int) -> None:
    for way in (DOWN, UP):
        report = pair.reports(way)[block]
        assert (report.block, report.outcome, report.detections) == (block, "key", detections)
        assert report.sifted_bits > 0.2 * detections
    assert pair.keys(DOWN)[block] == pair.keys(UP)[block]
    assert pair.confirmed(DOWN) >= {block} <= pair.confirmed(UP)


def count(pair: Pair, low: int, high: int) -> int:
    return int(np.diff(np.searchsorted(pair.table.slots, [low, high]))[0])


def test_a_report_within_the_horizon_is_answered_whole() -> None:
    pair = LatePair()
    pair.greet()
    for low in range(0, 200_000, 20_000):
        pair.tell(low, low + 20_000)
        pair.at(low + 29_000)
    pair.open_block(0)
    checked(pair, 0, count(pair, 0, 200_000))
    assert "Cut" not in [kind_of(data) for *_, data in pair.said]


@pytest.mark.parametrize("bases_first", [False, True], ids=["cut before the bases", "bases before the cut"])
def test_what_comes_too_late_is_cut_and_what_comes_after_it_too(bases_first: bool) -> None:
    pair = LatePair()
    pair.greet()
    for low in range(0, 160_000, 20_000):
        pair.tell(low, low + 20_000)
        pair.at(low + 21_000)
    pair.tell(160_000, 170_000)
    if not bases_first:
        pair.at(195_000)
    pair.tell(170_000, 200_000)  # remembered in part, and yet of no use
    pair.open_block(0)
    said = [kind_of(data) for *_, data in pair.said]
    assert said.count("Cut") == 1
    assert (said.index("Cut") > said.index("Bases")) == bases_first
    checked(pair, 0, count(pair, 0, 160_000))
    for low in range(200_000, 400_000, 20_000):
        pair.tell(low, low + 20_000)
        pair.at(low + 21_000)
    pair.open_block(1)
    checked(pair, 1, count(pair, 200_000, 400_000))


def test_a_block_of_which_all_is_forgotten_gives_no_key() -> None:
    pair = LatePair()
    pair.greet()
    pair.tell(0, 100_000)
    pair.open_block(0)
    for way in (DOWN, UP):
        (report,) = pair.reports(way)
        assert (report.outcome, report.detections, report.secret_bits) == ("no_key", 0, 0)


def test_a_block_of_a_pool_cannot_be_cut() -> None:
    agreed = parameters(
        slots=200_000, planned=[("p", 1000)], pooling="pooled", pool_sifted_bits=100_000, pass_id="pooled"
    )
    pair = LatePair(agreed, shelves=(MemoryShelf(), MemoryShelf()))
    pair.greet()
    pair.tell(0, 100_000)
    with pytest.raises(RemoteProtocolError, match="a block of a pool cannot be cut"):
        pair.at(199_000)
