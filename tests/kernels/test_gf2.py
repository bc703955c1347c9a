"""GF(2^128), its additive transform and the Toeplitz product: against plain integers and the definition."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.bits import pack
from satqkd.kernels import gf2, gf2_tables, gf2_toeplitz
from satqkd.kernels.gf2_plain import toeplitz_rows_plain
from satqkd.kernels.gf2_tables import cantor_basis, conversion, times, twiddles
from satqkd.randomness import stream

ARITHMETICS = (gf2.NATIVE, gf2.PORTABLE)


def as_words(elements: list[int]) -> np.ndarray:
    return gf2_tables.as_words(elements)


def as_elements(words: np.ndarray) -> list[int]:
    return [int(low) | int(high) << 64 for low, high in words.reshape(-1, 2)]


def elements(count: int, *labels: str) -> list[int]:
    return as_elements(stream(1, "gf2-test", *labels).integers(0, 1 << 64, 2 * count, dtype=np.uint64))


def transform(words: np.ndarray, log: int, *, dual: bool, arithmetic: gf2.Arithmetic = gf2.NATIVE) -> None:
    gf2.convert(words, log, *conversion(log), dual)
    gf2.evaluate(words, log, *twiddles(), dual, arithmetic)


def transposed(words: np.ndarray, log: int, arithmetic: gf2.Arithmetic = gf2.NATIVE) -> None:
    gf2.evaluate_transposed(words, log, *twiddles(), arithmetic)
    gf2.convert_transposed(words, log, *conversion(log))


def test_plain_product_is_the_field_of_the_ghash_polynomial() -> None:
    assert times(1 << 127, 2) == 0x87
    assert times(1 << 64, 1 << 64) == 0x87
    a, b, c = elements(3, "field")
    assert times(a, times(b, c)) == times(times(a, b), c)
    assert times(a, b ^ c) == times(a, b) ^ times(a, c)
    power = a
    for _ in range(128):
        power = times(power, power)
    assert power == a  # a^(2^128) = a in GF(2^128) alone


WORST = [0, 1, 0x87, 1 << 63, 1 << 64, 1 << 127, (1 << 64) - 1, ((1 << 64) - 1) << 64, (1 << 128) - 1]


def check_products(kernel: Callable[..., None], arithmetic: gf2.Arithmetic) -> None:
    a = [x for x in WORST for _ in WORST] + elements(99, "a")  # together a multiple of four
    b = [*WORST * len(WORST), *elements(99, "b")]
    before = elements(len(a), "total")
    total = as_words(before)
    kernel(total, as_words(a), as_words(b), arithmetic)
    expected = [t ^ times(x, y) for t, x, y in zip(before, a, b, strict=True)]
    assert as_elements(total) == expected


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_products_equal_the_plain_ones(arithmetic: gf2.Arithmetic) -> None:
    check_products(gf2.add_products, arithmetic)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_products_equal_the_plain_ones_at_every_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if gf2.native_elements() < width:
        pytest.skip(f"no carry-less multiplication of {128 * width} bits here")
    monkeypatch.setattr(gf2, "native_elements", lambda: width)
    kernel = numba.njit(gf2.add_products.py_func)  # type: ignore[attr-defined]
    check_products(kernel, gf2.NATIVE)
    lines = [x for asm in kernel.inspect_asm().values() for x in asm.splitlines() if "pclmul" in x]
    assert lines
    assert all({1: "xmm", 2: "ymm", 4: "zmm"}[width] in line for line in lines)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("", 0),
        ("+sse4.2,-pclmul", 0),
        ("+pclmul,+avx2", 1),
        ("+pclmul,+vpclmulqdq,+avx2,-avx512f", 2),
        ("+pclmul,+vpclmulqdq,+avx512f", 4),
    ],
)
def test_no_instruction_is_used_that_the_target_lacks(
    features: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gf2.config, "CPU_FEATURES", features)
    assert gf2.native_elements() == expected


def test_cantor_basis() -> None:
    basis = cantor_basis(gf2_tables.LARGEST_LOG)
    assert basis[0] == 1
    for lower, v in pairwise(basis):
        assert times(v, v) ^ v == lower


def test_twiddles_are_subspace_polynomials_at_the_first_point_of_a_block() -> None:
    """s_i by its recursion s_{i+1} = s_i^2 + s_i, at sums of basis elements."""
    basis = cantor_basis(gf2_tables.LARGEST_LOG)
    table = as_elements(twiddles()[1])
    for level, block in [(0, 1), (0, 1023), (3, 5), (5, 700)]:
        first = block << (level + 1)
        value = reduce(xor, (v for i, v in enumerate(basis) if first >> i & 1))
        for _ in range(level):
            value ^= times(value, value)
        assert table[block] == value


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("log", [3, 4, 5, 6, 9, 12, 13])
def test_transform_is_the_values_of_the_polynomial(log: int, arithmetic: gf2.Arithmetic) -> None:
    basis = cantor_basis(log)
    coefficients = elements(1 << log, "polynomial", str(log))
    words = as_words(coefficients)
    transform(words, log, dual=False, arithmetic=arithmetic)
    values = as_elements(words)
    for place in {0, 1, 2, 7, (1 << log) - 1} if log > 6 else range(1 << log):
        point = reduce(xor, (v for i, v in enumerate(basis) if place >> i & 1), 0)
        assert values[place] == reduce(
            lambda value, c, x=point: times(value, x) ^ c, reversed(coefficients), 0
        )


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("log", [3, 4, 8, 11, 12, 16, 17])
def test_transposes_belong_to_the_transform(log: int, arithmetic: gf2.Arithmetic) -> None:
    """E^T E^-T is the identity, and sum_i (E x)_i (E^-T y)_i = sum_i x_i y_i."""
    x, y = (as_words(elements(1 << log, "dual", which, str(log))) for which in "xy")
    plain = inner(x, y, arithmetic)
    transform(x, log, dual=False, arithmetic=arithmetic)
    dual = y.copy()
    transform(dual, log, dual=True, arithmetic=arithmetic)
    assert inner(x, dual, arithmetic) == plain
    transposed(dual, log, arithmetic)
    np.testing.assert_array_equal(dual, y)


def inner(x: np.ndarray, y: np.ndarray, arithmetic: gf2.Arithmetic) -> tuple[int, int]:
    total = np.zeros_like(x)
    gf2.add_products(total, x, y, arithmetic)
    low, high = np.bitwise_xor.reduce(total.reshape(-1, 2))
    return int(low), int(high)


def problem(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A diagonal with one more word of noise behind it, and a vector."""
    rng = stream(seed, "gf2-toeplitz", str(rows), str(columns))
    diagonal = pack(rng.integers(0, 2, rows + columns - 1 + 127).astype(np.uint8))
    return diagonal, rng.integers(0, 2, columns).astype(np.uint8)


EDGES = st.sampled_from([1, 2, 63, 64, 65, 127, 128, 129, 512, 575, 576, 577])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 1500) | EDGES, st.integers(1, 1500) | EDGES, st.integers(0, 1000))
def test_toeplitz_rows_equal_the_twins(rows: int, columns: int, seed: int) -> None:
    diagonal, vector = problem(rows, columns, seed)
    expected = toeplitz_rows_plain(diagonal, vector, rows)
    for arithmetic in ARITHMETICS:
        out = gf2_toeplitz.toeplitz_rows(diagonal, vector, rows, arithmetic=arithmetic)
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("rows", "columns"), [(900, 700), (64, 3000), (3000, 64), (1, 2000), (2000, 1)])
@pytest.mark.parametrize("cut", [(3, 1, 1), (3, 4, 5), (3, 5, 4), (3, 8, 1), (4, 3, 7), (5, 16, 17)])
def test_blocks_change_nothing(
    rows: int, columns: int, cut: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    diagonal, vector = problem(rows, columns, 1)
    monkeypatch.setattr(gf2_toeplitz, "choose_blocks", lambda *_: gf2_toeplitz.Blocks(*cut))
    out = gf2_toeplitz.toeplitz_rows(diagonal, vector, rows)
    np.testing.assert_array_equal(out, toeplitz_rows_plain(diagonal, vector, rows))


@given(st.integers(1, 1 << 21), st.integers(1, 1 << 21))
def test_blocks_fit_and_are_no_larger_than_stated(rows: int, columns: int) -> None:
    cut = gf2_toeplitz.choose_blocks(rows, columns)
    assert 1 <= cut.rows <= rows
    assert 1 <= cut.columns <= columns
    assert cut.rows == rows or cut.columns == columns
    assert cut.rows + cut.columns - 1 <= 1 << cut.log < max(2 * (rows + columns - 1), 9)


def test_thin_matrices_are_cut_into_small_transforms() -> None:
    """Ten chunks by a million cost no transform of a million points."""
    assert gf2_toeplitz.choose_blocks(10, 1_000_000).log < 16
    assert gf2_toeplitz.choose_blocks(1_000_000, 10).log < 16


def test_no_folder_for_the_cache_does_not_break_the_import() -> None:
    program = """
import numba.core.caching as caching
def refuse(*_):
    raise OSError("read-only")
for name in dir(caching):
    if name.endswith("Locator") and hasattr(getattr(caching, name), "ensure_cache_path"):
        getattr(caching, name).ensure_cache_path = refuse
import numpy as np
from satqkd.kernels import gf2
total = np.zeros(8, np.uint64)
gf2.add_products(total, np.ones(8, np.uint64), np.ones(8, np.uint64), gf2.NATIVE)
assert total.any() and not gf2.add_products.stats.cache_path
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.soak
@pytest.mark.parametrize("features", ["", "+sse4.2,+pclmul", "+avx2,+pclmul", "+avx2,+pclmul,+vpclmulqdq"])
def test_whole_product_for_lesser_cpus(features: str) -> None:
    host = set(gf2.get_host_cpu_features().split(","))
    if not set(filter(None, features.split(","))) <= host:
        pytest.skip(f"this CPU has not {features}")
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_gf2 import gf2_toeplitz, problem, toeplitz_rows_plain
for rows, columns in ((5000, 7000), (70_000, 70_000)):
    diagonal, vector = problem(rows, columns, 1)
    out = gf2_toeplitz.toeplitz_rows(diagonal, vector, rows)
    assert (out == toeplitz_rows_plain(diagonal, vector, rows)).all()
"""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
