"""What the two ends say to each other, and its bytes.

Every message is a frozen struct in MessagePack (arrays, tagged by name) inside an envelope
`[version, pass_id, sequence, message]`; the layout stands in `docs/protocol.md`. Bit strings are
bytes, bit i in byte i // 8 at position i % 8. Every length that the peer chooses is capped here,
before anything is built from it. Knows no state and no key.
"""

from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from satqkd.bits import Bits, from_bytes
from satqkd.errors import RemoteProtocolError

VERSION: Final = 2
MAXIMUM_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAXIMUM_BLOCK_DETECTIONS: Final = 12_000_000
"""The largest message about a whole block, its seeds or its values, fits: a bit a keyed round."""
MAXIMUM_ANNOUNCED: Final = 2**16
"""Detections in one announcement, and in one message of bases and its answer; a station splits longer
ones."""
MAXIMUM_CLAIMS: Final = 1024
"""Raw blocks that a hello names."""

Name = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=512)]
Count = Annotated[int, Meta(ge=0, lt=2**40)]
Small = Annotated[int, Meta(ge=0, lt=2**16)]
Basis = Annotated[int, Meta(ge=0, le=1)]
Blob = Annotated[bytes, Meta(max_length=MAXIMUM_MESSAGE_BYTES)]
Part = Annotated[bytes, Meta(max_length=MAXIMUM_ANNOUNCED // 8)]
"""A bit a detection of one message, or fewer."""
Sample = Annotated[bytes, Meta(max_length=2**20 // 8)]
"""A bit a round of the largest `polarisation_sample`."""
Tag = Annotated[bytes, Meta(min_length=16, max_length=16)]
Table = Annotated[tuple[tuple[Count, ...], ...], Meta(max_length=2)]
"""Counts by basis, then by class."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages."""


class BlockMessage(Message, frozen=True, array_like=True):
    """A message about one block."""

    block: Small


class RawClaim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A raw block that an end holds confirmed, in its hello."""

    block_id: Annotated[str, Meta(max_length=200)]
    pool: Name
    sifted_bits: Count
    """As predicted in hello of its pass."""
    detections: Count


class Hello(Message, frozen=True, array_like=True):
    """Both: who speaks, under which agreed parameters, where its authentication key stands, what it keeps."""

    node: Name
    peer: Name
    parameter_digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    authentication_position_bits: Count
    raw_blocks: Annotated[tuple[RawClaim, ...], Meta(max_length=MAXIMUM_CLAIMS)]


class BeaconSchedule(Message, frozen=True, array_like=True):
    """Satellite: beacon rate and code shift, so that the station can check what it was told beforehand."""

    rate_hz: float
    code_shift_s: float


class LockReport(Message, frozen=True, array_like=True):
    """Station: whether it follows the beacons, and how many it has seen."""

    locked: bool
    beacons_seen: Count


class Announce(BlockMessage, frozen=True, array_like=True):
    """Station: slot numbers of detections, Rice-coded gaps from `start_slot`; neither basis nor bit."""

    start_slot: Count
    detections: Annotated[int, Meta(ge=0, le=MAXIMUM_ANNOUNCED)]
    gaps: Blob


class Cut(BlockMessage, frozen=True, array_like=True):
    """Satellite: of this block it answers for no slot from here on; what was told of them is no detection."""

    start_slot: Count


class Keep(BlockMessage, frozen=True, array_like=True):
    """Station: after the last slot of a block that does not close its pool; its one-time tag."""

    detections: Count
    transcript_tag: Tag


class Kept(BlockMessage, frozen=True, array_like=True):
    """Satellite: it keeps the same detections; its one-time tag."""

    transcript_tag: Tag


class Ended(BlockMessage, frozen=True, array_like=True):
    """Station: the block's last slot is past, and so many detections are all, those of its raw blocks too."""

    detections: Count


class Bases(BlockMessage, frozen=True, array_like=True):
    """Station: a basis bit for each of the next detections; raw blocks' first, then as they were announced.

    After `Ended` when the announcement is deferred, after each `Announce` when it is streamed.
    """

    detections: Annotated[int, Meta(ge=1, le=MAXIMUM_ANNOUNCED)]
    bases: Part


class Sift(BlockMessage, frozen=True, array_like=True):
    """Satellite: for one message of bases, which matched, the classes of those, and the values of the unkeyed
    rounds."""

    keep: Part
    """A bit a detection."""
    is_signal: Part
    """A bit a kept detection."""
    is_vacuum: Part
    """A bit a kept detection that is no signal."""
    values: Part
    """A bit a kept detection of unkeyed basis or class."""


class Crossed(BlockMessage, frozen=True, array_like=True):
    """Satellite: the block has ended and all its bases are answered; a bit a sampled detection that is not
    kept: the frames' angle is estimated from them."""

    values: Sample


class ChooseCodes(BlockMessage, frozen=True, array_like=True):
    """Station: the code class for each keyed basis, chosen from revealed rounds and closed blocks."""

    code_classes: Annotated[tuple[Small, ...], Meta(max_length=2)]


class Parities(BlockMessage, frozen=True, array_like=True):
    """Satellite: parities of its string of a basis; what of, follows from what was said before."""

    basis: Basis
    parities: Blob


class Verdicts(BlockMessage, frozen=True, array_like=True):
    """Station: its answer to parities, a bit each of what they were asked for."""

    basis: Basis
    verdicts: Blob


class Reveal(BlockMessage, frozen=True, array_like=True):
    """Satellite: the values of the frames that failed, one after the other; they are charged whole."""

    basis: Basis
    values: Blob


class Verify(BlockMessage, frozen=True, array_like=True):
    """Satellite: a fresh hash seed and the tag of its keyed strings."""

    seed: Annotated[bytes, Meta(max_length=256)]
    tag: Annotated[bytes, Meta(max_length=32)]


class Close(BlockMessage, frozen=True, array_like=True):
    """Station: its tag of the keyed strings, the errors by basis and class, its one-time tag."""

    tag: Annotated[bytes, Meta(max_length=32)]
    errors: Table
    transcript_tag: Tag


class Amplify(BlockMessage, frozen=True, array_like=True):
    """Satellite: agreed lengths, the fresh Toeplitz seeds, its one-time tag. No seeds when no key."""

    secret_bits: Annotated[tuple[Count, ...], Meta(max_length=2)]
    seeds: Annotated[tuple[Blob, ...], Meta(max_length=2)]
    transcript_tag: Tag


class Confirm(BlockMessage, frozen=True, array_like=True):
    """Station: its key under a one-time tag."""

    key_tag: Tag


class Confirmed(BlockMessage, frozen=True, array_like=True):
    """Satellite: whether the keys agree, its own key under a one-time tag."""

    matches: bool
    key_tag: Tag


class Done(BlockMessage, frozen=True, array_like=True):
    """Station: it holds the block as confirmed; the satellite may use it too."""

    matches: bool


class Abandon(BlockMessage, frozen=True, array_like=True):
    """Station: the block gives no key, and why. The satellite answers with the block's values, if it has
    told anything of it."""

    outcome: Literal["no_key", "aborted"]
    reason: Text


class Values(BlockMessage, frozen=True, array_like=True):
    """Satellite: every keyed value of an abandoned block, so that its errors can be counted."""

    values: Annotated[tuple[Blob, ...], Meta(max_length=2)]


class Errors(BlockMessage, frozen=True, array_like=True):
    """Station: the errors of an abandoned block."""

    errors: Table


AnyMessage = (
    Hello
    | BeaconSchedule
    | LockReport
    | Announce
    | Cut
    | Keep
    | Kept
    | Ended
    | Bases
    | Sift
    | Crossed
    | ChooseCodes
    | Parities
    | Verdicts
    | Reveal
    | Verify
    | Close
    | Amplify
    | Confirm
    | Confirmed
    | Done
    | Abandon
    | Values
    | Errors
)


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message on the wire: what comes before the message authentication code."""

    version: int
    pass_id: Name
    sequence: Count
    message: AnyMessage


class Receipt(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Both: how many messages of the peer are taken and durable. It has no number and is never said again."""

    pass_id: Name
    received: Count


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_one_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_receipt_decoder = msgspec.msgpack.Decoder(Receipt)
_parts_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_name_decoder = msgspec.msgpack.Decoder(Name)


def encode(envelope: Envelope) -> bytes:
    """The envelope's MessagePack bytes."""
    return _encoder.encode(envelope)


def decode(data: bytes) -> Envelope:
    """Parse and check an envelope; raises RemoteProtocolError saying what is wrong with it."""
    if len(data) > MAXIMUM_MESSAGE_BYTES:
        raise RemoteProtocolError(
            f"message of {len(data)} bytes: expected at most {MAXIMUM_MESSAGE_BYTES}; the session ends"
        )
    try:
        envelope = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"message cannot be read: {error}; the session ends") from None
    if envelope.version != VERSION:
        raise RemoteProtocolError(
            f"expected protocol version {VERSION}, the peer speaks {envelope.version}; install equal versions"
        )
    return envelope


def encode_one(message: Message) -> bytes:
    """One message alone, as transcripts hold it."""
    return _encoder.encode(message)


def decode_one(data: bytes) -> AnyMessage:
    """What `encode_one` made, read back by the end that made it."""
    return _one_decoder.decode(data)


def encode_receipt(receipt: Receipt) -> bytes:
    """Its MessagePack bytes."""
    return _encoder.encode(receipt)


def decode_receipt(data: bytes) -> Receipt | None:
    """A receipt, or None for anything else."""
    try:
        return _receipt_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Address(NamedTuple):
    """Where something that came over the link belongs."""

    pass_id: str
    is_receipt: bool


def address_of(data: bytes) -> Address | None:
    """The pass that a message or receipt names, whatever else is wrong with it; None where it names none."""
    try:
        parts = _parts_decoder.decode(data)
        return Address(_name_decoder.decode(parts[1]), len(parts) == len(Receipt.__struct_fields__) + 1)
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        return None


def bits_of(data: bytes, n_bits: int, what: str) -> Bits:
    """A peer's bit string; raises RemoteProtocolError unless it has just the bytes for its bits, the rest
    zero."""
    if len(data) != (n_bits + 7) // 8:
        raise RemoteProtocolError(
            f"{what}: expected {(n_bits + 7) // 8} bytes for {n_bits} bits, got {len(data)}; the session ends"
        )
    if n_bits % 8 and data[-1] >> n_bits % 8:
        raise RemoteProtocolError(f"{what}: expected zeros behind {n_bits} bits; the session ends")
    return from_bytes(data, n_bits)
