"""Cascade as a dialogue: parities of the blocks that the schedule asks, and where they differ.

Both ends run one public schedule (`cascade`); the satellite says a parity for each block asked, the station
answers how its own differs. All frames advance in one message. The account is two-way: each parity and each
difference is charged (`docs/design/bounds.md`). A frame whose parities would outgrow it fails. The
satellite runs the schedule in numpy, the station with the kernel. No message, no clock, no random source.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill.cascade import CascadeEnd, CascadeSchedule
from satqkd.distill.dialogue import Account, Correction, Dialogue, Reference, require_bits


class _Half(Dialogue):
    """What both ends do alike: schedule, account. bits: uint8 (n,), in order of slot."""

    def __init__(self, bits: Bits, qber: float, *, frame_bits: int, variant: str, compiled: bool) -> None:
        super().__init__(bits, frame_bits)
        self._schedule = CascadeSchedule(self.lengths, qber, variant=variant, compiled=compiled)
        self._end = CascadeEnd(self._schedule, self.bits)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(frames,) which frames the schedule gave up."""
        return self._schedule.given_up

    @property
    def account(self) -> Account:
        """A frame that failed is said whole; its differences are charged like the others'."""
        lengths = np.array(self.lengths, np.int64)
        told = np.where(self.failed, lengths, self._schedule.frame_parities)
        return Account(
            frames=len(self.lengths),
            failed=int(self.failed.sum()),
            rounds=self._schedule.rounds,
            parity_bits=int(told.sum()),
            verdict_bits=self._schedule.parities,
        )


class CascadeReference(_Half, Reference):
    """The satellite's end of Cascade."""

    def __init__(self, bits: Bits, qber: float, *, frame_bits: int, variant: str) -> None:
        super().__init__(bits, qber, frame_bits=frame_bits, variant=variant, compiled=False)
        self.verdicts_awaited = self._schedule.asked

    def opening(self) -> Bits:
        """The parities of the first round."""
        return self._end.parities()

    def take(self, verdicts: Bits) -> Bits:
        """The parities of the next round; none when the schedule is done. Raises RemoteProtocolError for
        another number of differences, or impossible ones."""
        require_bits(verdicts, self.verdicts_awaited, "differences")
        self._schedule.take(verdicts)
        self.verdicts_awaited = self._schedule.asked
        return self._end.parities() if self.verdicts_awaited else np.empty(0, np.uint8)


class CascadeCorrection(_Half, Correction):
    """The station's end of Cascade."""

    def __init__(self, bits: Bits, qber: float, *, frame_bits: int, variant: str) -> None:
        super().__init__(bits, qber, frame_bits=frame_bits, variant=variant, compiled=True)
        self.parities_awaited = self._schedule.asked

    def take(self, parities: Bits) -> Bits:
        """Where this side's parities differ. Raises RemoteProtocolError for another number of parities."""
        require_bits(parities, self.parities_awaited, "parities")
        differences = self._end.parities() ^ parities
        self._schedule.take(differences)
        self.parities_awaited = self._schedule.asked
        if not self.parities_awaited:
            self.bits = self.bits ^ self._schedule.errors()
        return differences
