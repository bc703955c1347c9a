"""What a session needs to be taken up again after its process died: its memory, and inputs of open blocks.

A block's half is a function of its inputs: messages, detections or settings, and the random bytes it drew.
So a block is not saved but told its inputs again; what it said and reported the first time is known, and is
dropped. Of a finished block only what the blocks after it need is kept. The node makes both durable before
anything is said that follows from them. No store and no clock here.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from satqkd.distill.messages import RawClaim
from satqkd.distill.pooling import HeldBlock
from satqkd.distill.priors import Lesson
from satqkd.errors import LocalProtocolError
from satqkd.randomness import RandBytes

InputKind = Literal["heard", "held", "announced", "joined", "collected", "ended"]


class Input(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One input of a block, in order; hides its bytes, which tell key."""

    block: int
    kind: InputKind
    """heard: a message of the peer; held: one that waits for earlier blocks; announced: a report, with the
    settings of its slots unless they are forgotten; joined: raw blocks; collected: detections, with the
    report that tells them; ended: the last slot is past, with the raw blocks that the block takes along."""
    parts: tuple[bytes, ...]
    random: bytes = b""
    """What the block drew while it took this in."""

    def __repr__(self) -> str:
        return f"Input(block={self.block}, kind={self.kind!r})"


class FinishedBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is left of a block of which nothing more will be said."""

    block: int
    lessons: dict[int, Lesson]
    """What it taught, by basis; at the station."""
    kept_detections: int | None
    """Of a block kept for its pool; None of another one."""


class Memory(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A session but for its open blocks; hides its bytes, which are the key of its tags."""

    sent: int
    """Messages said so far."""
    received: int
    """Messages of the peer taken so far."""
    own_hello: bytes
    peer_hello: bytes
    """Empty before it came."""
    held: tuple[tuple[RawClaim, bool], ...]
    """Raw blocks on the shelf when hello was said, and whether each was confirmed."""
    pass_key: bytes
    """Authentication key of the pass; empty before the hellos agree."""
    epsilon_authentication: float
    next_slot: int
    """First slot of which nothing was told."""
    left_out_told: bool
    finished: tuple[FinishedBlock, ...]

    def __repr__(self) -> str:
        return f"Memory(sent={self.sent}, received={self.received}, next_slot={self.next_slot})"

    @property
    def shelved(self) -> list[HeldBlock]:
        """The shelf as it was when hello was said."""
        return [HeldBlock(claim, confirmed) for claim, confirmed in self.held]


class Remembered(msgspec.Struct, frozen=True):
    """What a session is taken up from."""

    memory: Memory
    inputs: tuple[Input, ...]
    """Of blocks that are not finished, in order."""


class RecordedRandom:
    """Random bytes that are noted as they are drawn, or told again as they were noted."""

    def __init__(self, randbytes: RandBytes) -> None:
        self._randbytes = randbytes
        self._noted = bytearray()
        self._again: bytes | None = None

    def __call__(self, n_bytes: int) -> bytes:
        """The next bytes."""
        if self._again is None:
            drawn = self._randbytes(n_bytes)
            self._noted += drawn
            return drawn
        drawn, self._again = self._again[:n_bytes], self._again[n_bytes:]
        if len(drawn) < n_bytes:
            raise LocalProtocolError(
                "journal: a block draws more random bytes than were noted: other software wrote it; take "
                "up the pass with the version that flew it"
            )
        return drawn

    def noted(self) -> bytes:
        """What was drawn since the last call."""
        noted, self._noted = bytes(self._noted), bytearray()
        return noted

    def replay(self, noted: bytes, action: Callable[[], object]) -> None:
        """Do something with the bytes that it drew the first time; raises LocalProtocolError for others."""
        self._again = noted
        try:
            action()
            if self._again:
                raise LocalProtocolError(
                    f"journal: {len(self._again)} random bytes were noted that a block does not draw again: "
                    f"other software wrote it; take up the pass with the version that flew it"
                )
        finally:
            self._again = None
