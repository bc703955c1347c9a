"""The emulator's channel: times to the frame, fates by the generator alone, counts that add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.config import Impairments, Outage
from satqkd.errors import ConfigError
from satqkd.lasercom import Channel, Fates, FrameLoss


def channel(*, frame_loss: float = 0.0, seed: int = 1, **settings: object) -> Channel:
    return Channel(
        rate_bit_s=8e3,
        frame_loss=FrameLoss.constant(frame_loss),
        rng=np.random.default_rng(seed),
        **settings,
    )


def test_a_frame_takes_its_length_and_the_light_time() -> None:
    line = channel()
    line.submit(bytes(100), 1.0, 0.25)
    line.submit(b"b" * 50, 1.0, 0.25)
    assert line.next_arrival_s == pytest.approx(1.35)
    assert line.due(1.34) == []
    assert line.due(1.36) == [bytes(100)]
    assert line.due(1.39) == []
    assert line.due(1.41) == [b"b" * 50]
    assert line.next_arrival_s is None


def test_arrivals_come_in_order_of_arrival() -> None:
    line = channel()
    line.submit(b"late", 0.0, 1.0)
    line.submit(b"soon", 0.1, 0.2)
    assert line.due(2.0) == [b"soon", b"late"]


FRAMES = st.lists(st.tuples(st.integers(1, 100), st.floats(0, 0.2)), min_size=1, max_size=60)


@given(FRAMES, st.lists(st.booleans(), min_size=60, max_size=60))
@settings(max_examples=60, deadline=None)
def test_asking_more_often_changes_nothing(frames: list[tuple[int, float]], asked: list[bool]) -> None:
    outages = [(0.5, 0.8)]
    often, once = (channel(frame_loss=0.3, maximum_queue_bytes=300, outages=outages) for _ in range(2))
    now_s, arrived = 0.0, []
    for number, ((size, gap_s), ask) in enumerate(zip(frames, asked, strict=False)):
        now_s += gap_s
        for line in (often, once):
            line.submit(bytes([number]) * size, now_s, 0.01)
        if ask:
            arrived += often.due(now_s)
    arrived += often.due(now_s + 100)
    assert arrived == once.due(now_s + 100)
    counts = often.counts
    assert counts == once.counts
    assert len(arrived) + counts.lost + counts.dropped == counts.frames == len(frames)
    assert counts.bytes == sum(size for size, _ in frames)


def test_the_fate_of_a_frame_does_not_depend_on_the_ones_dropped_before_it() -> None:
    roomy, narrow = channel(frame_loss=0.5), channel(frame_loss=0.5, maximum_queue_bytes=100)
    for number in range(40):
        roomy.submit(bytes([number]) * 60, number // 20 * 10.0, 0.0)
        narrow.submit(bytes([number]) * 60, number // 20 * 10.0, 0.0)
    survivors = set(roomy.due(1e3))
    assert set(narrow.due(1e3)) <= survivors
    assert narrow.counts.dropped == 38


def test_the_loss_is_the_one_asked_for() -> None:
    line = channel(frame_loss=0.1)
    for number in range(20_000):
        line.submit(b"x", float(number), 0.0)
    assert abs(line.counts.lost - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert len(line.due(1e9)) == 20_000 - line.counts.lost


def test_whatever_touches_an_outage_is_lost() -> None:
    line = channel(outages=[(1.0, 2.0)])
    for start_s, name in ((0.85, b"a"), (0.95, b"b"), (1.5, b"c"), (1.95, b"d"), (2.0625, b"e")):
        line.submit(name * 100, start_s, 0.0)
    assert [datagram[:1] for datagram in line.due(10.0)] == [b"a", b"e"]
    assert line.counts.lost == 3


def test_the_loss_follows_the_time_at_which_a_frame_begins_to_be_sent() -> None:
    fading = FrameLoss(start_s=100.0, step_s=50.0, probability=np.array([0.0, 1.0, 0.2]))
    assert [fading.at(t_s) for t_s in (0.0, 100.0, 125.0, 150.0, 175.0, 200.0, 999.0)] == pytest.approx(
        [0.0, 0.0, 0.5, 1.0, 0.6, 0.2, 0.2]
    )
    line = Channel(rate_bit_s=8e3, frame_loss=fading, rng=np.random.default_rng(1))
    fates = []
    for t_s in np.arange(0.0, 300.0, 0.01):
        lost = line.counts.lost
        line.submit(b"x", float(t_s), 0.0)
        fates.append(line.counts.lost - lost)
    seconds = np.reshape(fates, (300, 100)).mean(axis=1)
    assert seconds[:100].max() == 0
    assert seconds[149:151].mean() > 0.95
    assert seconds[120:130].mean() == pytest.approx(0.5, abs=0.07)
    assert seconds[201:].mean() == pytest.approx(0.2, abs=0.02)


def test_the_loss_at_many_instants_is_that_at_each() -> None:
    loss = FrameLoss(start_s=-1.0, step_s=0.3, probability=np.array([0.2, 0.9, 0.0, 0.4]))
    t_s = np.linspace(-2.0, 1.0, 60).reshape(3, 20)
    along = loss.along(t_s)
    np.testing.assert_allclose(along, np.interp(t_s, [-1.0, -0.7, -0.4, -0.1], loss.probability), atol=1e-12)
    assert [loss.at(float(each)) for each in t_s.flat] == along.ravel().tolist()


def test_a_frame_that_waits_is_lost_by_the_moment_it_is_sent() -> None:
    """Ten seconds of queue, then the fade begins: what was submitted before it and is sent in it is lost."""
    fading = FrameLoss(start_s=0.0, step_s=0.001, probability=np.repeat([0.0, 1.0], [5_000, 20_000]))
    line = Channel(rate_bit_s=8e3, frame_loss=fading, rng=np.random.default_rng(1))
    for _ in range(10):
        line.submit(bytes(1000), 0.0, 0.0)
    assert line.counts.lost == 5
    assert len(line.due(20.0)) == 5


@pytest.mark.parametrize(
    "loss",
    [
        {"probability": np.array([0.1, 1.2])},
        {"probability": np.array([np.nan])},
        {"probability": np.array([])},
        {"step_s": 0.0},
    ],
)
def test_a_loss_that_is_no_probability_is_refused(loss: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="frame loss: expected probabilities"):
        FrameLoss(**{"start_s": 0.0, "step_s": 1.0, "probability": np.array([0.1]), **loss})


@pytest.mark.parametrize("settings", [{"maximum_queue_bytes": 0}, {"outages": [(2.0, 1.0)]}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="laser channel: expected"):
        channel(**settings)


def test_outages_are_stretches_without_a_link() -> None:
    """Half a second is a fade; two seconds, of which one frame in fifty comes through, are an outage."""
    loss = np.concatenate(
        [np.full(n, p) for n, p in ((5000, 0.1), (500, 1.0), (3000, 0.2), (2000, 0.98), (4000, 0.0))]
    )
    fading = FrameLoss(start_s=-2.0, step_s=1e-3, probability=loss)
    ((from_s, to_s),) = fading.outages()
    assert (from_s, to_s) == pytest.approx((6.5, 8.5), abs=0.1)
    assert FrameLoss.constant(0.5).outages() == ()
    line = Channel(rate_bit_s=8e3, frame_loss=fading, rng=np.random.default_rng(1), outages=[(20.0, 22.0)])
    assert line.counts.outages == ((20.0, 22.0), (from_s, to_s))


def fates(seed: int = 1, **settings: float) -> Fates:
    return Fates(Impairments(**settings), np.random.default_rng(seed))


@pytest.mark.parametrize(("loss", "mean_s"), [(0.1, 0.05), (0.1, 0.5), (0.3, 0.2)])
def test_bursts_have_the_loss_and_the_length_asked_for(loss: float, mean_s: float) -> None:
    """Lengths are exponential: as many are longer than twice the mean as e to the -2."""
    step_s, number = mean_s / 50, 500_000
    bursts = fates(burst_loss=loss, burst_s=mean_s).bursts
    lost = np.array([bursts.at(step_s * n) for n in range(number)])
    edges = np.flatnonzero(np.diff(lost.astype(np.int8)))
    lengths_s = (np.diff(edges) * step_s)[lost[edges[:-1] + 1]]
    spread = np.sqrt(2 * loss * (1 - loss) * 50 / number)
    assert lost.mean() == pytest.approx(loss, abs=5 * spread)
    assert lengths_s.mean() == pytest.approx(mean_s, rel=0.03 + 5 / np.sqrt(lengths_s.size))
    assert (lengths_s > 2 * mean_s).mean() == pytest.approx(np.exp(-2), abs=2.5 / np.sqrt(lengths_s.size))


def test_bursts_go_on_while_nobody_sends() -> None:
    busy, sparse = (fates(burst_loss=0.3, burst_s=0.2).bursts for _ in range(2))
    often = [busy.at(0.01 * n) for n in range(10_000)]
    assert [sparse.at(1.0 * n) for n in range(100)] == often[::100]
    assert not any(fates().bursts.at(0.01 * n) for n in range(1000))
    line = channel(fates=fates(burst_loss=0.3, burst_s=0.2))
    for number, lost in enumerate(often[::10]):
        before = line.counts.lost
        line.submit(b"x", 0.1 * number, 0.0)
        assert line.counts.lost - before == lost


def test_the_fate_of_a_frame_does_not_depend_on_sizes_nor_on_what_else_is_set() -> None:
    settings = {"duplicated": 0.2, "reordered": 0.3, "delay_spread_s": 0.1, "corrupted": 0.2}
    every, again = fates(burst_loss=0.2, **settings), fates(**settings)
    for _ in range(2000):
        one, other = every.next(), again.next()
        assert (one.late_s, one.copy_late_s, one.changes) == (other.late_s, other.copy_late_s, other.changes)
    small, large = (channel(frame_loss=0.2, fates=fates(burst_loss=0.2, **settings)) for _ in range(2))
    for number in range(300):
        for line, size in ((small, 4), (large, 40)):
            line.submit(number.to_bytes(4, "big") * (size // 4), 10.0 * number, 0.0)
    counts, theirs = small.counts, large.counts
    assert counts.lost == theirs.lost and counts.corrupted == theirs.corrupted
    assert (counts.duplicated, counts.reordered) == (theirs.duplicated, theirs.reordered)
    assert counts.lost > 80 and counts.corrupted > 20 and counts.duplicated > 20 and counts.reordered > 40


def test_late_frames_are_overtaken_and_copies_come_besides() -> None:
    line = channel(fates=fates(reordered=0.3, duplicated=0.2, delay_spread_s=2.0))
    names = [number.to_bytes(4, "big") for number in range(2000)]
    for number, name in enumerate(names):
        line.submit(name, 0.1 * number, 0.01)
    arrived = line.due(1e3)
    assert sorted(set(arrived)) == names
    assert len(arrived) == 2000 + line.counts.duplicated
    assert arrived != sorted(arrived)
    assert line.counts.duplicated == pytest.approx(400, abs=100)
    assert line.counts.reordered == pytest.approx(600, abs=110)


def test_no_frame_is_later_than_the_spread() -> None:
    line = channel(fates=fates(reordered=1.0, duplicated=1.0, delay_spread_s=0.5))
    for number in range(500):
        line.submit(bytes([number % 256]), 10.0 * number, 0.0)
        arrived = line.due(10.0 * number + 0.502)
        assert arrived == 2 * [bytes([number % 256])]


def test_changed_bytes_are_one_to_three_and_the_length_stays() -> None:
    line = channel(fates=fates(corrupted=0.5))
    changed = []
    for number in range(1000):
        line.submit(bytes(24), 1.0 * number, 0.0)
        (arrived,) = line.due(1.0 * number + 0.9)
        assert len(arrived) == 24
        changed.append(sum(byte != 0 for byte in arrived))
    assert set(changed) == {0, 1, 2, 3}
    assert line.counts.corrupted == sum(map(bool, changed)) == pytest.approx(500, abs=80)


def test_impairments_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="a delay_spread above 0"):
        Impairments(reordered=0.1)
    with pytest.raises(ConfigError, match="from_s before to_s"):
        Outage(from_s=2.0, to_s=2.0)
