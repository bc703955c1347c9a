"""Slot numbers of detections on the wire: gaps in Rice code.

Each slot number is the gap to the one before it (to `start_slot` for the first), less one; gaps of a
dim link are geometric, for which the Rice code takes 0.03 to 0.12 bit a detection more than the entropy
(0.06 on average over means; 16.57 against 16.47 bits at one detection in 33 000 slots). Layout, bits in
the order of `satqkd.bits`:

    count u32 LE | parameter k u8 | k bit planes of `count` low bits, plane 0 first |
    per gap: (gap >> k) zeros and a one | zeros to the byte

Planes before the unary part make both ends plain array work. Slots and k have one encoding only, and
what a peer sends is checked before memory is taken for it.

Source: Rice and Plaunt 1971; parameter by Kiely, "Selecting the Golomb parameter in Rice coding",
IPN Progress Report 42-159 (2004), equation for the geometric source.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import from_bytes, to_bytes
from satqkd.errors import LocalProtocolError, RemoteProtocolError

HEADER_BYTES: Final = 5
MAXIMUM_PARAMETER: Final = 48
_GOLDEN: Final = (1 + math.sqrt(5)) / 2


def encode(slots: NDArray[np.int64], *, start_slot: int) -> bytes:
    """The wire form of increasing slot numbers.

    slots: int64 (n,), strictly increasing, all >= start_slot, n < 2^32.
    Raises LocalProtocolError otherwise.
    """
    gaps = np.diff(slots, prepend=np.int64(start_slot - 1)) - 1
    if slots.size >= 1 << 32 or (gaps < 0).any():
        raise LocalProtocolError(
            f"announcement: expected fewer than 2^32 slots increasing from {start_slot}, got {slots.size} "
            f"with a smallest step of {int(gaps.min(initial=0)) + 1}"
        )
    k = parameter(float(gaps.mean()) if gaps.size else 0.0)
    planes = [((gaps >> level) & 1).astype(np.uint8) for level in range(k)]
    ends = np.cumsum((gaps >> k) + 1)
    unary = np.zeros(int(ends[-1]) if ends.size else 0, dtype=np.uint8)
    unary[ends - 1] = 1
    return slots.size.to_bytes(4, "little") + bytes([k]) + to_bytes(np.concatenate([*planes, unary]))


def parameter(mean_gap: float) -> int:
    """The Rice parameter of least expected length for geometric gaps 0, 1, 2, ... of this mean."""
    if mean_gap <= 0:
        return 0
    best = math.log(_GOLDEN - 1) / -math.log1p(1 / mean_gap)
    return min(max(0, 1 + math.floor(math.log2(best))), MAXIMUM_PARAMETER)


def decode(data: bytes, *, start_slot: int, maximum_count: int, end_slot: int) -> NDArray[np.int64]:
    """The slot numbers a peer announced: int64 (n,), strictly increasing in [start_slot, end_slot).

    Memory is at most some 10 bytes per bit of a message that could be valid for these limits.
    Raises RemoteProtocolError when the bytes are no encoding of at most `maximum_count` such numbers.
    """
    if len(data) < HEADER_BYTES:
        raise _bad(f"at least {HEADER_BYTES} bytes", f"{len(data)}")
    count, k, span = int.from_bytes(data[:4], "little"), data[4], end_slot - start_slot
    if count > min(maximum_count, max(span, 0)):
        raise _bad(f"at most {min(maximum_count, max(span, 0))} slots", f"{count}")
    if k > MAXIMUM_PARAMETER or (count == 0 and k > 0):
        raise _bad(f"a parameter of at most {MAXIMUM_PARAMETER}, 0 without slots", f"{k}")
    n_bits = 8 * (len(data) - HEADER_BYTES)
    if n_bits < (k + 1) * count or n_bits > (k + 1) * count + (max(span, 0) >> k) + 7:
        raise _bad(
            f"a length that fits {count} slots below {end_slot} at parameter {k}", f"{len(data)} bytes"
        )
    bits = from_bytes(data[HEADER_BYTES:], n_bits)
    gaps = _high_parts(bits[k * count :], count) << k
    for level in range(k):
        gaps |= bits[level * count : (level + 1) * count].astype(np.int64) << level
    return _slots(gaps, start_slot, end_slot)


def _high_parts(unary: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    ones = np.flatnonzero(unary)
    used = int(ones[-1]) + 1 if ones.size else 0
    if ones.size != count or unary.size - used > 7:
        raise _bad(
            f"{count} gaps and less than a byte of padding", f"{ones.size} gaps, {unary.size - used} bits"
        )
    return np.diff(ones, prepend=-1).astype(np.int64) - 1


def _slots(gaps: NDArray[np.int64], start_slot: int, end_slot: int) -> NDArray[np.int64]:
    # The float sum is checked first: the exact one could wrap around and look small.
    if float(gaps.sum(dtype=np.float64)) + gaps.size > 2.0 * (end_slot - start_slot):
        raise _bad(f"slots below {end_slot}", "larger ones")
    slots = start_slot - 1 + np.cumsum(gaps + 1)
    if slots.size and slots[-1] >= end_slot:
        raise _bad(f"slots below {end_slot}", f"{int(slots[-1])}")
    return slots


def _bad(expected: str, got: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"announcement: expected {expected}, got {got}; the peer's message is malformed"
    )
