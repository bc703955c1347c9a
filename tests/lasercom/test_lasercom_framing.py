"""Datagrams in Space Packets: the bytes of the standard, and nothing taken that is not ours."""

import sys

import numpy as np
import pytest
from spacepackets.ccsds import PacketType, SequenceFlags, SpacePacketHeader

from satqkd.config import Lasercom
from satqkd.errors import ConfigError
from satqkd.lasercom import BARE, Direction, Endpoint, Priority, SpacePackets, framing_of

DATAGRAM = bytes(range(27))


def primary_header(packet: bytes) -> dict[str, int]:
    """CCSDS 133.0-B-2, figure 4-2, read bit by bit from the left."""
    bits = "".join(f"{byte:08b}" for byte in packet[:6])
    fields, at = {}, 0
    for name, width in (
        ("version", 3), ("type", 1), ("secondary", 1), ("apid", 11),
        ("flags", 2), ("count", 14), ("length", 16),
    ):  # fmt: skip
        fields[name] = int(bits[at : at + width], 2)
        at += width
    return fields


def ends() -> tuple[SpacePackets, SpacePackets]:
    satellite, station = (SpacePackets(direction=direction, base_apid=64) for direction in Direction)
    return satellite, station


def test_the_bytes_are_the_published_ones() -> None:
    _, station = ends()
    assert station.wrap(DATAGRAM, Priority.FILES) == bytes.fromhex("1043c000001a") + DATAGRAM


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("direction", Direction)
def test_a_header_says_what_the_standard_wants(direction: Direction, priority: Priority) -> None:
    framing = SpacePackets(direction=direction, base_apid=2043)
    kind = int(direction)
    for count in (0, 1):
        packet = framing.wrap(DATAGRAM, priority)
        assert primary_header(packet) == {
            "version": 0, "type": kind, "secondary": 0, "apid": 2043 + priority, "flags": 3, "count": count,
            "length": len(DATAGRAM) - 1,
        }  # fmt: skip
        theirs = SpacePacketHeader.unpack(packet)
        assert theirs.packet_type == (PacketType.TM, PacketType.TC)[kind]
        assert theirs.seq_flags == SequenceFlags.UNSEGMENTED
        assert (theirs.apid, theirs.seq_count, theirs.packet_len) == (2043 + priority, count, len(packet))


def test_counts_run_per_apid_and_wrap_after_14_bits() -> None:
    satellite, station = ends()
    for number in range((1 << 14) + 3):
        packet = satellite.wrap(DATAGRAM, Priority.TELEMETRY)
        assert primary_header(packet)["count"] == number % (1 << 14)
    assert primary_header(satellite.wrap(DATAGRAM, Priority.URGENT))["count"] == 0
    assert station.unwrap(packet) == DATAGRAM


def test_what_is_not_ours_is_refused() -> None:
    satellite, station = ends()
    packet = satellite.wrap(DATAGRAM, Priority.URGENT)
    assert station.unwrap(packet) == DATAGRAM
    assert satellite.unwrap(packet) is None
    assert station.unwrap(DATAGRAM) is None and station.unwrap(b"") is None
    assert station.unwrap(packet[:-1]) is None and station.unwrap(packet + b"x") is None
    other = SpacePackets(direction=Direction.FROM_SATELLITE, base_apid=68)
    assert station.unwrap(other.wrap(DATAGRAM, Priority.URGENT)) is None
    assert (
        station.unwrap(SpacePackets(direction=Direction.FROM_SATELLITE, base_apid=60).wrap(DATAGRAM, 3))
        is None
    )
    for bit in range(48):
        spoilt = bytearray(packet)
        spoilt[bit // 8] ^= 1 << 7 - bit % 8
        within_apids, in_count = 14 <= bit < 16, 18 <= bit < 32
        assert (station.unwrap(bytes(spoilt)) is not None) == (within_apids or in_count), bit


def test_noise_is_no_packet() -> None:
    rng, (_, station) = np.random.default_rng(1), ends()
    for size in rng.integers(0, 1300, 2000):
        assert station.unwrap(rng.bytes(int(size))) is None


@pytest.mark.parametrize("base_apid", [-1, 2044])
def test_apids_out_of_range_are_refused(base_apid: int) -> None:
    with pytest.raises(ConfigError, match=r"base_apid: expected 0 to 2043"):
        SpacePackets(direction=Direction.FROM_STATION, base_apid=base_apid)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacepackets.ccsds", None)
    with pytest.raises(ConfigError, match=r"satqkd\[ccsds\]"):
        SpacePackets(direction=Direction.FROM_STATION, base_apid=64)


def test_both_terminals_are_set_alike() -> None:
    bare = Lasercom(rate_bit_s=1e6, frame_loss=0.0)
    packed = Lasercom(rate_bit_s=1e6, frame_loss=0.0, framing="space-packets")
    shifted = Lasercom(rate_bit_s=1e6, frame_loss=0.0, framing="space-packets", base_apid=100)
    assert framing_of(bare, bare, Direction.FROM_STATION) is BARE
    assert isinstance(framing_of(packed, packed, Direction.FROM_STATION), SpacePackets)
    for satellite, station in ((bare, packed), (packed, shifted)):
        with pytest.raises(ConfigError, match="the same at both terminals"):
            framing_of(satellite, station, Direction.FROM_STATION)


def test_endpoints_talk_in_packets_and_count_their_bytes() -> None:
    framings = ends()
    satellite, station = (
        Endpoint(
            link_tag=b"pass",
            direction=direction,
            boot=1,
            rate_bit_s=1e6,
            light_time_s=lambda now_s: 0.004,
            maximum_message_bytes=100_000,
            framing=framing,
        )
        for direction, framing in zip(Direction, framings, strict=True)
    )
    message, received = bytes(50_000), []
    sent_bits = []
    for tick in range(80):
        while satellite.room(len(message), priority=Priority.FILES):
            satellite.send(message, priority=Priority.FILES)
        down, up = satellite.data_to_send(tick * 0.05), station.data_to_send(tick * 0.05)
        sent_bits.append(8 * sum(map(len, down)))
        for data in down:
            station.receive(data, tick * 0.05)
        for data in up:
            satellite.receive(data, tick * 0.05)
        while (each := station.next_message()) is not None:
            received.append(each)
    assert received and all(each == (Priority.FILES, message) for each in received)
    assert abs(sum(sent_bits[20:]) - 1e6 * 0.05 * 60) <= 8 * 1134
    assert satellite.counts.rejected == station.counts.rejected == 0
