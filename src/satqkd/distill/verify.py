r"""Block verification: a short tag that two different blocks share with probability at most epsilon.

The message (bit length as 8 bytes, then the bits) is hashed to 128 bits by Poly1305 under fresh public
(r, s), then to t = ceil(log2(2 / epsilon)) bits by a binary Toeplitz matrix of fresh public bits. For
two different blocks, the seed drawn after both are fixed,

.. math::
    \Pr[\mathrm{collision}] \le \frac{8\lceil L/16\rceil}{2^{106}} + 2^{-t}, \qquad L = 8 + \lceil n/8\rceil:

the first term is Bernstein's differential bound at difference zero (r has 106 free bits, s cancels);
the second holds since a Toeplitz map of uniform bits sends any nonzero 128-bit difference to zero with
probability 2^-t. The 8 bytes bind the length, so padding bits cannot make two lengths equal.
The seed must be true random, sent once, after both ends have fixed their blocks. The tag tells t bits
of the block: whoever computes the key length pays log2(2 / epsilon) for it.

Source: Bernstein, "The Poly1305-AES message-authentication code", FSE 2005, theorem 3.3;
Krawczyk, CRYPTO 1994 (Toeplitz). No random source, no clock here.
"""

import hmac
import math
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.poly1305 import Poly1305

from satqkd.bits import Bits, from_bytes, to_bytes
from satqkd.distill.authenticate import forgery_bound
from satqkd.errors import LocalProtocolError

_POLY_KEY_BYTES: Final = 32
_POLY_TAG_BITS: Final = 128
_LENGTH_BYTES: Final = 8
MAXIMUM_BITS: Final = 100_000_000
"""Longest block; with it the smallest epsilon that `tag_bits` accepts is 1.6e-25."""


def tag_bits(epsilon: float) -> int:
    """t, the smallest integer with 2^-t <= epsilon / 2.

    Raises LocalProtocolError unless 0 < epsilon < 1 and the bound reaches it for MAXIMUM_BITS.
    """
    floor = 2 * _polynomial_bound(MAXIMUM_BITS)
    if not floor <= epsilon < 1:
        raise LocalProtocolError(
            f"verification: expected an epsilon from {floor:.3g} to below 1, got {epsilon:.3g}"
        )
    t = math.ceil(math.log2(2 / epsilon))
    return t if 2.0**-t <= epsilon / 2 else t + 1


def collision_bound(n_bits: int, epsilon: float) -> float:
    """Probability bound that two different blocks of at most `n_bits` have one tag; at most epsilon."""
    _check_length(n_bits)
    return _polynomial_bound(n_bits) + 2.0 ** -tag_bits(epsilon)


def seed_bytes(epsilon: float) -> int:
    """Fresh random bytes one block takes: 32 for Poly1305 and 127 + t bits for the Toeplitz matrix."""
    return _POLY_KEY_BYTES + (_POLY_TAG_BITS + tag_bits(epsilon) - 1 + 7) // 8


def tag(bits: Bits, seed: bytes, epsilon: float) -> bytes:
    """The block's tag: t bits in ceil(t / 8) bytes, unused high bits zero.

    bits: uint8 (n,) of 0/1, n <= MAXIMUM_BITS. seed: `seed_bytes(epsilon)` bytes.
    Raises LocalProtocolError on wrong sizes.
    """
    t = tag_bits(epsilon)
    _check_length(bits.size)
    if len(seed) != seed_bytes(epsilon):
        raise LocalProtocolError(
            f"verification: expected a seed of {seed_bytes(epsilon)} bytes, got {len(seed)}"
        )
    message = bits.size.to_bytes(_LENGTH_BYTES, "little") + to_bytes(bits)
    digest = from_bytes(Poly1305.generate_tag(seed[:_POLY_KEY_BYTES], message), _POLY_TAG_BITS)
    return to_bytes(_toeplitz(seed[_POLY_KEY_BYTES:], digest, t))


def matches(own: bytes, other: bytes) -> bool:
    """Whether two tags are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(own, other)


def _toeplitz(seed: bytes, digest: Bits, t: int) -> Bits:
    """Row i is the seed's bits i .. i + 127; returns the t parities."""
    n_bits = _POLY_TAG_BITS + t - 1
    diagonal = np.unpackbits(np.frombuffer(seed, np.uint8), count=n_bits, bitorder="little")
    rows = np.lib.stride_tricks.sliding_window_view(diagonal, _POLY_TAG_BITS)
    return np.asarray((rows & digest).sum(axis=1) & 1, dtype=np.uint8)


def _polynomial_bound(n_bits: int) -> float:
    return forgery_bound(_LENGTH_BYTES + (n_bits + 7) // 8)


def _check_length(n_bits: int) -> None:
    if not 0 <= n_bits <= MAXIMUM_BITS:
        raise LocalProtocolError(f"verification: expected 0 to {MAXIMUM_BITS} bits, got {n_bits}")
