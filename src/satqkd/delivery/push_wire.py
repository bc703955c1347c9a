"""What a node and its key server say when key is pushed: objects in JSON, in the words of ETSI GS QKD 004.

    OPEN_CONNECT  source, destination, QoS, stream, what the block is   ->  QoS, stream, index wanted, status
    key           stream, index, buffer                                 ->  index wanted, status
    CLOSE         stream                                                ->  status

The standard pulls key out of a stream; here it is pushed into one, chunk by chunk with increasing index. One
stream is one block. Names and status codes are the standard's (V2.1.1), paths and bytes are ours.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.delivery.wire import UUID_PATTERN
from satqkd.errors import Error, KeyAlreadyUsed, KeyExhausted
from satqkd.keys.model import NodeName
from satqkd.keys.push_door import LEAST_CHUNK_BYTES, NoLink, PushedBlock, StreamInUse

OPEN_PATH: Final = "/satqkd/v1/push/open_connect"
KEY_PATH: Final = "/satqkd/v1/push/key"
CLOSE_PATH: Final = "/satqkd/v1/push/close"
BODY_BYTES: Final = 65_536
"""The longest request."""
DONE: Final = 0
TOO_LITTLE_KEY: Final = 2
NO_LINK: Final = 4
STREAM_IN_USE: Final = 5
QOS_NOT_MET: Final = 7
STATUS_OF: Final[dict[type[Error], int]] = {
    StreamInUse: STREAM_IN_USE,
    KeyAlreadyUsed: STREAM_IN_USE,
    NoLink: NO_LINK,
    KeyExhausted: TOO_LITTLE_KEY,
}
"""How the standard calls what an intake refuses."""
StreamId = Annotated[str, Meta(pattern=UUID_PATTERN)]


class Qos(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a stream; all else that the standard knows is for streams that flow."""

    Key_chunk_size: Annotated[int, Meta(ge=LEAST_CHUNK_BYTES, le=1 << 30)]
    """Bytes of every chunk but the last."""


class OpenConnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a stream, or ask how far it is."""

    Source: NodeName
    """The node whose key it is: the owner of both stores."""
    Destination: NodeName
    """The node at the other end of the key."""
    QoS: Qos
    Key_stream_ID: StreamId
    Metadata: PushedBlock


class OpenAnswer(msgspec.Struct, frozen=True):
    """Where the stream stands."""

    Key_stream_ID: str
    QoS: Qos
    """What holds; with status 7, what could be had."""
    index: int
    """The chunk that is wanted."""
    status: int
    message: str = ""


class PushKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chunk."""

    Key_stream_ID: StreamId
    index: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    Key_buffer: bytes
    """Base64."""

    def __repr__(self) -> str:
        return f"<PushKey {self.index} of {self.Key_stream_ID}>"


class PushAnswer(msgspec.Struct, frozen=True):
    """Which chunk is wanted now."""

    index: int
    status: int
    message: str = ""


class Close(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All came."""

    Key_stream_ID: StreamId


class CloseAnswer(msgspec.Struct, frozen=True):
    """Status 0 is the receipt: the block is in the server's store."""

    status: int
    message: str = ""
