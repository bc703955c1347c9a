"""Philox4x32-10 against the published Random123 vectors, and the two implementations against each other."""

import numpy as np
import pytest

from satqkd.kernels import philox, philox_plain

VECTORS = [  # Random123, kat_vectors: philox4x32 10
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def _compiled(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    out = np.zeros_like(counters)
    philox.philox4x32(counters, np.array(key, np.uint32), out)
    return out


@pytest.mark.parametrize("implementation", [philox_plain.philox4x32, _compiled])
@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_known_answers(implementation, counter, key, expected):
    first, second = _words(key)
    got = implementation(np.array([_words(counter)], np.uint32), (first, second))
    assert got.tolist() == [_words(expected)]


def test_both_agree_on_many_counters():
    counters = np.random.default_rng(71).integers(0, 2**32, (20_000, 4), dtype=np.uint32)
    key = (0x9D1C5EED, 0xFFFFFFFE)
    assert np.array_equal(_compiled(counters, key), philox_plain.philox4x32(counters, key))


def test_columns_broadcast():
    index, zero = np.arange(5, dtype=np.uint64), np.zeros(1, np.uint64)
    counters = np.zeros((5, 4), np.uint32)
    counters[:, 0] = index
    by_column = np.stack(philox_plain.columns(index, zero, zero, zero, (1, 2)), axis=1)
    assert np.array_equal(by_column, philox_plain.philox4x32(counters, (1, 2)))
