"""One priority stream at its edges: repetition once, probes when all is held, pieces that must join."""

from satqkd.lasercom.connection import Peering
from satqkd.lasercom.frames import MAXIMUM_PAYLOAD_BYTES, Direction, Frame, Held, Kind, decode
from satqkd.lasercom.streams import Inbound, Outbound

PAYLOAD = MAXIMUM_PAYLOAD_BYTES


def outbound() -> Outbound:
    peering = Peering(link_tag=b"pass", direction=Direction.FROM_SATELLITE, boot=3)
    peering.hear(Frame(Kind.OPEN, b"pass", Direction.FROM_STATION, 7, 0))
    return Outbound(stream=0, peering=peering)


def send_all(out: Outbound, *, window_frames: int = 4) -> list[int]:
    sent = []
    while (flight := out.head(window_frames)) is not None:
        out.pop()
        sent.append(flight.sequence)
    return sent


def piece(sequence: int, ends: str, payload: bytes) -> Frame:
    first, last = "f" in ends, "l" in ends
    return Frame(Kind.DATA, b"pass", Direction.FROM_SATELLITE, 3, 7, 0, first, last, sequence, payload)


def test_the_window_opens_with_the_first_missing_frame() -> None:
    out = outbound()
    out.offer(bytes(6 * PAYLOAD))
    assert send_all(out) == [0, 1, 2, 3]
    out.acknowledge(Held(0, 0, 0b1110))
    assert send_all(out) == []
    assert [flight.sequence for flight in out.acknowledge(Held(4, 0, 0))] == [0]
    assert send_all(out) == [4, 5]


def test_a_frame_asked_for_twice_goes_again_once() -> None:
    out = outbound()
    out.offer(bytes(2 * PAYLOAD))
    send_all(out)
    late, first = reversed(out.probes(2))
    for flight in (late, first, late):
        out.repeat(flight)
    assert send_all(out) == [0, 1]
    out.repeat(late)
    assert send_all(out) == [1]


def test_a_repetition_that_became_needless_is_forgotten() -> None:
    out = outbound()
    out.offer(bytes(2 * PAYLOAD))
    send_all(out)
    for flight in out.probes(2):
        out.repeat(flight)
    out.acknowledge(Held(0, 0, 0b10))
    assert send_all(out) == [0]
    out.acknowledge(Held(2, 0, 0))
    assert send_all(out) == [] and out.idle and out.held_bytes == 0


def test_a_probe_asks_with_missing_frames_or_else_with_one_that_is_held() -> None:
    out = outbound()
    out.offer(bytes(3 * PAYLOAD))
    send_all(out)
    out.acknowledge(Held(0, 0, 0b100))
    assert [flight.sequence for flight in out.probes(4)] == [0, 1]
    out.acknowledge(Held(0, 0, 0b111))
    (probe,) = out.probes(4)
    out.repeat(probe)
    assert send_all(out) == [0]


def test_what_the_peer_has_read_is_delivered_and_nothing_else_is() -> None:
    out = outbound()
    for size in (2 * PAYLOAD, 1, 1):
        out.offer(bytes(size))
    send_all(out)
    assert not out.possible(Held(1, 1, 0)) and not out.possible(Held(4, 4, 0))
    assert out.possible(Held(2, 1, 0b10))
    out.acknowledge(Held(4, 0, 0))
    assert out.idle and out.delivered == 0
    assert out.possible(Held(4, 3, 0)) and not out.possible(Held(4, 4, 0))
    out.acknowledge(Held(4, 2, 0))
    out.acknowledge(Held(2, 1, 0b11))
    assert out.delivered == 2


def test_an_empty_message_is_one_frame() -> None:
    out = outbound()
    out.offer(b"")
    out.offer(b"x")
    frames = []
    while (flight := out.head(4)) is not None:
        out.pop()
        frames.append(decode(flight.datagram))
    into = Inbound(maximum_message_bytes=10, maximum_unread_bytes=100)
    assert all(frame is not None and into.accept(frame) for frame in frames)
    assert [into.read() for _ in range(3)] == [b"", b"x", None]


def test_pieces_join_by_their_marks() -> None:
    into = Inbound(maximum_message_bytes=100, maximum_unread_bytes=100)
    into.accept(piece(0, "f", b"abc"))
    into.accept(piece(1, "fl", b"x"))
    assert into.rejected == 1 and into.held == Held(1, 0, 0)
    into.accept(piece(1, "l", b"def"))
    into.accept(piece(2, "l", b"x"))
    assert into.rejected == 2 and into.read() == b"abcdef" and into.held == Held(2, 1, 0)


def test_a_message_over_the_cap_is_not_taken() -> None:
    into = Inbound(maximum_message_bytes=5, maximum_unread_bytes=100)
    into.accept(piece(0, "f", b"abc"))
    into.accept(piece(1, "l", b"def"))
    assert into.rejected == 1 and into.read() is None
    into.accept(piece(1, "l", b"de"))
    assert into.read() == b"abcde"


def test_unread_messages_hold_back_what_follows() -> None:
    into = Inbound(maximum_message_bytes=50, maximum_unread_bytes=50)
    for number in range(3):
        into.accept(piece(number, "fl", bytes([number]) * 30))
    assert into.held == Held(1, 0, 0b11)
    assert into.read() == bytes(30)
    assert into.held == Held(2, 1, 0b1)
