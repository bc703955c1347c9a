"""Recorded stretches come out of the door as they came from the live receiver."""

import numpy as np
import pytest

from satqkd.devices import Receiver, RecordedReceiver, RecordingReceiver, Stretch
from satqkd.errors import LocalProtocolError
from satqkd.records import Tags

ENDS_S = [-0.3, 0.05, 0.05, 0.11, 0.4, 2.0]


def _recording(bench) -> RecordingReceiver:
    live = bench.receiver(bench.series(0.5, background_hz=4e4), slots=10_000)
    recording = RecordingReceiver(live)
    for end_s in ENDS_S:
        recording.read(end_s)
    return recording


def _same(a: Tags, b: Tags) -> bool:
    return np.array_equal(a.time_ps, b.time_ps) and np.array_equal(a.channel, b.channel)


def test_replay_gives_each_read_exactly(bench):
    recording = _recording(bench)
    replay: Receiver = RecordedReceiver(recording.stretches)
    live = bench.receiver(bench.series(0.5, background_hz=4e4), slots=10_000)
    for end_s in ENDS_S:
        assert _same(replay.read(end_s), live.read(end_s))
    assert sum(len(stretch.tags) for stretch in recording.stretches) > 10_000
    assert len(replay.read(10.0)) == 0


def test_other_reads_give_whole_stretches(bench):
    stretches = _recording(bench).stretches
    replay = RecordedReceiver(stretches)
    assert len(replay.read(0.04)) == len(stretches[0].tags)
    assert len(replay.read(0.2)) == sum(len(stretch.tags) for stretch in stretches[1:4])


def test_refusals(bench):
    stretches = _recording(bench).stretches
    with pytest.raises(LocalProtocolError, match="order"):
        RecordedReceiver(stretches[::-1])
    replay = RecordedReceiver([Stretch(1.0, stretches[0].tags)])
    replay.read(1.0)
    for bad in (0.5, float("nan")):
        with pytest.raises(LocalProtocolError, match="never decreases"):
            replay.read(bad)
