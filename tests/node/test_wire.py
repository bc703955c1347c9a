"""Ticks over UDP: batches survive loss, repetition and disorder; foreign packets are ignored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.node.wire import (
    FLAG_FINISHED,
    HEADER,
    MAXIMUM_PACKETS,
    Assembly,
    Line,
    Packet,
    PacketKind,
    batch,
    contact_tag,
    decode,
    encode,
)

LINE = Line(b"pass", 1, 7)

PACKETS = st.builds(
    Packet,
    st.sampled_from(PacketKind),
    st.builds(Line, st.binary(min_size=4, max_size=4), st.integers(0, 255), st.integers(0, 2**32 - 1)),
    st.integers(0, 255),
    st.integers(-(2**31), 2**31 - 1),
    st.just(0),
    st.integers(0, MAXIMUM_PACKETS),
    st.binary(max_size=64),
)


@given(PACKETS)
def test_a_packet_comes_back(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


def test_golden_bytes() -> None:
    data = encode(Packet(PacketKind.DONE, LINE, FLAG_FINISHED, -200, 2, 3, b"light"))
    head = "53515432" + "02" + "01" + "01" + "00" + b"pass".hex() + "07000000" + "38ffffff"
    assert data.hex() == head + "02000000" + "03000000" + b"light".hex()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SQT2",
        bytes(HEADER.size),
        HEADER.pack(b"SQT1", 0, 0, 0, b"pass", 0, 0, 0, 0),
        HEADER.pack(b"SQT2", 6, 0, 0, b"pass", 0, 0, 0, 0),
        HEADER.pack(b"SQT2", 0, 0, 0, b"pass", 0, 0, 1, 1),
        HEADER.pack(b"SQT2", 0, 0, 0, b"pass", 0, 0, 1, 0),
        HEADER.pack(b"SQT2", 0, 0, 0, b"pass", 0, 0, 0, MAXIMUM_PACKETS + 1),
    ],
    ids=range(8),
)
def test_what_is_none_is_ignored(data: bytes) -> None:
    assert decode(data) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_ignored(data: bytes) -> None:
    for each in (data, b"SQT2" + data):
        packet = decode(each)
        assert packet is None or encode(packet)[:7] == each[:7]


@given(st.lists(st.binary(max_size=8), max_size=12), st.data())
def test_a_batch_is_whole_however_it_arrives(datagrams: list[bytes], draw: st.DataObject) -> None:
    packets = batch(PacketKind.GRANT, LINE, 7, datagrams, flags=1)
    assembly = Assembly(PacketKind.GRANT, LINE, 7)
    order = draw.draw(st.permutations([*packets, *packets[:3]]))
    for i, data in enumerate(order):
        packet = decode(data)
        assert packet is not None
        missing = set(packets) - set(order[: i + 1])
        assert assembly.take(packet) == assembly.complete == (not missing)
    assert assembly.datagrams == datagrams
    assert assembly.flags == 1


def test_an_empty_batch_is_one_packet() -> None:
    (data,) = batch(PacketKind.DONE, LINE, 3, [])
    assembly = Assembly(PacketKind.DONE, LINE, 3)
    packet = decode(data)
    assert packet is not None
    assert not assembly.complete
    assert assembly.take(packet)
    assert assembly.datagrams == []


def test_what_belongs_to_another_tick_or_kind_is_not_taken() -> None:
    assembly = Assembly(PacketKind.DONE, LINE, 3)
    for kind, tick in ((PacketKind.DONE, 2), (PacketKind.GRANT, 3), (PacketKind.DONE, 4)):
        (data,) = batch(kind, LINE, tick, [])
        packet = decode(data)
        assert packet is not None
        assert not assembly.take(packet)


def test_a_batch_that_changes_its_mind_is_never_whole_by_mistake() -> None:
    """A late packet of a batch with another total must not make a half batch count as whole."""
    assembly = Assembly(PacketKind.DONE, LINE, 3)
    assert not assembly.take(Packet(PacketKind.DONE, LINE, 0, 3, 1, 3, b"two"))
    assert not assembly.take(Packet(PacketKind.DONE, LINE, 0, 3, 2, 3, b"three"))
    assert assembly.take(Packet(PacketKind.DONE, LINE, 0, 3, 0, 3, b"one"))
    assert assembly.datagrams == [b"one", b"two", b"three"]


@pytest.mark.parametrize("other", [Line(b"PASS", 1, 7), Line(b"pass", 0, 7), Line(b"pass", 1, 8)])
def test_what_belongs_to_another_contact_node_or_start_of_it_is_not_taken(other: Line) -> None:
    assembly = Assembly(PacketKind.DONE, LINE, 3)
    assert not assembly.take(Packet(PacketKind.DONE, other, 0, 3, 0, 0, b""))
    assert assembly.take(Packet(PacketKind.DONE, LINE, 0, 3, 0, 0, b""))


def test_contacts_have_tags_of_their_own() -> None:
    tags = {contact_tag(f"jinan-1.beijing.20241003T140029Z.seed{seed}") for seed in range(1000)}
    assert len(tags) == 1000
    assert contact_tag("a").hex() == "ca978112"
