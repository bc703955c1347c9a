"""Privacy amplification against the matrix itself: exact bits, two-universality counted, closed on doubt."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from satqkd.bits import from_bytes, to_bytes
from satqkd.distill import amplify as module
from satqkd.distill.amplify import amplify, seed_bits_needed
from satqkd.errors import LocalProtocolError
from satqkd.randomness import stream


def matrix(n: int, m: int, seed: bytes) -> np.ndarray:
    """(I | T') entry by entry from the definition."""
    s = from_bytes(seed, n - 1)
    toeplitz = [[s[i - j + n - m - 1] for j in range(n - m)] for i in range(m)]
    return np.hstack([np.eye(m, dtype=np.uint8), np.array(toeplitz, np.uint8).reshape(m, n - m)])


def case(n: int, seed: int = 1) -> tuple[np.ndarray, bytes]:
    rng = stream(seed, "amplify-test", str(n))
    return rng.integers(0, 2, n).astype(np.uint8), rng.bytes((n - 1 + 7) // 8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.data())
def test_equals_the_matrix_product(n: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(0, n))
    bits, seed = case(n, data.draw(st.integers(0, 1000)))
    expected = matrix(n, m, seed).astype(int) @ bits % 2
    out = amplify(bits, m, seed)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("n", "m"), [(500, 60), (500, 333), (500, 499), (77, 1)])
def test_blocks_of_input_and_output_change_nothing(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bits, seed = case(n)
    expected = matrix(n, m, seed).astype(int) @ bits % 2
    monkeypatch.setattr(module, "_SMALLEST_BLOCK", 16)
    np.testing.assert_array_equal(amplify(bits, m, seed), expected)
    monkeypatch.setattr(module, "_LARGEST_BLOCK", 37)
    np.testing.assert_array_equal(amplify(bits, m, seed), expected)


def test_a_million_bits_by_rows_picked_at_random() -> None:
    n, m = 1_000_000, 500_000
    bits, seed = case(n)
    out = amplify(bits, m, seed)
    s, tail = from_bytes(seed, n - 1), bits[m:]
    for i in [0, 1, m - 2, m - 1, *stream(2, "rows").integers(0, m, 60).tolist()]:
        row = s[i : i + n - m][::-1]
        assert out[i] == (int(bits[i]) + int(np.count_nonzero(row & tail))) % 2


@pytest.mark.parametrize(("n", "m"), [(5, 2), (6, 3), (6, 1), (4, 4)])
def test_two_universal_counted_over_all_seeds(n: int, m: int) -> None:
    """Every nonzero difference goes to zero for at most 2^-m of the seeds."""
    words = np.array(list(product((0, 1), repeat=n)), np.uint8)[1:]
    collisions = np.zeros(len(words), int)
    for number in range(1 << (n - 1)):
        seed = number.to_bytes((n - 1 + 7) // 8, "little")
        collisions += [not amplify(word, m, seed).any() for word in words]
    assert collisions.max() <= (1 << (n - 1)) / (1 << m)


def test_linear() -> None:
    (a, seed), (b, _) = case(3000, 1), case(3000, 2)
    np.testing.assert_array_equal(amplify(a ^ b, 1234, seed), amplify(a, 1234, seed) ^ amplify(b, 1234, seed))


def test_worst_case_counts_stay_exact() -> None:
    """All ones: the largest counts there are."""
    n, m = 300_001, 150_000
    ones, seed = np.ones(n, np.uint8), to_bytes(np.ones(n - 1, np.uint8))
    assert (amplify(ones, m, seed) == (1 + (n - m)) % 2).all()


def test_edges() -> None:
    assert amplify(np.ones(1, np.uint8), 1, b"").tolist() == [1]
    assert amplify(np.ones(1, np.uint8), 0, b"").tolist() == []
    assert amplify(np.zeros(0, np.uint8), 0, b"").size == 0
    bits, seed = case(100)
    np.testing.assert_array_equal(amplify(bits, 100, seed), bits)
    assert amplify(bits, 0, seed).size == 0
    assert (seed_bits_needed(100, 50), seed_bits_needed(1, 1), seed_bits_needed(0, 0)) == (99, 0, 0)


@pytest.mark.parametrize("noise", [0.06, np.nan])
def test_doubtful_rounding_gives_no_key(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = fft.irfft

    def noisy(spectrum: np.ndarray, size: int, **options: bool) -> np.ndarray:
        values = exact(spectrum, size, **options)
        values[size // 2] += noise
        return values

    bits, seed = case(1000)
    monkeypatch.setattr(module.fft, "irfft", noisy)
    with pytest.raises(LocalProtocolError, match="no key"):
        amplify(bits, 500, seed)


def test_single_precision_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bits, seed = case(2_000_000)
    scipy_rfft = fft.rfft
    exact = fft.irfft
    monkeypatch.setattr(module.fft, "rfft", lambda a, **_: scipy_rfft(a.astype(np.float32)))
    monkeypatch.setattr(module.fft, "irfft", lambda a, size, **_: exact(a.astype(np.complex64), size))
    with pytest.raises(LocalProtocolError, match="no key"):
        amplify(bits, 1_000_000, seed)


def test_misuse_is_refused() -> None:
    bits, seed = case(100)
    for n, m in ((5, 6), (5, -1), (100_000_001, 1)):
        with pytest.raises(LocalProtocolError, match="secret bits"):
            seed_bits_needed(n, m)
    for wrong in (seed + b"\0", seed[:-1]):
        with pytest.raises(LocalProtocolError, match="13 bytes"):
            amplify(bits, 50, wrong)
    with pytest.raises(LocalProtocolError, match="0 and 1"):
        amplify(bits + np.uint8(1), 50, seed)
