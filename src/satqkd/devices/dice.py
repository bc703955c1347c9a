"""The twin's dice: the sender's settings of any slot, as a function of the slot number and a key.

All pulses of a pass exist, none is stored. Knows no detector, no time and no link, and loads no
numba. The dice are simulation: key made from them is not secret.

Layout (Philox4x32-10, `satqkd.kernels.philox_plain`):

    counter   word 0 = slot mod 2^32, word 1 = slot div 2^32, words 2 and 3 = 0
    output    word 0   class:  below T_signal signal; else below T_decoy decoy; else vacuum
              word 1   basis:  below T_z Z; else X
              word 2   bit 0 is the bit; the other 31 are unused
              word 3   unused

    T_signal = round(2^32 p_signal), T_decoy = round(2^32 (p_signal + p_decoy)), T_z = round(2^32 p_Z)

Probabilities are therefore met to 2^-33. Other uses of a Philox key in the twin carry a non-zero
counter word 3, so that no two draws share a counter.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.config import Source
from satqkd.errors import DataFormatError
from satqkd.header import PublicHeader, is_bright, is_public
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32, columns
from satqkd.records import BASIS_X, BASIS_Z, DECOY, SIGNAL, VACUUM, Settings


class Thresholds(NamedTuple):
    """Integers in 0..2^32 that output words are compared with."""

    signal: int
    decoy: int
    basis_z: int


def threshold(probability: float) -> int:
    """round(2^32 p): a uniform 32-bit word is below it with probability p, to 2^-33."""
    return round(probability * 2**32)


def thresholds(source: Source) -> Thresholds:
    """What the words of a slot are compared with; used by the numpy dice and by the compiled twin alike."""
    signal, decoy, _ = source.probabilities
    return Thresholds(threshold(signal), threshold(signal + decoy), threshold(source.basis_z_probability))


def settings_of(
    slots: NDArray[np.int64],
    *,
    key: tuple[int, int],
    source: Source,
    header: PublicHeader | None = None,
) -> Settings:
    """Settings of the slots asked for, one row per slot, in the order asked.

    slots: int64, shape (n,), not negative. key: two 32-bit words. header: the class of its slots is its.
    Raises DataFormatError for another dtype or shape, or a negative slot.
    """
    if slots.dtype != np.int64 or slots.ndim != 1 or (slots < 0).any():
        raise DataFormatError(
            f"dice: expected slots as a one-dimensional int64 array of numbers >= 0, got {slots.dtype} "
            f"of shape {slots.shape}; ask only for slots counted from the start of the pass"
        )
    limits = thresholds(source)
    counter, zero = slots.astype(np.uint64), np.zeros(1, np.uint64)
    class_word, basis_word, bit_word, _ = columns(counter & MASK_32, counter >> SHIFT_32, zero, zero, key)
    not_signal = np.where(class_word < limits.decoy, DECOY, VACUUM)
    intensity_class = np.where(class_word < limits.signal, SIGNAL, not_signal)
    if header is not None:
        by_code = np.where(is_bright(slots, header), SIGNAL, VACUUM)
        intensity_class = np.where(is_public(slots, header), by_code, intensity_class)
    return Settings(
        intensity_class=intensity_class.astype(np.uint8),
        basis=np.where(basis_word < limits.basis_z, BASIS_Z, BASIS_X).astype(np.uint8),
        bit=(bit_word & np.uint64(1)).astype(np.uint8),
    )
