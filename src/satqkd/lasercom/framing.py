"""What datagrams travel in between the terminal and its modem: nothing, or CCSDS Space Packets.

A Space Packet is a primary header of six bytes (CCSDS 133.0-B-2, 4.1.3), then the datagram as it is: no
secondary header, unsegmented, one APID per priority, telemetry downwards and telecommand upwards. What is
not such a packet is refused. `spacepackets` is imported when packets are asked for. No clock, no socket.
"""

from typing import Final
from typing import Protocol as Interface

from satqkd.config.lasercom import Lasercom
from satqkd.errors import ConfigError
from satqkd.lasercom.frames import MAXIMUM_DATAGRAM_BYTES, OVERHEAD_BYTES, STREAMS, Direction

IDLE_APID: Final = 0x7FF
"""Reserved for idle packets (CCSDS 133.0-B-2, 4.1.3.3.4.4)."""
HEADER_BYTES: Final = 6


class Framing(Interface):
    """What an endpoint asks of it."""

    @property
    def overhead_bytes(self) -> int:
        """Added to every datagram."""
        ...

    def wrap(self, datagram: bytes, priority: int) -> bytes:
        """What goes to the modem for a datagram of this priority."""
        ...

    def unwrap(self, data: bytes) -> bytes | None:
        """The datagram in what came from the modem; None when there is none of the peer's."""
        ...


class Bare:
    """Datagrams as they are."""

    overhead_bytes = 0

    def wrap(self, datagram: bytes, priority: int) -> bytes:
        """The datagram."""
        return datagram

    def unwrap(self, data: bytes) -> bytes | None:
        """The datagram."""
        return data


BARE: Final = Bare()


class SpacePackets:
    """Datagrams in Space Packets.

    direction: of this end; it sends packets of one type and takes those of the other.
    base_apid: APID of priority 0; the other priorities take the next three.
    Raises ConfigError when an APID is out of range or idle, or `spacepackets` is not installed.
    """

    overhead_bytes = HEADER_BYTES

    def __init__(self, *, direction: Direction, base_apid: int) -> None:
        try:
            from spacepackets.ccsds import PacketType, SequenceFlags, SpacePacketHeader
        except ImportError:
            raise ConfigError(
                "lasercom framing: expected the library spacepackets for space-packets, got none; install "
                'it with `pip install "satqkd[ccsds]"`, or set framing = "bare"'
            ) from None
        if not 0 <= base_apid <= IDLE_APID - STREAMS:
            raise ConfigError(
                f"lasercom base_apid: expected 0 to {IDLE_APID - STREAMS}, so that {STREAMS} APIDs fit below "
                f"the idle one, got {base_apid}"
            )
        self._header, self._unsegmented = SpacePacketHeader, SequenceFlags.UNSEGMENTED
        down, up = PacketType.TM, PacketType.TC
        from_satellite = direction is Direction.FROM_SATELLITE
        self._sent_type, self._taken_type = (down, up) if from_satellite else (up, down)
        self._base_apid = base_apid
        self._counts = [0] * STREAMS

    def wrap(self, datagram: bytes, priority: int) -> bytes:
        """A packet of the priority's APID, with its next sequence count."""
        header = self._header(
            packet_type=self._sent_type,
            apid=self._base_apid + priority,
            seq_count=self._counts[priority],
            data_len=len(datagram) - 1,
            sec_header_flag=False,
            seq_flags=self._unsegmented,
        )
        self._counts[priority] = (self._counts[priority] + 1) % (1 << 14)
        return bytes(header.pack()) + datagram

    def unwrap(self, data: bytes) -> bytes | None:
        """The datagram in a packet of the other direction and of one of the four APIDs."""
        smallest, largest = OVERHEAD_BYTES + HEADER_BYTES, MAXIMUM_DATAGRAM_BYTES + HEADER_BYTES
        if not smallest <= len(data) <= largest:
            return None
        header = self._header.unpack(data[:HEADER_BYTES])
        if header.ccsds_version or header.sec_header_flag or header.seq_flags != self._unsegmented:
            return None
        ours = 0 <= header.apid - self._base_apid < STREAMS and header.packet_type == self._taken_type
        return data[HEADER_BYTES:] if ours and header.data_len == len(data) - HEADER_BYTES - 1 else None


def framing_of(satellite: Lasercom, station: Lasercom, direction: Direction) -> Framing:
    """The framing that both terminals are set to, for the end that sends this way.

    Raises ConfigError when they differ, and what `SpacePackets` raises.
    """
    own, other = ((each.framing, each.base_apid) for each in (satellite, station))
    if own != other:
        raise ConfigError(
            f"lasercom framing and base_apid: expected the same at both terminals, got {own} at the "
            f"satellite and {other} at the station; set one like the other"
        )
    if satellite.framing == "bare":
        return BARE
    return SpacePackets(direction=direction, base_apid=satellite.base_apid)
