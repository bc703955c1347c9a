"""What two neighbours say about parcels, and its bytes.

Frozen structs in MessagePack (arrays, tagged by name) inside `[version, message]`; the layout stands in
`docs/protocol.md`. Nobody vouches for them: what they carry has tags and tokens of its own, and what they
claim is believed no further than it can do no harm (`docs/traffic.md`). Every length that the peer chooses
is capped here. Knows no state and no key.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from satqkd.keys.traffic import Parcel

VERSION: Final = 1
CHUNK_BYTES: Final = 32 * 1024
WHOLE_BYTES: Final = 2048
"""A parcel up to this goes in one message, unasked."""
MAXIMUM_BYTES: Final = CHUNK_BYTES + 1024
"""Of a message."""
MAXIMUM_PARCEL_BYTES: Final = 1 << 28

Size = Annotated[int, Meta(ge=1, le=MAXIMUM_PARCEL_BYTES)]
Offset = Annotated[int, Meta(ge=0, le=MAXIMUM_PARCEL_BYTES)]
Reason = Literal["full", "too large", "unknown receiver", "wrong tag", "unreadable", "origin"]


class CourierMessage(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages: each is about one parcel."""

    parcel: Parcel


class Offer(CourierMessage, frozen=True, array_like=True):
    """A parcel is ready; the peer says from where on it wants it."""

    size_bytes: Size
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    urgent: bool


class Whole(CourierMessage, frozen=True, array_like=True):
    """A small parcel at once."""

    urgent: bool
    data: Annotated[bytes, Meta(min_length=1, max_length=WHOLE_BYTES)]


class Chunk(CourierMessage, frozen=True, array_like=True):
    """Some of a parcel's bytes; chunks follow each other without gap."""

    offset: Offset
    data: Annotated[bytes, Meta(min_length=1, max_length=CHUNK_BYTES)]


class Custody(CourierMessage, frozen=True, array_like=True):
    """So many bytes are on the peer's disk; all of them: it has dealt with the parcel."""

    offset: Offset
    resume: bool
    """Go on from there: the answer to an offer, or to a gap."""


class Refused(CourierMessage, frozen=True, array_like=True):
    """The peer does not take the parcel, in this connection."""

    reason: Reason


AnyCourierMessage = Offer | Whole | Chunk | Custody | Refused


class CourierEnvelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message on the wire."""

    version: Literal[1]
    message: AnyCourierMessage


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CourierEnvelope)


def encode(message: AnyCourierMessage) -> bytes:
    """A message's bytes."""
    return _encoder.encode(CourierEnvelope(VERSION, message))


def decode(data: bytes) -> AnyCourierMessage | None:
    """The message, or None for bytes that are none: the line is not authenticated, so that is no error."""
    if len(data) > MAXIMUM_BYTES:
        return None
    try:
        return _decoder.decode(data).message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
