"""The classical laser link: frames, reliable ordered messages by priority, the emulator's channel.

Sans-I/O: time is an argument, datagrams come and go as bytes. What a message means is not known here.
The layout of every byte stands in `docs/wire-link.md`.
"""

from satqkd.lasercom.arq import Endpoint, LinkCounts
from satqkd.lasercom.channel import Channel, ChannelCounts, FrameLoss
from satqkd.lasercom.frames import MAXIMUM_DATAGRAM_BYTES, Direction, Frame, Kind, Priority, decode, encode

__all__ = [
    "MAXIMUM_DATAGRAM_BYTES",
    "Channel",
    "ChannelCounts",
    "Direction",
    "Endpoint",
    "Frame",
    "FrameLoss",
    "Kind",
    "LinkCounts",
    "Priority",
    "decode",
    "encode",
]
