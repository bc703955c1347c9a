"""Packed bits: `uint64` words, bit i is `words[i // 64] >> (i % 64) & 1`, little-endian throughout.

Names of packed arrays end in `_words`; unpacked arrays of 0/1 `uint8` end in `_bits`.
Unused high bits of the last word are zero. No clock, no random source, no input or output here.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]


def words_needed(n_bits: int) -> int:
    """Number of 64-bit words that hold `n_bits`."""
    return (n_bits + 63) // 64


def pack(bits: Bits) -> Words:
    """Pack a 1-D array of 0/1 (uint8, shape (n,)) into uint64 words of shape (ceil(n / 64),)."""
    padded = np.zeros(words_needed(bits.size) * 8, dtype=np.uint8)
    packed = np.packbits(bits, bitorder="little")
    padded[: packed.size] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def unpack(words: Words, n_bits: int) -> Bits:
    """The first `n_bits` of packed words as a uint8 array of 0/1, shape (n_bits,).

    Raises DataFormatError when the words hold fewer bits.
    """
    if words.size < words_needed(n_bits):
        raise DataFormatError(
            f"expected at least {words_needed(n_bits)} words for {n_bits} bits, got {words.size}"
        )
    return np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), count=n_bits, bitorder="little")


def to_bytes(bits: Bits) -> bytes:
    """Bits as bytes, bit i in byte i // 8 at position i % 8; the wire form of every bit string."""
    return np.packbits(bits, bitorder="little").tobytes()


def from_bytes(data: bytes, n_bits: int) -> Bits:
    """The first `n_bits` of a byte string; raises DataFormatError unless it has just the bytes for them."""
    if len(data) != (n_bits + 7) // 8:
        raise DataFormatError(f"expected {(n_bits + 7) // 8} bytes for {n_bits} bits, got {len(data)}")
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=n_bits, bitorder="little")
