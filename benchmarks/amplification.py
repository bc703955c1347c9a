"""Speed of privacy amplification, n bits in and n / 2 out, by method and size; every result is compared.

Ours are timed whole: `amplify`, from unpacked bits to unpacked bits, best of several; the kernel also for the
product alone. The yardsticks get packed, aligned words and are timed for the product alone: one cyclic FFT
by scipy, `reference_clmul.cpp` compiled here with -O3 -march=native, and a full product by libgf2x (Debian:
libgf2x3) where one is found. The last column but one is the time as a multiple of the kernel's product.

    python benchmarks/amplification.py --sizes 1e5 1e6 1e7
"""

import argparse
import ctypes
import ctypes.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from compiled import compiled
from scipy import fft

from satqkd.bits import Bits, from_bytes, pack, unpack, words_needed
from satqkd.distill.amplify import Method, amplify
from satqkd.kernels import gf2, gf2_toeplitz

SIZES = (1e5, 1e6, 1e7)
METHODS: tuple[Method, ...] = ("fft", "clmul", "portable")
SOURCE = Path(__file__).with_name("reference_clmul.cpp")
BASE_WORDS = 32


def best(function: Callable[[], Any], budget_s: float = 2.0) -> tuple[float, Any]:
    """Shortest time in seconds of at most 300 runs, and the last result."""
    times: list[float] = []
    while not times or (sum(times) < budget_s and len(times) < 300):
        began = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - began)
    return min(times), result


def one_cyclic_fft(diagonal: Bits, tail: Bits, rows: int) -> Bits:
    """A single transform of length n + m - 1 or the next good one: the plain way to do it with scipy."""
    size = fft.next_fast_len(diagonal.size, real=True)
    product = fft.irfft(fft.rfft(diagonal.astype(float), size) * fft.rfft(tail.astype(float), size), size)
    return (np.rint(product[tail.size - 1 : tail.size - 1 + rows]).astype(np.int64) & 1).astype(np.uint8)


def pointer(words: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(words.ctypes.data)


def karatsuba(library: ctypes.CDLL, diagonal: Bits, tail: Bits, rows: int) -> tuple[float, Bits]:
    """Square, filled up to a base times a power of two: seconds of the product, and the rows."""
    words = words_needed(max(rows, tail.size))
    doublings = 0
    while -(-words >> doublings) > BASE_WORDS:
        doublings += 1
    words = -(-words >> doublings) << doublings
    shifted = np.concatenate([np.zeros(64 * words - tail.size, np.uint8), diagonal])
    d = np.zeros(2 * words, np.uint64)
    d[: words_needed(shifted.size)] = pack(shifted)[: d.size]
    filled = np.zeros(64 * words, np.uint8)
    filled[: tail.size] = tail
    a = np.ascontiguousarray(pack(filled)[::-1])
    y, scratch = np.zeros(words, np.uint64), np.zeros(4 * words, np.uint64)
    sizes = [ctypes.c_size_t(words), ctypes.c_size_t(BASE_WORDS)]
    seconds, _ = best(lambda: library.toeplitz_rows(*map(pointer, (d, a, y)), *sizes, pointer(scratch)))
    return seconds, unpack(y, rows)


def by_gf2x(library: ctypes.CDLL, diagonal: Bits, tail: Bits, rows: int) -> tuple[float, Bits]:
    a, b = pack(diagonal), pack(tail)
    c = np.zeros(a.size + b.size, np.uint64)
    sizes = [ctypes.c_ulong(a.size), ctypes.c_ulong(b.size)]
    seconds, _ = best(lambda: library.gf2x_mul(pointer(c), pointer(a), sizes[0], pointer(b), sizes[1]))
    return seconds, unpack(c, tail.size - 1 + rows)[tail.size - 1 :]


def measure(n: int, reference: ctypes.CDLL | None, gf2x: ctypes.CDLL | None, *, yardsticks: bool) -> None:
    rng = np.random.default_rng(n)
    m = n // 2
    bits, seed = rng.integers(0, 2, n, dtype=np.uint8), rng.bytes((n + 6) // 8)
    found: dict[str, tuple[float, Bits]] = {}
    for method in METHODS:
        seconds, out = best(lambda method=method: amplify(bits, m, seed, method=method))
        found[f"satqkd {method}"] = seconds, out ^ bits[:m]
    words = pack(from_bytes(seed, n - 1))
    found["satqkd clmul, product"] = best(lambda: gf2_toeplitz.toeplitz_rows(words, bits[m:], m))
    if yardsticks:
        diagonal, tail = from_bytes(seed, n - 1), bits[m:]
        found["one cyclic FFT, scipy"] = best(lambda: one_cyclic_fft(diagonal, tail, m))
        if reference is not None:
            found["C++ PCLMUL Karatsuba"] = karatsuba(reference, diagonal, tail, m)
        if gf2x is not None:
            found["libgf2x, full product"] = by_gf2x(gf2x, diagonal, tail, m)
    kernel_s, rows = found["satqkd clmul, product"]
    for name, (seconds, result) in found.items():
        verdict = "same" if np.array_equal(result, rows) else "DIFFERS"
        speeds = f"{n / seconds / 1e6:9.2f} {seconds / kernel_s:9.2f}"
        print(f"{n:10.0e} {name:24s} {seconds:10.5f} {speeds} {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES, help="input bits")
    parser.add_argument("--largest", action="store_true", help="also 1e8, FFT included: a minute and 6 GB")
    parser.add_argument(
        "--gf2x", default=ctypes.util.find_library("gf2x"), help="shared library to compare with"
    )
    given = parser.parse_args()
    width = gf2.native_elements()
    print(
        f"carry-less multiplication of {128 * width} bits at a time"
        if width
        else "no carry-less multiplication"
    )
    for arithmetic in (gf2.NATIVE, gf2.PORTABLE):
        began = time.perf_counter()
        gf2_toeplitz.warm_up(arithmetic=arithmetic)
        print(f"kernels ready in {time.perf_counter() - began:.2f} s")
    if given.gf2x is None:
        print("no libgf2x: skipped")
    gf2x = ctypes.CDLL(given.gf2x) if given.gf2x else None
    with tempfile.TemporaryDirectory() as folder:
        reference = compiled(SOURCE, folder)
        print("         n method                      seconds    Mbit/s  /product")
        for n in given.sizes:
            measure(int(n), reference, gf2x, yardsticks=True)
        if given.largest:
            measure(100_000_000, None, None, yardsticks=False)


if __name__ == "__main__":
    main()
