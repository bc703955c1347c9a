"""The emulator's channel: times to the frame, fates by the generator alone, counts that add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.lasercom import Channel


def channel(*, frame_loss: float = 0.0, seed: int = 1, **settings: object) -> Channel:
    return Channel(rate_bit_s=8e3, frame_loss=frame_loss, rng=np.random.default_rng(seed), **settings)


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


@pytest.mark.parametrize(
    "settings", [{"frame_loss": 1.5}, {"maximum_queue_bytes": 0}, {"outages": [(2.0, 1.0)]}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="laser channel: expected"):
        channel(**settings)
