"""The public code that numbers the satellite's beacons.

Beacon j is emitted at j / rate_hz seconds, later by the code shift when bit j is 1. The bits are a
maximal-length sequence of the primitive polynomial x^32 + x^22 + x^2 + x + 1 over GF(2): any 32
consecutive bits occur once in 2^32 - 1, so 32 beacons in a row tell their numbers. The first 32
bits are the SHAKE-256 expansion of a label, so both ends have the code without a message.
No clock, no random source, no optics here.

Source: Golomb, "Shift Register Sequences" (1967), chapter III; the taps 32, 22, 2, 1 are those of Xilinx
XAPP 052 (1996), table 3. That the polynomial is primitive is proved by a test.
"""

from typing import Final

import numpy as np

from satqkd.bits import Bits, from_bytes
from satqkd.randomness import expand

WINDOW_BITS: Final = 32
"""This many consecutive bits identify their place in the code."""
_TAPS: Final = (0, 1, 2, 22)
_LABEL: Final = "satqkd beacon code v1"


def beacon_code(n: int) -> Bits:
    """The first `n` bits of the code, uint8 of shape (n,); a longer code begins with a shorter one.

    s[i + 32] = s[i] ^ s[i + 1] ^ s[i + 2] ^ s[i + 22]. The same holds with every distance times a
    power of two (squaring is linear over GF(2)), which lets whole stretches be made at once.
    """
    code = np.zeros(max(n, WINDOW_BITS), dtype=np.uint8)
    code[:WINDOW_BITS] = from_bytes(expand(_LABEL, WINDOW_BITS // 8), WINDOW_BITS)
    known, scale = WINDOW_BITS, 1
    while known < code.size:
        while 2 * scale * WINDOW_BITS <= known:
            scale *= 2
        start = known - scale * WINDOW_BITS
        length = min(scale * (WINDOW_BITS - _TAPS[-1]), code.size - known)
        for tap in _TAPS:
            code[known : known + length] ^= code[start + tap * scale : start + tap * scale + length]
        known += length
    return code[:n]
