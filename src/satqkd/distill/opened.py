"""What a block knows of detections whose bases are told: message by message, then as one table.

The station says bases in parts, the satellite answers each part; both keep the parts until the block has
ended. It is the same whether all parts come after the block's last slot or each as soon as its detections are
announced: columns of the block do not depend on how it was cut. No state of a block, no message order, no
clock here.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, to_bytes
from satqkd.distill.messages import MAXIMUM_ANNOUNCED, Bases, Crossed, Sift
from satqkd.distill.parameters import Parameters
from satqkd.distill.polarisation import sampled
from satqkd.distill.sift import Mask, Rounds, joined_rounds, rounds_of, sift_at_satellite, sift_at_station
from satqkd.errors import RemoteProtocolError
from satqkd.records import Settings

Slots = NDArray[np.int64]


class Told:
    """The station's side: parts whose bases are told, those answered apart."""

    def __init__(self, block: int, parameters: Parameters) -> None:
        self._block, self._parameters = block, parameters
        self._waiting: deque[tuple[Slots, Bits, Bits]] = deque()
        self._answered = 0
        self._rounds: list[Rounds] = []
        self._slots: list[Slots] = [np.empty(0, np.int64)]
        self._wrong: list[Mask] = [np.empty(0, np.bool_)]
        self._crossed: list[tuple[Bits, Bits]] = [(np.empty(0, np.uint8), np.empty(0, np.uint8))]

    def __repr__(self) -> str:
        return f"Told({len(self._waiting)} parts without answer)"

    def tell(self, slots: Slots, bases: Bits, bits: Bits) -> list[Bases]:
        """The messages that tell the bases of these detections; columns of one length."""
        said = []
        for start in range(0, slots.size, MAXIMUM_ANNOUNCED):
            part = slice(start, start + MAXIMUM_ANNOUNCED)
            self._waiting.append((slots[part], bases[part], bits[part]))
            said.append(Bases(self._block, bases[part].size, to_bytes(bases[part])))
        return said

    def take(self, answer: Sift) -> None:
        """The answer to the oldest part without one. Raises RemoteProtocolError where it does not fit."""
        if not self._waiting:
            raise RemoteProtocolError(
                f"block {self._block}: a Sift came, but all bases told are answered; the session ends"
            )
        slots, bases, bits = self._waiting[0]
        rounds, wrong, keep = sift_at_station(bases, bits, answer, self._parameters)
        self._waiting.popleft()
        self._answered += slots.size
        self._rounds.append(rounds)
        self._slots.append(slots[keep])
        self._wrong.append(wrong)
        self._crossed.append((bases[~keep], bits[~keep]))

    def drop_from(self, slot: int) -> int:
        """Forget what waits for an answer from a slot on; how many detections of those told are left."""
        lengths = [int(np.searchsorted(slots, slot)) for slots, *_ in self._waiting]
        parts = zip(lengths, self._waiting, strict=True)
        self._waiting = deque((s[:n], bases[:n], bits[:n]) for n, (s, bases, bits) in parts if n)
        return self._answered + sum(lengths)

    def require_all(self) -> None:
        """Raises RemoteProtocolError while an answer is missing."""
        if self._waiting:
            raise RemoteProtocolError(
                f"block {self._block}: the satellite calls it sifted, {len(self._waiting)} messages of bases "
                f"have no answer; the session ends"
            )

    def table(self) -> tuple[Rounds, Slots, Mask]:
        """All rounds, their slots int64 (n,), which are revealed as errors (n,)."""
        return joined_rounds(self._rounds), np.concatenate(self._slots), np.concatenate(self._wrong)

    def crossed(self) -> tuple[Bits, Bits]:
        """Bases and bits measured in the detections that are not kept, uint8 (n,) each."""
        bases, bits = (np.concatenate(column) for column in zip(*self._crossed, strict=True))
        return bases, bits


class Answered:
    """The satellite's side: settings of announced detections, until their bases come, and what came of it."""

    def __init__(self, block: int, parameters: Parameters) -> None:
        self._block, self._parameters = block, parameters
        self._waiting = bytearray()
        self._kept = bytearray()
        self._crossed = bytearray()

    def __repr__(self) -> str:
        return f"Answered({self.waiting} detections without bases)"

    @property
    def waiting(self) -> int:
        """Detections whose bases have not come."""
        return len(self._waiting)

    def add(self, settings: Settings) -> None:
        """Settings of detections after all before."""
        self._waiting += _codes(settings)

    def put_before(self, settings: Settings) -> None:
        """Settings of raw blocks' detections, before all whose bases have not come."""
        self._waiting[:0] = _codes(settings)

    def take(self, n_detections: int) -> Settings:
        """Settings of the oldest that wait; they wait no longer."""
        codes = np.frombuffer(bytes(self._waiting[:n_detections]), np.uint8)
        del self._waiting[:n_detections]
        sent = Rounds(codes)
        return Settings(intensity_class=sent.intensity_class, basis=sent.basis, bit=sent.bit)

    def answer(self, bases: Bits) -> Sift:
        """What is said to these bases of the oldest that wait, uint8 (n,)."""
        settings = self.take(bases.size)
        rounds, crossed, answer = sift_at_satellite(settings, bases, self._parameters, block=self._block)
        self._kept += rounds.codes.tobytes()
        self._crossed += crossed.tobytes()
        return answer

    def close(self) -> tuple[Rounds, Crossed]:
        """All rounds, and the sample of the others; nothing is held of either after."""
        most = self._parameters.protocol.polarisation_sample
        kept, crossed = np.frombuffer(self._kept, np.uint8), np.frombuffer(self._crossed, np.uint8)
        self._kept, self._crossed = bytearray(), bytearray()
        return Rounds(kept), Crossed(self._block, to_bytes(sampled(crossed, most)))


def _codes(settings: Settings) -> bytes:
    """A byte a slot, as of rounds: a block's settings lie in memory until its bases come."""
    nowhere = np.zeros(len(settings), np.bool_)
    return rounds_of(settings.basis, settings.intensity_class, settings.bit, nowhere).codes.tobytes()
