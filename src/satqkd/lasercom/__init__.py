"""The classical laser link: frames, reliable ordered messages by priority, the emulator's channel.

Sans-I/O: time is an argument, datagrams come and go as bytes. What a message means is not known here.
The layout of every byte stands in `docs/wire-link.md`.
"""

from satqkd.lasercom.arq import Endpoint, LinkCounts
from satqkd.lasercom.channel import Channel, ChannelCounts, FrameLoss
from satqkd.lasercom.fates import Fates
from satqkd.lasercom.frames import (
    MAXIMUM_BOOT,
    MAXIMUM_DATAGRAM_BYTES,
    Direction,
    Frame,
    Kind,
    Priority,
    decode,
    encode,
)
from satqkd.lasercom.framing import BARE, Framing, SpacePackets, framing_of
from satqkd.lasercom.streams import wire_bytes

__all__ = [
    "BARE",
    "MAXIMUM_BOOT",
    "MAXIMUM_DATAGRAM_BYTES",
    "Channel",
    "ChannelCounts",
    "Direction",
    "Endpoint",
    "Fates",
    "Frame",
    "FrameLoss",
    "Framing",
    "Kind",
    "LinkCounts",
    "Priority",
    "SpacePackets",
    "decode",
    "encode",
    "framing_of",
    "wire_bytes",
]
