"""What a session tells its node: events, and the report of a finished block.

Reports hold counts and lengths, never key. The one event that carries key hides it in its text form.
"""

from typing import Literal

import msgspec

from satqkd.distill.polarisation import FrameAngle
from satqkd.results import ClassCounts, KeyLength

Outcome = Literal["key", "no_key", "aborted", "unconfirmed"]
GivenUp = Literal["no_key", "aborted"]
"""How a block ends that is abandoned before its close."""


class BlockReport(msgspec.Struct, frozen=True):
    """One block as both ends account for it."""

    block: int
    outcome: Outcome
    reason: str
    """Why there is no key; empty when there is."""
    detections: int
    """Announced detections, all classes and bases."""
    counts: tuple[ClassCounts, ...]
    sifted_bits: int
    """Keyed rounds."""
    errors: int
    """Errors among them, as far as known."""
    errors_known: bool
    """Whether the keyed rounds' errors were counted; not in a block that the link's end cut off early."""
    frames: int
    frames_failed: int
    leaked_bits: dict[str, int]
    """By keyed basis: parities, whole failed frames, verdicts, announced error counts."""
    reconciliation_bits: int
    """The part of the leak that reconciliation took, both ways: all but the error counts."""
    parity_bits: int
    """The satellite's part of that: what one-way accounts of leak count."""
    reconciliation_rounds: int
    """Round trips of parities and verdicts; bases go on side by side."""
    secret_bits: int
    length: KeyLength | None
    keys_match: bool
    """From the tags of both keys under one-time key; false where there is none."""
    pool: str = ""
    """The pool that the block belongs to; empty where each block is amplified by itself."""
    kept_bits: int = 0
    """Detections kept for that pool, a raw bit each: the block does not close it, nothing else is known."""
    pooled_bits: int = 0
    """Detections of raw blocks distilled with this one; all counts but `detections` include them."""


class SecretReady(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """The block's key, to be stored as unconfirmed before anything more is said."""

    block: int
    bits: int
    _secret: bytes

    @property
    def secret(self) -> bytes:
        """Key bytes, bit i in byte i // 8 at position i % 8."""
        return self._secret

    def __repr__(self) -> str:
        return f"SecretReady(block={self.block}, bits={self.bits})"


class SecretConfirmed(msgspec.Struct, frozen=True):
    """Both ends hold the block's key: it may be used."""

    block: int


class RawReady(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """What this end knows of a kept block, to be stored as unconfirmed before anything more is said."""

    block: int
    detections: int
    _data: bytes

    @property
    def data(self) -> bytes:
        """Settings at the satellite, detections at the station, packed."""
        return self._data

    def __repr__(self) -> str:
        return f"RawReady(block={self.block}, detections={self.detections})"


class RawConfirmed(msgspec.Struct, frozen=True):
    """Both ends hold the same detections of a kept block: they may be pooled."""

    block: int


class RawLeftOut(msgspec.Struct, frozen=True):
    """Raw blocks on this end's shelf that not both ends hold confirmed: to be discarded."""

    block_ids: tuple[str, ...]


class BlockFinished(msgspec.Struct, frozen=True):
    """Nothing more will be said about the block."""

    report: BlockReport


class ErrorProfile(msgspec.Struct, frozen=True):
    """Counts in each second of the pass that has any, for pictures: of what the transcript tells anyway.

    Where the errors of keyed rounds lie is not told: by the charge for announced counts it would cost
    some thousand bits.
    """

    block: int
    second: tuple[int, ...]
    sifted: tuple[int, ...]
    """Keyed rounds."""
    revealed: tuple[int, ...]
    """Decoy rounds whose values were revealed."""
    errors: tuple[int, ...]
    """Errors among the revealed."""


class AngleEstimated(msgspec.Struct, frozen=True):
    """How the frames lay in a block that is over; of public rounds and the station's own bits."""

    block: int
    estimate: FrameAngle


class SecretRefused(msgspec.Struct, frozen=True):
    """The peer holds another key than this end: the block's key is to be discarded."""

    block: int


class StageEntered(msgspec.Struct, frozen=True):
    """For the event log: the block knows more than before."""

    block: int
    stage: str


Event = (
    SecretReady
    | SecretConfirmed
    | SecretRefused
    | RawReady
    | RawConfirmed
    | RawLeftOut
    | BlockFinished
    | ErrorProfile
    | AngleEstimated
    | StageEntered
)
