"""Acceptance against a plain reading of its rules, click by click; batches do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.clicks import Acceptance, Detections
from satqkd.distill.sync import Resolved
from satqkd.errors import DataFormatError
from satqkd.randomness import stream, stream_bytes

PERIOD_PS = 1600
GATE_PS = 1000.0
DEAD_PS = 50_000.0


def resolved(rows: list[tuple[int, float, int]]) -> Resolved:
    """From (slot, residual_ps, detector); the time is where the click lies in the slot train."""
    slot, residual, channel = (np.array(column) for column in zip(*rows, strict=True))
    return Resolved(
        slot.astype(np.int64),
        residual.astype(np.float64),
        channel.astype(np.uint8),
        np.rint(slot * PERIOD_PS + residual).astype(np.int64),
    )


def accepted(clicks: Resolved, tie: bytes = b"\0") -> tuple[list[tuple[int, int, int]], dict[str, int]]:
    machine = Acceptance(GATE_PS, DEAD_PS, lambda n: tie * n)
    return rows_of(machine.accept(clicks), machine.flush()), machine.counts.to_dict()


def rows_of(*parts: Detections) -> list[tuple[int, int, int]]:
    return [row for d in parts for row in zip(d.slot.tolist(), d.basis.tolist(), d.bit.tolist(), strict=True)]


def plain(clicks: Resolved, tie_bits) -> list[tuple[int, int, int]]:  # type: ignore[no-untyped-def]
    """The rules in a loop: time of the last click, and the set of channels of the open slot."""
    open_slots: dict[int, tuple[bool, set[int]]] = {}
    last_time, highest = None, None
    columns = (clicks.slot, clicks.residual_ps, clicks.channel, clicks.time_ps)
    for slot, residual, channel, time in zip(*(c.tolist() for c in columns), strict=True):
        ordered = highest is None or slot >= highest
        highest = slot if highest is None else max(slot, highest)
        if ordered and abs(residual) <= GATE_PS / 2:
            gate_opens = time - residual - GATE_PS / 2
            alive = last_time is None or gate_opens - last_time >= DEAD_PS
            open_slots.setdefault(slot, (alive, set()))[1].add(channel)
        last_time = time
    rows = []
    for slot, (alive, channels) in sorted(open_slots.items()):
        if not alive:
            continue
        detectors = {channel - 5 if channel > 4 else channel for channel in channels}
        if len(channels) == 1:
            (detector,), (channel,) = detectors, channels
            rows.append((slot, detector // 2, 1 - detector % 2 if channel > 4 else detector % 2))
            continue
        chance = tie_bits(1)[0]
        bases = {detector // 2 for detector in detectors}
        basis = bases.pop() if len(bases) == 1 else chance >> 1 & 1
        rows.append((slot, basis, chance & 1))
    return rows


def busy(seed: int, n: int = 4000, *, swaps: bool = False) -> Resolved:
    """Many neighbours, doubles and clicks outside the gate; labels swapped click by click, or never."""
    rng = stream(seed, "clicks-test")
    slot = np.sort(rng.integers(0, 40 * n, n))
    slot[1::5] = slot[::5][: slot[1::5].size]
    residual = rng.normal(0, 350, n)
    order = np.argsort(slot * PERIOD_PS + residual, kind="stable")
    channel = rng.integers(0, 4, n)
    channel += 5 * swaps * rng.integers(0, 2, n)
    return resolved(list(zip(slot[order], residual[order], channel, strict=True)))


def test_each_detector_gives_its_basis_and_bit() -> None:
    rows, counts = accepted(resolved([(1000 * c, 0.0, c) for c in range(4)]))
    assert rows == [(0, 0, 0), (1000, 0, 1), (2000, 1, 0), (3000, 1, 1)]
    assert counts["detections"] == counts["clicks"] == 4


def test_gate_edge_counts_and_beyond_does_not() -> None:
    rows, counts = accepted(resolved([(0, -500.0, 0), (1000, 500.0, 0), (2000, 501.0, 0)]))
    assert [slot for slot, *_ in rows] == [0, 1000]
    assert counts["outside_gate"] == 1


@pytest.mark.parametrize("residual", [0.0, 700.0])
def test_dead_time_of_any_click_even_outside_the_gate_and_even_of_a_dropped_one(residual: float) -> None:
    """31 slots are 49.6 ns. Power: a filter that looks at kept clicks alone would keep slot 60."""
    rows, counts = accepted(resolved([(0, residual, 0), (30, 0.0, 2), (60, 0.0, 1), (95, 0.0, 3)]))
    assert [slot for slot, *_ in rows] == ([0, 95] if residual == 0 else [95])
    assert counts["dead_time"] == 2


def test_clicks_of_one_slot_do_not_exclude_each_other() -> None:
    clicks = resolved([(5, -100.0, 0), (5, 100.0, 1)])
    assert accepted(clicks, b"\0")[0] == [(5, 0, 0)]
    rows, counts = accepted(clicks, b"\3")
    assert rows == [(5, 0, 1)]
    assert counts["same_basis"] == counts["merged"] == counts["detections"] == 1


@pytest.mark.parametrize(("chance", "row"), [(0, (5, 0, 0)), (1, (5, 0, 1)), (2, (5, 1, 0)), (3, (5, 1, 1))])
def test_both_bases_give_random_basis_and_bit(chance: int, row: tuple[int, int, int]) -> None:
    rows, counts = accepted(resolved([(5, -1.0, 1), (5, 0.0, 2), (5, 1.0, 3)]), bytes([chance]))
    assert rows == [row]
    assert counts["cross_basis"] == 1
    assert counts["merged"] == 2


def test_x_basis_double_stays_in_x() -> None:
    assert accepted(resolved([(5, 0.0, 2), (5, 1.0, 3)]), b"\1")[0] == [(5, 1, 1)]


@pytest.mark.parametrize(("residual", "kept"), [(-399.0, [0]), (-400.0, [0, 32]), (-401.0, [0, 32])])
def test_a_detector_must_be_alive_when_the_gate_opens(residual: float, kept: list[int]) -> None:
    """32 slots are 51.2 ns; 0.4 ns earlier or later makes the gate open 50 ns after the click, or not.

    Power: a filter by the second click's own time keeps it in all three, half of a gate too early.
    """
    rows, _ = accepted(resolved([(0, residual + 1100.0, 0), (32, 0.0, 1)][:2]))
    assert [slot for slot, *_ in rows if slot] == kept[1:]


def test_early_click_of_the_same_slot_outside_the_gate_kills_it() -> None:
    rows, counts = accepted(resolved([(5, -700.0, 1), (5, 0.0, 2)]))
    assert rows == []
    assert counts["outside_gate"] == counts["dead_time"] == 1


@pytest.mark.parametrize("pieces", [1, 4])
@pytest.mark.parametrize("start", [0, -1500])
def test_a_slot_that_goes_back_is_dropped(pieces: int, start: int) -> None:
    times = resolved([(1000 * i, 0.0, 0) for i in range(4)])
    slot = start + np.array([0, 1000, 999, 900])
    machine = Acceptance(GATE_PS, DEAD_PS, bytes)
    columns = (slot, times.residual_ps, times.channel, times.time_ps)
    parts = [
        machine.accept(Resolved(*(column[rows] for column in columns)))
        for rows in np.array_split(np.arange(4), pieces)
    ]
    parts.append(machine.flush())
    assert [row[0] for row in rows_of(*parts)] == [start, start + 1000]
    assert machine.counts.disordered == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_equals_the_plain_rules_in_any_batches(seed: int, pieces: int, swaps: bool) -> None:
    clicks = busy(seed, 600, swaps=swaps)
    machine = Acceptance(GATE_PS, DEAD_PS, stream_bytes(seed, "ties"), label_swap=swaps)
    parts = []
    for rows in np.array_split(np.arange(len(clicks)), pieces):
        columns = (clicks.slot, clicks.residual_ps, clicks.channel, clicks.time_ps)
        parts.append(machine.accept(Resolved(*(column[rows] for column in columns))))
    parts.append(machine.flush())
    got = rows_of(*parts)
    assert got == plain(clicks, stream_bytes(seed, "ties"))
    assert (np.diff([slot for slot, *_ in got]) > 0).all()
    c = machine.counts
    assert c.clicks == len(clicks)
    assert c.clicks == c.outside_gate + c.dead_time + c.disordered + c.merged + c.detections


def test_types_and_silence_about_bits() -> None:
    machine = Acceptance(GATE_PS, DEAD_PS, stream_bytes(1, "ties"))
    out = machine.accept(busy(1))
    assert (out.slot.dtype, out.basis.dtype, out.bit.dtype) == (np.int64, np.uint8, np.uint8)
    assert repr(out) == f"Detections({len(out)} slots)"
    assert machine.counts.same_basis > 5
    assert machine.counts.cross_basis > 5


def swapping(tie: bytes = b"\0") -> Acceptance:
    return Acceptance(GATE_PS, DEAD_PS, lambda n: tie * n, label_swap=True)


def test_each_detector_gives_the_other_bit_while_its_labels_are_swapped() -> None:
    machine = swapping()
    rows = rows_of(machine.accept(resolved([(1000 * c, 0.0, 5 + c) for c in range(4)])), machine.flush())
    assert rows == [(0, 0, 1), (1000, 0, 0), (2000, 1, 1), (3000, 1, 0)]


@pytest.mark.parametrize("chance", [0, 1])
def test_a_double_click_tosses_the_same_bit_swapped_or_not(chance: int) -> None:
    """The coin is the bit itself: the state of the labels does not turn it once more."""
    for state in (0, 5):
        machine = swapping(bytes([chance]))
        clicks = resolved([(5, -1.0, 2 + state), (5, 1.0, 3 + state)])
        assert rows_of(machine.accept(clicks), machine.flush()) == [(5, 1, chance)]
        assert machine.counts.same_basis == 1


@pytest.mark.parametrize("channels", [(0, 6), (0, 5), (6, 1), (0, 6, 5)])
@pytest.mark.parametrize("chance", [0, 1])
def test_clicks_of_one_slot_with_different_labels_toss_the_bit(
    channels: tuple[int, ...], chance: int
) -> None:
    """H as it is and V swapped both say 0; still the slot's label is not known. Power: one rule keeps 0."""
    machine = swapping(bytes([chance]))
    rows = rows_of(
        machine.accept(resolved([(5, float(i), c) for i, c in enumerate(channels)])), machine.flush()
    )
    assert rows == [(5, 0, chance)]
    assert (machine.counts.labels_disagree, machine.counts.same_basis) == (1, 0)


def test_different_labels_and_both_bases_toss_the_basis_too() -> None:
    machine = swapping(b"\2")
    assert rows_of(machine.accept(resolved([(5, 0.0, 1), (5, 1.0, 7)])), machine.flush()) == [(5, 1, 0)]
    assert (machine.counts.labels_disagree, machine.counts.cross_basis) == (1, 0)


def test_misuse_is_refused() -> None:
    machine = Acceptance(GATE_PS, DEAD_PS, stream_bytes(1, "ties"))
    with pytest.raises(DataFormatError, match="detectors"):
        machine.accept(resolved([(0, 0.0, 4)]))
    with pytest.raises(DataFormatError, match="order"):
        machine.accept(resolved([(5, 0.0, 0), (0, 0.0, 0)]))
