"""Block verification: against its definition in integers, and the bound it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.bits import from_bytes, to_bytes
from satqkd.distill.verify import collision_bound, matches, seed_bytes, tag, tag_bits
from satqkd.errors import LocalProtocolError
from satqkd.randomness import stream

EPSILON = 1e-15


def case(n: int, epsilon: float = EPSILON) -> tuple[np.ndarray, bytes]:
    rng = stream(1, "verify-test", str(n))
    return rng.integers(0, 2, n).astype(np.uint8), rng.bytes(seed_bytes(epsilon))


def plain_tag(bits: np.ndarray, seed: bytes, t: int) -> bytes:
    """RFC 8439 section 2.5 in integers, then parities row by row."""
    message = bits.size.to_bytes(8, "little") + to_bytes(bits)
    r = int.from_bytes(seed[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(seed[16:32], "little")
    total = 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start : start + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    digest, toeplitz = (total + s) % (1 << 128), int.from_bytes(seed[32:], "little")
    parities = [((toeplitz >> i) & digest).bit_count() % 2 for i in range(t)]
    return to_bytes(np.array(parities, np.uint8))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.sampled_from([0.5, 1e-3, 1e-9, 1e-15, 1e-24]))
def test_equals_the_definition(n: int, epsilon: float) -> None:
    bits, seed = case(n, epsilon)
    assert tag(bits, seed, epsilon) == plain_tag(bits, seed, tag_bits(epsilon))


@pytest.mark.parametrize("epsilon", [0.5, 1e-3, 1e-9, 1e-12, 1e-15, 2.0**-50, 1e-20, 1.7e-25])
def test_bound_keeps_its_promise_to_a_hundred_million_bits(epsilon: float) -> None:
    t = tag_bits(epsilon)
    assert 2.0**-t <= epsilon / 2 < 2.0 ** (1 - t)
    for n in (0, 1, 10**6, 10**8):
        length = 8 + (n + 7) // 8
        bound = 8 * -(-length // 16) / 2**106 + 2.0**-t
        assert collision_bound(n, epsilon) == pytest.approx(bound, rel=1e-12)
        assert collision_bound(n, epsilon) <= epsilon


def test_sizes() -> None:
    assert tag_bits(EPSILON) == 51
    assert seed_bytes(EPSILON) == 32 + 23
    bits, seed = case(1000)
    out = tag(bits, seed, EPSILON)
    assert len(out) == 7
    assert from_bytes(out, 56)[51:].sum() == 0


def test_one_flipped_bit_anywhere_and_one_more_zero_change_the_tag() -> None:
    """Without the length in the message, a zero appended within the last byte would not be seen."""
    bits, seed = case(203)
    own = tag(bits, seed, EPSILON)
    for i in range(bits.size):
        other = bits.copy()
        other[i] ^= 1
        assert not matches(own, tag(other, seed, EPSILON))
    assert not matches(own, tag(np.append(bits, np.uint8(0)), seed, EPSILON))
    assert matches(own, tag(bits.copy(), seed, EPSILON))


def test_collisions_come_as_often_as_the_tag_is_short() -> None:
    """t = 3: two blocks share 1/8 of the seeds' tags, 6-sigma band over 4000 seeds; more than epsilon/2
    would show, and so would a hash whose tags never collide because it leaks more than t bits."""
    rng = stream(4, "collisions")
    a, b = (rng.integers(0, 2, 500).astype(np.uint8) for _ in range(2))
    same = 0
    for _ in range(4000):
        seed = rng.bytes(seed_bytes(0.25))
        same += tag(a, seed, 0.25) == tag(b, seed, 0.25)
    assert abs(same - 500) < 6 * np.sqrt(4000 / 8 * 7 / 8)


def test_misuse_is_refused() -> None:
    bits, seed = case(100)
    with pytest.raises(LocalProtocolError, match="seed of 55 bytes"):
        tag(bits, seed + b"\0", EPSILON)
    for epsilon in (0.0, 1.0, 1e-26, float("nan")):
        with pytest.raises(LocalProtocolError, match="epsilon"):
            tag_bits(epsilon)
    with pytest.raises(LocalProtocolError, match="100000000 bits"):
        collision_bound(100_000_001, EPSILON)
