"""Sifting: which detections both ends measured in one basis, in which class, and what of them is told.

The satellite answers the station's bases, message by message, with a keep mask, the classes of what is kept,
and the values of kept rounds of unkeyed class or basis. Of rounds that are not kept it tells a sample when
the block has ended, which shows how the frames lie. Both ends then hold the same table of rounds; only the
keyed values differ by errors. Pure functions on columns; a row is a kept detection, in order of slot. How
messages add up to a block: `satqkd.distill.opened`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, to_bytes
from satqkd.distill.messages import Crossed, Sift, bits_of
from satqkd.distill.parameters import Parameters
from satqkd.distill.polarisation import sampled
from satqkd.records import BASIS_NAMES, CLASS_NAMES, DECOY, SIGNAL, VACUUM, Settings
from satqkd.results import ClassCounts

Mask = NDArray[np.bool_]


class Rounds(msgspec.Struct, frozen=True, eq=False):
    """Kept detections of a block as one end sees them, a byte each: a block holds them to its end.

        bit 0    this end's value
        bit 1    basis
        bit 2-3  class
        bit 4    whether it is keyed

    The columns are made anew each time they are asked for.
    """

    codes: Bits

    def __repr__(self) -> str:
        return f"Rounds({self.codes.size} rounds)"

    @property
    def bit(self) -> Bits:
        """This end's values, uint8 (n,)."""
        return self.codes & np.uint8(1)

    @property
    def basis(self) -> Bits:
        """uint8 (n,)."""
        return self.codes >> np.uint8(1) & np.uint8(1)

    @property
    def intensity_class(self) -> Bits:
        """uint8 (n,)."""
        return self.codes >> np.uint8(2) & np.uint8(3)

    @property
    def keyed(self) -> Mask:
        """(n,)."""
        return self.codes >= _KEYED

    def keyed_bits(self, basis: int) -> Bits:
        """This end's values of the keyed rounds of a basis, uint8 (n,), in order of slot."""
        mine: Bits = self.codes[(self.codes & _KEYED_IN) == (_KEYED | basis << 1)]
        return mine & np.uint8(1)


_KEYED: Final = 1 << 4
_KEYED_IN: Final = np.uint8(_KEYED | 1 << 1)


def rounds_of(basis: Bits, intensity_class: Bits, bit: Bits, keyed: Mask) -> Rounds:
    """Rounds of columns of one length."""
    codes: Bits = bit | basis << np.uint8(1) | intensity_class << np.uint8(2)
    return Rounds(codes | keyed.astype(np.uint8) << np.uint8(4))


def joined_rounds(parts: Sequence[Rounds]) -> Rounds:
    """Rounds of consecutive parts as one table; an empty one of none."""
    return Rounds(np.concatenate([np.empty(0, np.uint8), *(part.codes for part in parts)]))


def sift_at_satellite(
    settings: Settings, bases: Bits, parameters: Parameters, *, block: int
) -> tuple[Rounds, Bits, Sift]:
    """The satellite's rounds of one message, its bits of the detections that are not kept, its answer.

    settings: of these detections; bases: the station's, uint8 (n,).
    """
    keep = settings.basis == bases
    basis, classes, bit = settings.basis[keep], settings.intensity_class[keep], settings.bit[keep]
    keyed = _keyed(basis, classes, parameters)
    answer = Sift(
        block=block,
        keep=to_bytes(keep.astype(np.uint8)),
        is_signal=to_bytes((classes == SIGNAL).astype(np.uint8)),
        is_vacuum=to_bytes((classes[classes != SIGNAL] == VACUUM).astype(np.uint8)),
        values=to_bytes(bit[~keyed]),
    )
    return rounds_of(basis, classes, bit, keyed), settings.bit[~keep], answer


def sift_at_station(
    bases: Bits, bits: Bits, answer: Sift, parameters: Parameters
) -> tuple[Rounds, Mask, Mask]:
    """The station's rounds of one message, which of them are revealed as errors, and which detections are
    kept.

    bases, bits: what the station measured, uint8 (n,) each. Raises RemoteProtocolError when the
    answer's lengths do not fit.
    """
    keep = bits_of(answer.keep, bases.size, "sift answer").astype(bool)
    is_signal = bits_of(answer.is_signal, int(keep.sum()), "sift answer").astype(bool)
    classes = np.full(is_signal.size, SIGNAL, dtype=np.uint8)
    is_vacuum = bits_of(answer.is_vacuum, int((~is_signal).sum()), "sift answer")
    classes[~is_signal] = np.where(is_vacuum == 1, VACUUM, DECOY)
    basis, bit = bases[keep], bits[keep]
    keyed = _keyed(basis, classes, parameters)
    wrong = np.zeros(bit.size, dtype=np.bool_)
    wrong[~keyed] = bits_of(answer.values, int((~keyed).sum()), "sift answer") != bit[~keyed]
    return rounds_of(basis, classes, bit, keyed), wrong, keep


def crossed_at_station(
    bases: Bits, bits: Bits, answer: Crossed, parameters: Parameters
) -> tuple[Bits, Bits, Bits]:
    """The sample of a block's detections that are not kept: basis sent, bit sent, bit measured; uint8 (n,)
    each.

    bases, bits: what the station measured in all of them, uint8. Raises RemoteProtocolError when the
    answer's length does not fit.
    """
    most = parameters.protocol.polarisation_sample
    measured_in, measured = sampled(bases, most), sampled(bits, most)
    return 1 - measured_in, bits_of(answer.values, measured.size, "sample of crossed rounds"), measured


def tabulate(basis: Bits, classes: Bits) -> NDArray[np.int64]:
    """Number of rounds by basis and class, int64 (2, 3); takes a byte a round of memory."""
    return np.array(
        [[np.count_nonzero((basis == b) & (classes == k)) for k in range(3)] for b in range(2)],
        dtype=np.int64,
    )


def class_counts(
    detections: NDArray[np.int64], errors: NDArray[np.int64], parameters: Parameters
) -> tuple[ClassCounts, ...]:
    """Both tables (2, 3) as result rows, Z before X, signal before decoy before vacuum."""
    source = parameters.source
    return tuple(
        ClassCounts(
            basis=BASIS_NAMES[basis],
            class_name=CLASS_NAMES[index],
            intensity=source.intensities[index],
            probability=source.probabilities[index],
            detections=int(detections[basis, index]),
            errors=int(errors[basis, index]),
        )
        for basis in range(2)
        for index in range(3)
    )


def _keyed(basis: Bits, classes: Bits, parameters: Parameters) -> Mask:
    """Which rounds carry key; by masks, since a table looked up by column takes 16 bytes a round."""
    keyed = np.zeros(basis.size, dtype=np.bool_)
    for b in range(2):
        for k in range(3):
            if parameters.is_keyed(b, k):
                keyed |= (basis == b) & (classes == k)
    return keyed
