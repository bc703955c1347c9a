"""Recorded stretches, settings and coins come out of the door as they came from the live devices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.devices import (
    Receiver,
    RecordedCoins,
    RecordedReceiver,
    RecordedTransmitter,
    RecordingReceiver,
    RecordingTransmitter,
    Stretch,
    Transmitter,
    TurnsPlate,
    tag_record,
)
from satqkd.devices.recorded import (
    LARGEST_SETTING,
    PAGE_ROWS,
    SettingRecord,
    join,
    packed,
    recording_coins,
    unpacked,
)
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.records import Settings, Tags

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
    replay: Receiver = RecordedReceiver(tag_record(recording.stretches))
    live = bench.receiver(bench.series(0.5, background_hz=4e4), slots=10_000)
    for end_s in ENDS_S:
        assert _same(replay.read(end_s), live.read(end_s))
    assert sum(len(stretch.tags) for stretch in recording.stretches) > 10_000
    assert len(replay.read(10.0)) == 0


def test_other_reads_give_whole_stretches(bench):
    stretches = _recording(bench).stretches
    replay = RecordedReceiver(tag_record(stretches))
    assert len(replay.read(0.04)) == len(stretches[0].tags)
    assert len(replay.read(0.2)) == sum(len(stretch.tags) for stretch in stretches[1:4])


def test_refusals(bench):
    stretches = _recording(bench).stretches
    with pytest.raises(LocalProtocolError, match="order"):
        RecordedReceiver(tag_record(stretches[::-1]))
    replay = RecordedReceiver(tag_record([Stretch(1.0, stretches[0].tags)]))
    replay.read(1.0)
    for bad in (0.5, float("nan")):
        with pytest.raises(LocalProtocolError, match="never decreases"):
            replay.read(bad)


@given(st.lists(st.floats(-0.3, 1.0), max_size=12), st.lists(st.floats(-0.3, 2.5), max_size=12))
def test_any_way_of_cutting_gives_one_stream(live_ends, replay_ends):
    """Cut by the live reads at some instants and read back at others: the same tags in the same order."""
    rng = np.random.default_rng(7)
    time_ps = np.sort(rng.integers(0, 10**12, 300))
    channel = rng.integers(0, 5, 300).astype(np.uint8)
    edges = [*sorted(live_ends), 2.0]
    rows = [0, *np.searchsorted(time_ps, np.array(edges) * 1e12)]
    stretches = [
        Stretch(end, Tags(time_ps[a:b].copy(), channel[a:b].copy()))
        for end, a, b in zip(edges, rows[:-1], rows[1:], strict=True)
    ]
    replay = RecordedReceiver(tag_record(stretches))
    given_back = join([replay.read(end) for end in (*sorted(replay_ends), 3.0)])
    assert _same(given_back, Tags(time_ps, channel))


class Sender:
    """A transmitter whose settings are a formula."""

    horizon_slots = 10**6

    def settings(self, slots):
        return unpacked((slots * 7 % 12 + slots % 3 // 2).astype(np.uint8) & np.uint8(0b1101))


def _kept(parts) -> tuple[RecordingTransmitter, list]:
    kept: list = []
    recording = RecordingTransmitter(Sender(), lambda slots, setting: kept.append((slots, setting)))
    for part in parts:
        recording.settings(part)
    return recording, kept


def _record(kept) -> SettingRecord:
    slot = np.concatenate([slots for slots, _ in kept])
    return SettingRecord(slot, np.concatenate([setting for _, setting in kept]), slot[::PAGE_ROWS])


def test_settings_on_record_are_those_that_were_told():
    """Over three pages, asked again in other portions and with gaps."""
    slots = np.cumsum(np.random.default_rng(1).integers(1, 5, 150_000))
    recording, kept = _kept(np.array_split(slots, 11))
    replay: Transmitter = RecordedTransmitter(_record(kept))
    assert recording.horizon_slots == 10**6
    for part in (slots, slots[::7], slots[65_000:66_000], slots[-1:], slots[:1], slots[:0]):
        told, live = replay.settings(part), Sender().settings(part)
        for name in ("intensity_class", "basis", "bit"):
            assert np.array_equal(getattr(told, name), getattr(live, name))


def test_packing_keeps_every_setting_apart():
    settings = Settings(*(np.array(column, np.uint8) for column in zip(*_all_settings(), strict=True)))
    setting = packed(settings)
    assert len(set(setting.tolist())) == 12 and setting.max() == LARGEST_SETTING
    assert [
        *zip(*(getattr(unpacked(setting), name) for name in Settings.__struct_fields__), strict=True)
    ] == (_all_settings())


def _all_settings():
    return [(name, basis, bit) for name in range(3) for basis in range(2) for bit in range(2)]


@pytest.mark.parametrize("slots", [[4], [9], [11], [10, 11], [2_000_000]])
def test_a_slot_that_is_not_on_record_is_refused(slots):
    _, kept = _kept([np.array([5, 10, 12])])
    with pytest.raises(LocalProtocolError, match=rf"slot {slots[-1]} is not on record"):
        RecordedTransmitter(_record(kept)).settings(np.array(slots))


@pytest.mark.parametrize("slots", [[10, 5], [5, 5], [-1], [5.0], [[5]]])
def test_slots_out_of_order_are_refused(slots):
    _, kept = _kept([np.array([5, 10, 12])])
    with pytest.raises(LocalProtocolError, match="increasing order"):
        RecordedTransmitter(_record(kept)).settings(np.array(slots))


def test_an_empty_record_answers_nothing_with_nothing():
    none = SettingRecord(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
    assert len(RecordedTransmitter(none).settings(np.empty(0, np.int64))) == 0
    with pytest.raises(LocalProtocolError, match="slot 3"):
        RecordedTransmitter(none).settings(np.array([3]))


def test_a_recording_transmitter_goes_on_only():
    recording, kept = _kept([np.array([5, 10]), np.empty(0, np.int64)])
    with pytest.raises(LocalProtocolError, match="after 10, got 10"):
        recording.settings(np.array([10, 12]))
    assert len(kept) == 1


def _coins(draws) -> RecordedCoins:
    return RecordedCoins(
        np.frombuffer(b"".join(draws), np.uint8), np.array([len(draw) for draw in draws], np.int64), "x.h5"
    )


@given(st.lists(st.binary(max_size=6), max_size=30), st.randoms(use_true_random=False))
def test_each_draw_is_given_once_and_lengths_may_come_in_any_order(draws, chance):
    """Two blocks under way at once may swap their draws of different lengths: each still gets its own."""
    replay, asked = _coins(draws), draws.copy()
    chance.shuffle(asked)
    for length in map(len, asked):
        expected = next(draw for draw in draws if len(draw) == length)
        draws.remove(expected)
        assert replay(length) == expected
    with pytest.raises(DataFormatError, match=r"x\.h5: expected a draw of 2 bytes"):
        replay(2)


def test_coins_are_kept_as_they_are_drawn():
    kept: list[bytes] = []
    draw = recording_coins(lambda n: bytes(range(n)), kept.append)
    assert (draw(3), draw(0), draw(1)) == (b"\x00\x01\x02", b"", b"\x00")
    assert kept == [b"\x00\x01\x02", b"", b"\x00"]


def test_records_do_not_show_what_they_hold():
    _, kept = _kept([np.array([123_456])])
    tags = tag_record([Stretch(1.0, Tags(np.array([987_654]), np.zeros(1, np.uint8)))])
    for shown in map(repr, (_record(kept), tags, RecordedTransmitter(_record(kept)), _coins([b"\x7b\x7c"]))):
        assert not any(secret in shown for secret in ("123456", "987654", "123, 124"))


def test_a_recording_receiver_has_a_plate_where_the_other_has_one() -> None:
    class Plain:
        def read(self, until_s: float) -> Tags:
            return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))

    class WithPlate(Plain):
        def turn_plate(self, angle_rad: float, from_slot: int) -> None:
            self.asked = (angle_rad, from_slot)

    inner = WithPlate()
    recording = RecordingReceiver(inner)
    assert isinstance(recording, TurnsPlate)
    recording.turn_plate(0.1, 7)
    assert inner.asked == (0.1, 7)
    assert not isinstance(RecordingReceiver(Plain()), TurnsPlate)
