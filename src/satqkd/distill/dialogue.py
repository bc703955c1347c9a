"""Both ends' work on the keyed string of one basis, as a dialogue of bit strings.

The satellite (`Reference`) says parities of its string, the station (`Correction`) answers verdicts; again
until the dialogue is over; then the satellite reveals the frames that failed. What each bit stands for
follows from what was said before, so no position, count or class travels with it, and every bit of either
direction that depends on key is charged: `Account`. No message, no clock, no random source.
"""

from abc import ABC, abstractmethod

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill.frames import frame_sizes, interleaved, interleaved_order
from satqkd.errors import RemoteProtocolError


class Account(msgspec.Struct, frozen=True):
    """What reconciliation of one string said of it."""

    frames: int
    failed: int
    rounds: int
    """Round trips: parities and the verdicts on them."""
    parity_bits: int
    """Said by the satellite, failed frames whole: what one-way accounts count."""
    verdict_bits: int
    """Said by the station, all of which depend on key."""

    @property
    def leaked_bits(self) -> int:
        """All of it, both ways."""
        return self.parity_bits + self.verdict_bits


def require_bits(bits: Bits, awaited: int, what: str) -> None:
    """Raise RemoteProtocolError, before anything changes, unless these are `awaited` bits: uint8 of 0 and
    1."""
    if bits.dtype != np.uint8 or bits.shape != (awaited,) or bits.max(initial=0) > 1:
        raise RemoteProtocolError(
            f"{what}: expected {awaited} bits, 0 or 1, as uint8, got {bits.dtype} of shape {bits.shape}; the "
            f"dialogue cannot go on"
        )


class Dialogue(ABC):
    """What both ends of a dialogue share. `bits` is in the order of the frames; `order` says which bit of the
    string is where."""

    def __init__(self, bits: Bits, frame_bits: int) -> None:
        """bits: uint8 (n,), in order of slot; cut into frames of at most frame_bits."""
        self.lengths = frame_sizes(bits.size, frame_bits=frame_bits)
        self.bits: Bits = interleaved(bits, self.lengths)

    @property
    def order(self) -> NDArray[np.int64]:
        """(n,) made anew each time: it takes eight times the memory of the bits."""
        return interleaved_order(self.lengths)

    @property
    @abstractmethod
    def account(self) -> Account:
        """What was said so far."""

    @property
    @abstractmethod
    def failed(self) -> NDArray[np.bool_]:
        """(frames,) which frames are given up."""

    @property
    def failed_bits(self) -> int:
        """Bits of the frames that failed, all of which are revealed."""
        return int(np.array(self.lengths, np.int64)[self.failed].sum())

    def failed_values(self) -> Bits:
        """The bits of the frames that failed, one frame after the other."""
        return self.bits[np.repeat(self.failed, self.lengths)]

    def replace_failed(self, values: Bits) -> None:
        """Take the revealed bits of the frames that failed, uint8 (failed_bits,); others raise
        RemoteProtocolError."""
        require_bits(values, self.failed_bits, "revealed frames")
        self.bits = self.bits.copy()
        self.bits[np.repeat(self.failed, self.lengths)] = values


class Reference(Dialogue):
    """The satellite's end."""

    verdicts_awaited: int
    """Bits of the station's next answer; 0 when the dialogue is over."""

    @abstractmethod
    def opening(self) -> Bits:
        """The first parities."""

    @abstractmethod
    def take(self, verdicts: Bits) -> Bits:
        """The next parities, for an answer of `verdicts_awaited` bits; none when the dialogue is over."""


class Correction(Dialogue):
    """The station's end."""

    parities_awaited: int
    """Bits of the satellite's next parities; 0 when the dialogue is over."""

    @abstractmethod
    def take(self, parities: Bits) -> Bits:
        """The verdicts on parities of `parities_awaited` bits."""
