"""Who sits on the classical link: reads, changes, adds and holds back datagrams, and knows no key.

An attacker sees every datagram on its way and says what arrives in its place. Frames are the link's own, with
checksums that fit: nothing below the shared key stops it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from satqkd.lasercom import Frame, Kind, decode, encode
from satqkd.lasercom.frames import MAXIMUM_PAYLOAD_BYTES

FLOOD_FRAMES = 40
"""A tick and stream."""


class Attacker:
    """Lets everything through; keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.at_work = True
        """Whether it does more than look on."""
        self.acted = 0

    def arrives(self, way: str, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """What comes out at the end of a way ("down" to the station, "up"), in the place of what was to."""
        out: list[bytes] = []
        for data in datagrams:
            frame = decode(data)
            came = [data] if frame is None or not self.at_work else self.instead(way, now_s, data, frame)
            self.acted += came != [data]
            out += came
            self.seen.append((way, data))
        if self.at_work:
            added = self.besides(way, now_s)
            self.acted += len(added)
            out += added
        return out

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        """In the place of one datagram."""
        return [data]

    def besides(self, way: str, now_s: float) -> list[bytes]:
        """Out of nothing, in each tick."""
        return []

    def last(self, way: str) -> Frame | None:
        """The newest frame of a way of the connection that is open."""
        found = next((data for seen, data in reversed(self.seen) if seen == way), None)
        return None if found is None else decode(found)


def other(way: str) -> str:
    """The opposite way."""
    return "up" if way == "down" else "down"


class Changes(Attacker):
    """One bit of every tenth message, under a checksum that fits."""

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        if frame.kind is not Kind.DATA or frame.sequence % 10 != 3 or not frame.payload:
            return [data]
        payload = bytes([*frame.payload[:-1], frame.payload[-1] ^ 1])
        return [encode(msgspec.structs.replace(frame, payload=payload))]


class ReplaysInThePass(Attacker):
    """Everything comes again, half a second later and two seconds later."""

    def __init__(self) -> None:
        super().__init__()
        self.later: list[tuple[float, str, bytes]] = []

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        self.later += [(now_s + 0.5, way, data), (now_s + 2.0, way, data)]
        return [data]

    def besides(self, way: str, now_s: float) -> list[bytes]:
        due = [data for at_s, there, data in self.later if there == way and at_s <= now_s]
        self.later = [each for each in self.later if each[1] != way or each[0] > now_s]
        return due


class ReplaysAnotherContact(Attacker):
    """All of an earlier contact, as it was, a few datagrams a tick."""

    def __init__(self, spy: Attacker) -> None:
        super().__init__()
        self.spy, self.place = spy, {"up": 0, "down": 0}

    def heard(self, way: str, count: int) -> list[bytes]:
        """What the spy saw that way, the next so many."""
        there = [data for seen, data in self.spy.seen if seen == way]
        start = self.place[way]
        self.place[way] = min(start + count, len(there))
        return there[start : self.place[way]]

    def besides(self, way: str, now_s: float) -> list[bytes]:
        return self.heard(way, 5)


class Resettles(ReplaysAnotherContact):
    """Messages of an earlier contact in frames of this one: the messages are true, and of another pass."""

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        whole = frame.kind is Kind.DATA and frame.first and frame.last
        if not whole or frame.sequence % 6 != 4:
            return [data]
        old = [decode(each) for each in self.heard(way, 12)]
        payloads = [
            each.payload for each in old if each and each.kind is Kind.DATA and each.first and each.last
        ]
        return [encode(msgspec.structs.replace(frame, payload=payloads[0]))] if payloads else [data]

    def besides(self, way: str, now_s: float) -> list[bytes]:
        return []


class Reflects(Attacker):
    """Each end hears itself: as it spoke, and in frames that seem to come from the other."""

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        back = self.last(other(way))
        if (
            back is None
            or back.kind is not Kind.DATA
            or frame.kind is not Kind.DATA
            or frame.sequence % 8 != 5
        ):
            return [data, *(each for there, each in self.seen[-1:] if there == other(way))]
        return [
            encode(msgspec.structs.replace(frame, payload=back.payload, first=back.first, last=back.last))
        ]


class InjectsFrames(Attacker):
    """Frames of the open connection that nobody sent: pieces of messages, acknowledgements of everything."""

    def besides(self, way: str, now_s: float) -> list[bytes]:
        frame = self.last(way)
        if frame is None or round(now_s * 20) % 7:
            return []
        fields: dict[str, Any] = {"first": True, "last": True, "payload": b"made up", "stream": 1}
        sequence = frame.sequence + 2 if frame.kind is Kind.DATA else 3
        made = msgspec.structs.replace(frame, kind=Kind.DATA, sequence=sequence, **fields)
        received = b"\x0f" + b"\xff\xff\xff\x7f\xff\xff\xff\x7f\x00\x00" * 4
        claim = msgspec.structs.replace(
            frame, kind=Kind.ACK, sequence=9, stream=0, first=False, last=False, payload=received
        )
        return [encode(each) for each in (made, claim) if each.peer_boot]


class CallsByOtherBoots(Attacker):
    """Frames of starts that never were, of either end, up to the largest number."""

    def __init__(self, boot: int, peer_boot: int) -> None:
        super().__init__()
        self.boots = boot, peer_boot

    def besides(self, way: str, now_s: float) -> list[bytes]:
        frame = self.last(way)
        if frame is None or round(now_s * 20) % 5:
            return []
        boot, peer_boot = self.boots
        bare = Frame(
            Kind.OPEN, frame.link_tag, frame.direction, boot or frame.boot, peer_boot or frame.peer_boot
        )
        return [encode(bare)]


class InjectsMessages(Attacker):
    """Whole messages in the place of true ones, in the session's own format."""

    def __init__(self, make: Callable[[], bytes], *, at: int = 4) -> None:
        super().__init__()
        self.make, self.at = make, at

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        whole = frame.kind is Kind.DATA and frame.first and frame.last
        if not whole or frame.sequence % 5 != self.at:
            return [data]
        payload = self.make()[:MAXIMUM_PAYLOAD_BYTES]
        return [encode(msgspec.structs.replace(frame, payload=payload))]


class Delays(Attacker):
    """Everything is held back by a second, one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.held: list[tuple[float, bytes]] = []

    def instead(self, way: str, now_s: float, data: bytes, frame: Frame) -> list[bytes]:
        if way != self.way:
            return [data]
        self.held.append((now_s + 1.0, data))
        return []

    def besides(self, way: str, now_s: float) -> list[bytes]:
        if way != self.way:
            return []
        due = [data for at_s, data in self.held if at_s <= now_s]
        self.held = [each for each in self.held if each[0] > now_s]
        return due


class Floods(Attacker):
    """Messages that begin and never end, on all streams, and datagrams far too long."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence = 50

    def besides(self, way: str, now_s: float) -> list[bytes]:
        frame = self.last(way)
        if frame is None or not frame.peer_boot:
            return []
        payload, out = bytes(MAXIMUM_PAYLOAD_BYTES), [b"SQ" + bytes(1 << 16)]
        for step in range(FLOOD_FRAMES):
            for stream in range(4):
                fields: dict[str, Any] = {"stream": stream, "first": step == 0, "last": False}
                made = msgspec.structs.replace(
                    frame, kind=Kind.DATA, sequence=self.sequence + step, payload=payload, **fields
                )
                out.append(encode(made))
        self.sequence += FLOOD_FRAMES
        return out
