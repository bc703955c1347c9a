"""One priority stream at its edges: repetition once, probes when all is held, pieces that must join."""

from satqkd.lasercom.frames import Direction, Frame, Held, Kind, decode
from satqkd.lasercom.streams import Inbound, Label, Outbound


def outbound(*, window_frames: int = 4) -> Outbound:
    label = Label(b"pass", 1, 1, Direction.FROM_SATELLITE)
    return Outbound(stream=0, label=label, window_frames=window_frames)


def send_all(out: Outbound) -> list[int]:
    sent = []
    while (flight := out.head()) is not None:
        out.pop()
        sent.append(flight.sequence)
    return sent


def piece(sequence: int, total: int, offset: int, payload: bytes) -> Frame:
    return Frame(Kind.DATA, b"pass", 1, 1, Direction.FROM_SATELLITE, 0, sequence, total, offset, payload)


def test_the_window_opens_with_the_first_missing_frame() -> None:
    out = outbound()
    out.offer(bytes(6600))
    assert send_all(out) == [0, 1, 2, 3]
    out.acknowledge(Held(0, 0b1110))
    assert send_all(out) == []
    assert [flight.sequence for flight in out.acknowledge(Held(4, 0))] == [0]
    assert send_all(out) == [4, 5]


def test_a_frame_asked_for_twice_goes_again_once() -> None:
    out = outbound()
    out.offer(bytes(2200))
    send_all(out)
    late, first = reversed(out.probes(2))
    for flight in (late, first, late):
        out.repeat(flight)
    assert send_all(out) == [0, 1]
    out.repeat(late)
    assert send_all(out) == [1]


def test_a_repetition_that_became_needless_is_forgotten() -> None:
    out = outbound()
    out.offer(bytes(2200))
    send_all(out)
    for flight in out.probes(2):
        out.repeat(flight)
    out.acknowledge(Held(0, 0b10))
    assert send_all(out) == [0]
    out.acknowledge(Held(2, 0))
    assert send_all(out) == [] and out.idle and out.held_bytes == 0


def test_a_probe_asks_with_a_missing_frame_or_else_with_a_held_one() -> None:
    out = outbound()
    out.offer(bytes(3300))
    send_all(out)
    out.acknowledge(Held(0, 0b101))
    assert [flight.sequence for flight in out.probes(4)] == [1]
    out.acknowledge(Held(0, 0b111))
    (probe,) = out.probes(1)
    out.repeat(probe)
    assert send_all(out) == [0]


def test_an_empty_message_is_one_frame() -> None:
    out = outbound()
    out.offer(b"")
    out.offer(b"x")
    frames = []
    while (flight := out.head()) is not None:
        out.pop()
        frames.append(decode(flight.datagram))
    into = Inbound(maximum_message_bytes=10, maximum_unread_bytes=100)
    assert all(frame is not None and into.accept(frame) for frame in frames)
    assert [into.read()[0] for _ in range(3)] == [b"", b"x", None]


def test_a_message_keeps_the_length_it_began_with() -> None:
    into = Inbound(maximum_message_bytes=100, maximum_unread_bytes=100)
    into.accept(piece(0, 6, 0, b"abc"))
    into.accept(piece(1, 5, 3, b"de"))
    assert into.rejected == 1 and into.held == Held(1, 0)
    into.accept(piece(1, 6, 3, b"def"))
    assert into.read() == (b"abcdef", False)


def test_unread_messages_hold_back_what_follows() -> None:
    into = Inbound(maximum_message_bytes=50, maximum_unread_bytes=50)
    for number in range(3):
        into.accept(piece(number, 30, 0, bytes([number]) * 30))
    assert into.held == Held(1, 0b11)
    assert into.read() == (bytes(30), True)
    assert into.held == Held(2, 0b1)
