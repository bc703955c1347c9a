"""LDPC reconciliation as a dialogue: syndromes, a verdict a frame, further rows of the frames that did not
decode.

The first parities are the syndromes of all frames in turn; a verdict is a bit a frame that is open, 1 =
decoded; the next parities are the further rows of those that are open still. A frame without a further
round left is failed. No message, no clock, no random source.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.bits import Bits
from satqkd.distill import codes
from satqkd.distill.dialogue import Account, Correction, Dialogue, Reference, require_bits
from satqkd.distill.frames import interleaved, joined, split
from satqkd.distill.reconcile import (
    QUICK,
    THOROUGH,
    Attempt,
    further_rows,
    further_syndrome,
    syndrome_of,
)


class _Frames:
    """What both ends know of the frames: codes, who is open, in which round, what was said."""

    def __init__(self, lengths: list[int], leak_class: int, further_rounds: int) -> None:
        self.lengths = lengths
        self.matrices = [codes.code(length, leak_class) for length in self.lengths]
        self.open = np.ones(len(self.lengths), dtype=np.bool_)
        self.failed = np.zeros(len(self.lengths), dtype=np.bool_)
        self.said = np.array([matrix.rows_bits for matrix in self.matrices], np.int64)
        self.verdict_bits = self.rounds = 0
        self.plans = [further_rows(matrix, further_rounds) for matrix in self.matrices]

    def asked_rows(self, index: int) -> tuple[int, ...]:
        """Block rows of an open frame that are divided now, after `judged`."""
        return self.plans[index][self.rounds - 1]

    def asked_bits(self, index: int) -> int:
        """Bits of the further parities of an open frame."""
        return len(self.asked_rows(index)) * self.matrices[index].lift

    def indices(self) -> list[int]:
        """Frames that are open."""
        return [int(index) for index in np.flatnonzero(self.open)]

    def judged(self, verdicts: Bits) -> None:
        """Close the frames that decoded, and those without a further round left as failed."""
        asked = self.indices()
        if not asked:
            return
        self.verdict_bits += len(asked)
        for index, decoded in zip(asked, verdicts.tolist(), strict=True):
            last = self.rounds >= len(self.plans[index])
            self.open[index] = not decoded and not last
            self.failed[index] = not decoded and last
        self.rounds += 1
        for index in self.indices():
            self.said[index] += self.asked_bits(index)

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


class _Half(Dialogue):
    """What both ends do alike."""

    def __init__(self, bits: Bits, leak_class: int, *, frame_bits: int, further_rounds: int) -> None:
        super().__init__(bits, frame_bits)
        self._frames = _Frames(self.lengths, leak_class, further_rounds)

    @property
    def account(self) -> Account:
        """What was said so far."""
        return self._frames.account

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(frames,) which frames have no further round left."""
        return self._frames.failed


class LdpcReference(_Half, Reference):
    """The satellite's end of LDPC reconciliation. bits: uint8 (n,), in order of slot."""

    def __init__(self, bits: Bits, leak_class: int, *, frame_bits: int, further_rounds: int) -> None:
        super().__init__(bits, leak_class, frame_bits=frame_bits, further_rounds=further_rounds)
        self.verdicts_awaited = len(self.lengths)

    def opening(self) -> Bits:
        """The syndromes of all frames."""
        pairs = zip(split(self.bits, self.lengths), self._frames.matrices, strict=True)
        return joined([syndrome_of(part, matrix) for part, matrix in pairs])

    def take(self, verdicts: Bits) -> Bits:
        """The next rows of the frames that did not decode. Raises RemoteProtocolError for another number of
        verdicts."""
        require_bits(verdicts, self.verdicts_awaited, "verdicts")
        self._frames.judged(verdicts)
        asked, parts = self._frames.indices(), split(self.bits, self.lengths)
        self.verdicts_awaited = len(asked)
        matrices, rows = self._frames.matrices, self._frames.asked_rows
        return joined([further_syndrome(parts[i], matrices[i], rows(i)) for i in asked])


class LdpcCorrection(_Half, Correction):
    """The station's end of LDPC reconciliation.

    bits: uint8 (n,), as measured, in order of slot. crossover: estimated error rate, one number or (n,).
    """

    def __init__(
        self, bits: Bits, leak_class: int, crossover: ArrayLike, *, frame_bits: int, further_rounds: int
    ) -> None:
        super().__init__(bits, leak_class, frame_bits=frame_bits, further_rounds=further_rounds)
        self._rates = interleaved(
            np.broadcast_to(np.asarray(crossover, np.float64), bits.shape), self.lengths
        )
        self._attempts: list[Attempt] = []
        self.parities_awaited = int(self._frames.said.sum())

    def take(self, parities: Bits) -> Bits:
        """A bit for each frame that was open, 1 where it is decoded now. Raises RemoteProtocolError for
        another number of parities."""
        require_bits(parities, self.parities_awaited, "parities")
        asked = self._frames.indices()
        if self._frames.rounds == 0:
            self._begin(parities)
        else:
            told = split(parities, [self._frames.asked_bits(index) for index in asked])
            for index, further in zip(asked, told, strict=True):
                self._attempts[index].divide(self._frames.asked_rows(index), further)
        verdicts = np.array([self._try(index) for index in asked], np.uint8)
        self._frames.judged(verdicts)
        self.parities_awaited = sum(self._frames.asked_bits(index) for index in self._frames.indices())
        return verdicts

    def _begin(self, syndromes: Bits) -> None:
        told = split(syndromes, [matrix.rows_bits for matrix in self._frames.matrices])
        parts, rates = split(self.bits, self.lengths), split(self._rates, self.lengths)
        for matrix, syndrome, part, rate in zip(self._frames.matrices, told, parts, rates, strict=True):
            self._attempts.append(Attempt(matrix, syndrome, part, rate))

    def _try(self, index: int) -> bool:
        last = self._frames.rounds >= len(self._frames.plans[index])
        found = self._attempts[index].run(*(THOROUGH if last else QUICK))
        if found.converged:
            start = sum(self.lengths[:index])
            self.bits[start : start + self.lengths[index]] = found.bits
        return found.converged
