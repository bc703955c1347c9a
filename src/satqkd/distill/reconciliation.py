"""Both ends' work on the keyed string of one basis, as a dialogue of bit strings.

The satellite (`Reference`) says parities of its string, the station (`Correction`) answers a verdict bit
string; again while frames are open; at last the satellite reveals the frames that failed. What each string
means follows from what was said before, so no position, count or class travels with it, and every bit of
either direction that depends on key is charged: `Account`. LDPC here: the first parities are the syndromes
of all frames, a verdict is a bit a frame (1 = decoded), further parities are those of the frames still
open. No message, no clock, no random source.
"""

from abc import ABC, abstractmethod

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.bits import Bits
from satqkd.config import Protocol
from satqkd.distill import codes
from satqkd.distill.frames import frame_sizes, interleaved_order, joined, split
from satqkd.distill.reconcile import (
    QUICK,
    THOROUGH,
    Attempt,
    further_rows,
    further_syndrome,
    syndrome_of,
)


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


class Dialogue(ABC):
    """What both ends of a dialogue share. `bits` is in the order of the frames; `order` says which bit of the
    string is where."""

    bits: Bits
    lengths: list[int]
    order: NDArray[np.int64]
    failed: NDArray[np.bool_]

    @property
    @abstractmethod
    def account(self) -> Account:
        """What was said so far."""

    @property
    def failed_bits(self) -> int:
        """Bits of the frames that failed, all of which are revealed."""
        return int(np.array(self.lengths, np.int64)[self.failed].sum())

    def failed_values(self) -> Bits:
        """The bits of the frames that failed, one frame after the other."""
        return self.bits[np.repeat(self.failed, self.lengths)]

    def replace_failed(self, values: Bits) -> None:
        """Take the revealed bits of the frames that failed, uint8 (failed_bits,)."""
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


class _Frames:
    """What both ends know of LDPC frames: codes, who is open, in which round, what was said."""

    def __init__(self, n_bits: int, leak_class: int, frame_bits: int, further_rounds: int) -> None:
        self.lengths = frame_sizes(n_bits, frame_bits=frame_bits)
        self.matrices = [codes.code(length, leak_class) for length in self.lengths]
        self.open = np.ones(len(self.lengths), dtype=np.bool_)
        self.failed = np.zeros(len(self.lengths), dtype=np.bool_)
        self.said = np.array([matrix.rows_bits for matrix in self.matrices], np.int64)
        self.verdict_bits = self.rounds = 0
        self._most_rounds = further_rounds

    def turns(self, index: int) -> int:
        """Further rounds that a frame may take."""
        return min(self._most_rounds, len(further_rows(self.matrices[index])))

    def further_bits(self, index: int) -> int:
        """Bits of a frame's parities in the next further round: what `judged` made of `rounds` counts."""
        return len(further_rows(self.matrices[index])[self.rounds - 1]) * self.matrices[index].lift

    def indices(self) -> list[int]:
        """Frames that are open."""
        return [int(index) for index in np.flatnonzero(self.open)]

    def judged(self, verdicts: Bits) -> None:
        """Close the frames that decoded, and those without a further round left as failed."""
        asked = self.indices()
        self.verdict_bits += len(asked)
        for index, decoded in zip(asked, verdicts.tolist(), strict=True):
            last = self.rounds >= self.turns(index)
            self.open[index] = not decoded and not last
            self.failed[index] = not decoded and last
        self.rounds += 1
        for index in self.indices():
            self.said[index] += self.further_bits(index)

    @property
    def account(self) -> Account:
        """A frame tells at most itself: that is charged where it failed or was said as long as itself."""
        lengths = np.array(self.lengths, np.int64)
        told = np.where(self.failed, lengths, np.minimum(self.said, lengths))
        return Account(
            frames=len(self.lengths),
            failed=int(self.failed.sum()),
            rounds=self.rounds,
            parity_bits=int(told.sum()),
            verdict_bits=self.verdict_bits,
        )


class LdpcReference(Reference):
    """The satellite's end of LDPC reconciliation. bits: uint8 (n,), in order of slot."""

    def __init__(self, bits: Bits, leak_class: int, *, frame_bits: int, further_rounds: int) -> None:
        self._frames = _Frames(bits.size, leak_class, frame_bits, further_rounds)
        self.lengths, self.failed = self._frames.lengths, self._frames.failed
        self.order = interleaved_order(self.lengths)
        self.bits = bits[self.order]
        self.verdicts_awaited = len(self.lengths)

    @property
    def account(self) -> Account:
        """What was said so far."""
        return self._frames.account

    def opening(self) -> Bits:
        """The syndromes of all frames."""
        pairs = zip(split(self.bits, self.lengths), self._frames.matrices, strict=True)
        return joined([syndrome_of(part, matrix) for part, matrix in pairs])

    def take(self, verdicts: Bits) -> Bits:
        """The next rows of the frames that did not decode."""
        self._frames.judged(verdicts)
        asked, parts = self._frames.indices(), split(self.bits, self.lengths)
        self.verdicts_awaited = len(asked)
        turn = self._frames.rounds - 1
        return joined([further_syndrome(parts[i], self._frames.matrices[i], turn) for i in asked])


class LdpcCorrection(Correction):
    """The station's end of LDPC reconciliation.

    bits: uint8 (n,), as measured, in order of slot. crossover: estimated error rate, one number or (n,).
    """

    def __init__(
        self, bits: Bits, leak_class: int, crossover: ArrayLike, *, frame_bits: int, further_rounds: int
    ) -> None:
        self._frames = _Frames(bits.size, leak_class, frame_bits, further_rounds)
        self.lengths, self.failed = self._frames.lengths, self._frames.failed
        self.order = interleaved_order(self.lengths)
        self.bits = bits[self.order]
        rates = np.broadcast_to(np.asarray(crossover, np.float64), bits.shape)
        self._rates = rates[self.order]
        self._attempts: list[Attempt] = []
        self.parities_awaited = int(self._frames.said.sum())

    @property
    def account(self) -> Account:
        """What was said so far."""
        return self._frames.account

    def take(self, parities: Bits) -> Bits:
        """A bit for each frame that was open, 1 where it is decoded now."""
        asked = self._frames.indices()
        if self._frames.rounds == 0:
            self._begin(parities)
        else:
            told = split(parities, [self._frames.further_bits(index) for index in asked])
            for index, further in zip(asked, told, strict=True):
                self._attempts[index].add(further)
        verdicts = np.array([self._try(index) for index in asked], np.uint8)
        self._frames.judged(verdicts)
        self.parities_awaited = sum(self._frames.further_bits(index) for index in self._frames.indices())
        return verdicts

    def _begin(self, syndromes: Bits) -> None:
        told = split(syndromes, [matrix.rows_bits for matrix in self._frames.matrices])
        parts, rates = split(self.bits, self.lengths), split(self._rates, self.lengths)
        for matrix, syndrome, part, rate in zip(self._frames.matrices, told, parts, rates, strict=True):
            self._attempts.append(Attempt(matrix, syndrome, part, rate))

    def _try(self, index: int) -> bool:
        last = self._frames.rounds >= self._frames.turns(index)
        found = self._attempts[index].run(*(THOROUGH if last else QUICK))
        if found.converged:
            start = sum(self.lengths[:index])
            self.bits[start : start + self.lengths[index]] = found.bits
        return found.converged


def reference_of(bits: Bits, leak_class: int, protocol: Protocol) -> Reference:
    """The satellite's end for a keyed string (uint8 (n,), in order of slot), by the agreed policy."""
    return LdpcReference(
        bits, leak_class, frame_bits=protocol.frame_bits, further_rounds=protocol.further_rounds
    )


def correction_of(bits: Bits, leak_class: int, crossover: ArrayLike, protocol: Protocol) -> Correction:
    """The station's end; crossover: estimated error rate, one number or one for each bit."""
    return LdpcCorrection(
        bits, leak_class, crossover, frame_bits=protocol.frame_bits, further_rounds=protocol.further_rounds
    )
