r"""The header finder: which slot is which, from clicks that are numbered from an unknown start.

Clicks in a header fall on bright slots, so their numbers modulo a code's length correlate with the code at
one shift; half of them are another code's, and spread evenly. One Fourier transform looks at all shifts of
a code, both places together tell the shift modulo the product of the lengths, the station's clock the rest.

False finds: at a shift, clicks on bright slots less those on dark ones, in the public sections of a code, are
its score. Of N clicks that know nothing of the code it is t or more with probability at most
:math:`e^{-t^2/2N}` (Hoeffding), at one of its L shifts with at most :math:`L e^{-t^2/2N}`. Each code must
score :math:`t = \sqrt{2N(\ln L + 26)}`, 8.4 deviations, in its own sections: clicks that know of no header do
so with e^-52 a try, those of a header in which one code alone is placed rightly with e^-26, 5e-12: below 1e-9
in a pass of a hundred such tries. Codes unlike those sent, as of another satellite, correlate by some per
cent, which much light makes significant: so both together must also score half of what the pulse train itself
gathers there. Knows no time but the guess.
"""

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from satqkd.bits import Bits
from satqkd.distill.fit import Floats
from satqkd.header import LENGTHS, PublicHeader, is_bright, is_public, takes_second

SIGNIFICANCE: Final = 26.0
"""Of each code: chance scores as much at some shift with less than exp(-26)."""
_PRODUCT: Final = LENGTHS[0] * LENGTHS[1]
_OF_THE_TRAIN: Final = 0.5


def find_shift(numbers: NDArray[np.int64], phase_rad: Floats, guess: int, header: PublicHeader) -> int | None:
    """How much must be added to the numbers to be slots; None where no header tells it.

    numbers: int64, shape (n,), of clicks of one window. phase_rad: of each against the pulse train. guess:
    the shift by the station's clock; it must be within half the product of the code lengths, 67 million
    slots, and within a quarter of the interval of headers.
    """
    if numbers.size == 0:
        return None
    middle = int(np.median(numbers))
    remainders = [(middle + _likeliest(numbers, code)) % code.size for code in header.codes]
    nominal = middle + guess
    before = nominal + (header.interval_slots - header.header_slots) // 2
    start = before // header.interval_slots * header.interval_slots
    slot = start + _nearest(_combined(remainders), nominal - start)
    shift = slot - middle
    return shift if _is_told(numbers + shift, phase_rad, header) else None


def _is_told(slots: NDArray[np.int64], phase_rad: Floats, header: PublicHeader) -> bool:
    public = is_public(slots, header)
    slots, gathered = slots[public], np.cos(phase_rad[public])
    sign = 2.0 * is_bright(slots, header) - 1.0
    second = takes_second(slots, header)
    told = sign.sum() >= _OF_THE_TRAIN * gathered.sum()
    for code, own in zip(header.codes, (~second, second), strict=True):
        score = float(np.sum(sign[own] - (2.0 * code.mean() - 1.0)))
        told &= score > np.sqrt(2.0 * np.count_nonzero(own) * (np.log(code.size) + SIGNIFICANCE))
    return bool(told)


def _likeliest(numbers: NDArray[np.int64], code: Bits) -> int:
    """The shift at which most of the numbers fall on ones of the code."""
    sign = 2.0 * code - 1.0
    histogram = np.bincount(numbers % code.size, minlength=code.size).astype(np.float64)
    product = scipy.fft.rfft(sign - sign.mean()) * np.conj(scipy.fft.rfft(histogram))
    return int(np.argmax(scipy.fft.irfft(product, code.size)))


def _combined(remainders: list[int]) -> int:
    """The number below the product of the lengths with these remainders."""
    (a, b), (n, m) = remainders, LENGTHS
    return a + n * ((b - a) * pow(n, -1, m) % m)


def _nearest(remainder: int, guess: int) -> int:
    """The number with this remainder modulo the product of the lengths nearest to the guess."""
    return guess + (remainder - guess + _PRODUCT // 2) % _PRODUCT - _PRODUCT // 2
