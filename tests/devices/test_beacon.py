"""The beacon code numbers every beacon of the longest pass."""

import hashlib

import numpy as np

from satqkd.beacon import WINDOW_BITS, beacon_code


def _windows(code: np.ndarray) -> np.ndarray:
    words = np.zeros(code.size - WINDOW_BITS + 1, np.uint64)
    for place in range(WINDOW_BITS):
        words |= code[place : place + words.size].astype(np.uint64) << np.uint64(place)
    return words


def _multiply(a: int, b: int, modulus: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        b >>= 1
        a <<= 1
        a ^= modulus if a >> 32 else 0
    return product


def _power_of_x(exponent: int, modulus: int) -> int:
    result, base = 1, 2
    while exponent:
        result = _multiply(result, base, modulus) if exponent & 1 else result
        base = _multiply(base, base, modulus)
        exponent >>= 1
    return result


def test_every_window_of_a_million_occurs_once():
    assert np.unique(_windows(beacon_code(1_000_000))).size == 1_000_000 - WINDOW_BITS + 1


def test_random_bits_would_not_do():
    noise = np.random.default_rng(1).integers(0, 2, 1_000_000, dtype=np.uint8)
    assert np.unique(_windows(noise)).size < 1_000_000 - WINDOW_BITS + 1


def test_polynomial_is_primitive_so_the_period_is_2_to_the_32_less_1():
    modulus = (1 << 32) | (1 << 22) | (1 << 2) | (1 << 1) | 1
    period = 2**32 - 1
    assert _power_of_x(period, modulus) == 1
    assert all(_power_of_x(period // prime, modulus) != 1 for prime in (3, 5, 17, 257, 65537))


def test_code_follows_its_recurrence_one_bit_at_a_time():
    code = beacon_code(5_000).tolist()
    bits = code[:WINDOW_BITS]
    while len(bits) < 5_000:
        at = len(bits) - WINDOW_BITS
        bits.append(bits[at] ^ bits[at + 1] ^ bits[at + 2] ^ bits[at + 22])
    assert bits == code


def test_prefixes_agree_and_the_first_bits_are_pinned():
    code = beacon_code(70_001)
    assert code.dtype == np.uint8
    for n in (0, 1, 31, 32, 33, 64, 1000):
        assert np.array_equal(beacon_code(n), code[:n])
    assert 0.49 < code.mean() < 0.51
    first = hashlib.shake_256(b"satqkd beacon code v1").digest(4)
    assert np.packbits(code[:32], bitorder="little").tobytes() == first
