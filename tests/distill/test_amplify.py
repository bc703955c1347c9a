"""Privacy amplification against the matrix itself: exact bits, two-universality counted, closed on doubt."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from satqkd.bits import from_bytes, to_bytes
from satqkd.distill import amplify as module
from satqkd.distill.amplify import Method, amplify, seed_bits_needed
from satqkd.errors import LocalProtocolError
from satqkd.randomness import stream

METHODS: tuple[Method, ...] = ("fft", "clmul", "portable")


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
    for method in METHODS:
        out = amplify(bits, m, seed, method=method)
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, expected)


SIZES = st.integers(1, 40_000) | st.sampled_from([64, 65, 128, 4096, 4097, 8191, 8192, 8193])


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_methods_agree_bit_by_bit(n: int, data: st.DataObject) -> None:
    near = st.integers(0, min(n, 130))
    m = data.draw(st.integers(0, n) | near | near.map(lambda k: n - k))
    bits, seed = case(n, data.draw(st.integers(0, 1000)))
    by_fft, by_kernel, portably = (amplify(bits, m, seed, method=method) for method in METHODS)
    np.testing.assert_array_equal(by_kernel, by_fft)
    np.testing.assert_array_equal(portably, by_fft)


@pytest.mark.parametrize(("n", "m"), [(500, 60), (500, 333), (500, 499), (77, 1)])
def test_blocks_of_input_and_output_change_nothing(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bits, seed = case(n)
    expected = matrix(n, m, seed).astype(int) @ bits % 2
    monkeypatch.setattr(module, "_SMALLEST_BLOCK", 16)
    np.testing.assert_array_equal(amplify(bits, m, seed, method="fft"), expected)
    monkeypatch.setattr(module, "_LARGEST_BLOCK", 37)
    np.testing.assert_array_equal(amplify(bits, m, seed, method="fft"), expected)


@pytest.mark.parametrize(
    ("n", "m", "method"),
    [
        (1_000_000, 500_000, "fft"),
        (1_000_000, 500_000, "clmul"),
        (1_000_000, 999_000, "clmul"),
        (9_000_001, 1_000, "clmul"),
        (9_000_001, 4_500_000, "clmul"),
        (1_000_000, 400_000, "portable"),
    ],
)
def test_millions_of_bits_by_rows_picked_at_random(n: int, m: int, method: Method) -> None:
    bits, seed = case(n)
    out = amplify(bits, m, seed, method=method)
    s, tail = from_bytes(seed, n - 1), bits[m:]
    for i in [0, 1, m - 2, m - 1, *stream(2, "rows").integers(0, m, 60).tolist()]:
        row = s[i : i + n - m][::-1]
        assert out[i] == (int(bits[i]) + int(np.count_nonzero(row & tail))) % 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m"), [(5, 2), (6, 3), (6, 1), (4, 4), (6, 5)])
def test_two_universal_counted_over_all_seeds_and_pairs(n: int, m: int, method: Method) -> None:
    """Strings that differ in the last n - m bits collide for just 2^-m of the seeds, others never."""
    numbers = np.arange(1 << n)
    strings = (numbers[:, None] >> np.arange(n) & 1).astype(np.uint8)
    collisions = np.zeros((1 << n, 1 << n), int)
    for number in range(1 << (n - 1)):
        seed = number.to_bytes((n - 1 + 7) // 8, "little")
        keys = np.array([amplify(x, m, seed, method=method) @ (1 << np.arange(m)) for x in strings])
        collisions += keys[:, None] == keys
    differ_in_tail = (numbers[:, None] ^ numbers) >> m != 0
    expected = np.where(differ_in_tail, (1 << (n - 1)) >> m, 0)
    np.fill_diagonal(expected, 1 << (n - 1))
    np.testing.assert_array_equal(collisions, expected)


@pytest.mark.parametrize("method", METHODS)
def test_unused_bits_of_the_seed_do_not_matter(method: Method) -> None:
    bits, seed = case(1002)  # 1001 bits of seed in 126 bytes
    other = seed[:-1] + bytes([seed[-1] ^ 0xFE])
    np.testing.assert_array_equal(
        amplify(bits, 437, seed, method=method), amplify(bits, 437, other, method=method)
    )


@pytest.mark.parametrize(("n", "m"), [(2_000_003, 1_000_000), (2_000_003, 1_900_000), (700_000, 5_000)])
@pytest.mark.parametrize("method", METHODS)
def test_memory_stays_in_the_stated_bound(n: int, m: int, method: Method) -> None:
    bits, seed = case(n)
    amplify(bits[:100], 50, seed[:13], method=method)  # compiled, tables made
    bound = 2 * n + m + 56 * (1 << 19) if method == "fft" else 2 * n + 2 * m + 65_536
    tracemalloc.start()
    try:
        amplify(bits, m, seed, method=method)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert bound / 20 < peak < bound


def test_auto_is_the_kernel_once_it_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    bits, seed = case(500)
    calls: list[str] = []
    monkeypatch.setattr(module, "_rows_by_fft", lambda *_: calls.append("fft") or np.zeros(200, np.uint8))
    monkeypatch.setattr(module, "_kernel_is_ready", False)
    amplify(bits, 200, seed)
    module.warm_up()
    by_kernel = amplify(bits, 200, seed)
    assert calls == ["fft"]
    np.testing.assert_array_equal(by_kernel, amplify(bits, 200, seed, method="clmul"))


def test_without_warming_up_no_numba_is_loaded() -> None:
    program = (
        "import sys, numpy as np; from satqkd.distill.amplify import amplify;"
        "amplify(np.ones(100, np.uint8), 50, bytes(13)); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("method", METHODS)
def test_linear(method: Method) -> None:
    (a, seed), (b, _) = case(3000, 1), case(3000, 2)
    of_a, of_b, of_sum = (amplify(x, 1234, seed, method=method) for x in (a, b, a ^ b))
    np.testing.assert_array_equal(of_sum, of_a ^ of_b)


@pytest.mark.parametrize("method", METHODS)
def test_worst_case_counts_stay_exact(method: Method) -> None:
    """All ones: the largest counts there are."""
    n, m = 300_001, 150_000
    ones, seed = np.ones(n, np.uint8), to_bytes(np.ones(n - 1, np.uint8))
    assert (amplify(ones, m, seed, method=method) == (1 + (n - m)) % 2).all()


@pytest.mark.parametrize("method", METHODS)
def test_edges(method: Method) -> None:
    assert amplify(np.ones(1, np.uint8), 1, b"", method=method).tolist() == [1]
    assert amplify(np.ones(1, np.uint8), 0, b"", method=method).tolist() == []
    assert amplify(np.zeros(0, np.uint8), 0, b"", method=method).size == 0
    bits, seed = case(100)
    np.testing.assert_array_equal(amplify(bits, 100, seed, method=method), bits)
    assert amplify(bits, 0, seed, method=method).size == 0


def test_seed_lengths() -> None:
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
        amplify(bits, 500, seed, method="fft")


def test_single_precision_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bits, seed = case(2_000_000)
    scipy_rfft = fft.rfft
    exact = fft.irfft
    monkeypatch.setattr(module.fft, "rfft", lambda a, **_: scipy_rfft(a.astype(np.float32)))
    monkeypatch.setattr(module.fft, "irfft", lambda a, size, **_: exact(a.astype(np.complex64), size))
    with pytest.raises(LocalProtocolError, match="no key"):
        amplify(bits, 1_000_000, seed, method="fft")


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
    with pytest.raises(LocalProtocolError, match="got 'karatsuba'"):
        amplify(bits, 50, seed, method="karatsuba")
