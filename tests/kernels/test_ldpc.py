"""The vector kernel against its plain twin, bit for bit; the twin's integers against the exact function."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.kernels import ldpc
from satqkd.kernels.ldpc_plain import phi, phi_back, sweeps_plain

COLUMNS, ROWS, WEIGHT = 24, 6, 12
PER_NAT = 2**14


def exact(a):
    return -np.log(np.tanh(a / 2))


def problem(lift, seed, qber=0.02, scales=(1.0, 0.8, 1.3)):
    """A random code whose shifts include 0, multiples of the vector and odd ones; a frame with errors."""
    rng = np.random.default_rng(seed)
    column = np.concatenate([np.sort(rng.choice(COLUMNS, WEIGHT, replace=False)) for _ in range(ROWS)])
    shift = rng.integers(0, lift, column.size)
    shift[:3] = (0, lift - 1, lift - 16)
    row_start = np.arange(ROWS + 1) * WEIGHT
    errors = (rng.random((COLUMNS, lift)) < qber).astype(np.uint8)
    target = np.zeros((ROWS, lift), np.uint8)
    for edge in range(column.size):
        target[edge // WEIGHT] ^= np.roll(errors[column[edge]], -shift[edge])
    llr = np.log((1 - qber) / qber) * ldpc.LLR_SCALE * rng.choice(scales, (COLUMNS, lift))
    start = np.clip(np.rint(llr), 0, 32767).astype(np.int16)
    code = [np.ascontiguousarray(part, np.int32) for part in (row_start, column, shift)]
    return code, start, errors, target


def mirrored(posterior):
    return np.concatenate([posterior, posterior[:, : ldpc.LANES]], axis=1).reshape(-1)


def swept(code, start, target, *, count, patience=1000):
    """The kernel's posterior and messages, in the twin's layout, and its verdict."""
    lift = start.shape[1]
    flat, messages = mirrored(start), np.zeros(code[1].size * lift, np.int16)
    signs = -target.reshape(-1).astype(np.int16)
    scratch = np.empty(2 * WEIGHT * ldpc.LANES, np.int16)
    told = ldpc.sweeps(flat, messages, *code, lift, signs, scratch, count, patience)
    groups = messages.reshape(ROWS, lift // ldpc.LANES, WEIGHT, ldpc.LANES)
    ordered = groups.transpose(0, 2, 1, 3).reshape(ROWS * WEIGHT, lift)
    whole = flat.reshape(COLUMNS, lift + ldpc.LANES)
    np.testing.assert_array_equal(whole[:, lift:], whole[:, : ldpc.LANES])  # the mirror is whole
    return whole[:, :lift], ordered, told


@given(lift=st.sampled_from([16, 48, 128]), seed=st.integers(0, 2**32 - 1), qber=st.floats(0.002, 0.2))
@settings(max_examples=30, deadline=None)
def test_kernel_and_twin_agree_bit_for_bit(lift, seed, qber):
    code, start, _, target = problem(lift, seed, qber, (1.0, 0.8, 60.0))
    posterior, messages = start.astype(np.int64), np.zeros((code[1].size, lift), np.int64)
    failed = sweeps_plain(posterior, messages, *code, target.astype(np.int64), 3)
    got, got_messages, told = swept(code, start, target, count=3)
    if told == -4:  # it did not stop before the third sweep
        np.testing.assert_array_equal(got, posterior)
        np.testing.assert_array_equal(got_messages, messages)
    else:  # it looks again only when few checks failed: it may see the end one sweep late
        right = next((k for k, wrong in enumerate(failed) if wrong == 0), 3)
        assert told in (right, right + 1)


def test_random_values_over_the_whole_range_agree():
    """Saturated sums, ties, zeros and the most negative number included."""
    code, start, _, target = problem(48, 5)
    rng = np.random.default_rng(7)
    start = rng.choice([-32768, 32767, 0, 1, -1, 40, -3000, 700], start.shape).astype(np.int16)
    posterior, messages = start.astype(np.int64), np.zeros((code[1].size, 48), np.int64)
    sweeps_plain(posterior, messages, *code, target.astype(np.int64), 4)
    got, got_messages, told = swept(code, start, target, count=4)
    assert told == -5
    np.testing.assert_array_equal(got, posterior)
    np.testing.assert_array_equal(got_messages, messages)


def test_phi_in_integers_follows_the_exact_function():
    """Within 7 % or 0.05 nat where it counts: a check of a hundred edges sums values near 0.02 to about 2."""
    a = np.arange(20, 1100)
    true = exact(a / ldpc.LLR_SCALE) * PER_NAT
    assert np.max(np.abs(phi(a) - true) / (0.07 * true + 1)) <= 1
    s = np.arange(40, 60_000)
    back, wanted = phi_back(s), exact(s / PER_NAT) * ldpc.LLR_SCALE
    assert np.max(np.abs(back - wanted)) < 0.05 * ldpc.LLR_SCALE


def test_phi_falls_and_never_overflows():
    values, sums = phi(np.arange(32769)), phi_back(np.arange(65536))
    assert (np.diff(values) <= 0).all() and values.max() < 65536 and values.min() >= 0
    assert (np.diff(sums) <= 4).all() and sums.min() >= 0
    assert sums.max() == ldpc.LLR_LIMIT
    assert phi(np.array([0]))[0] > 3.5 * PER_NAT  # an erased edge silences its check


def test_it_stops_at_the_target_and_reports_how_long_it_took():
    code, start, errors, target = problem(64, 3, qber=0.004)
    got, _, told = swept(code, start, target, count=50)
    assert 0 < told < 50
    np.testing.assert_array_equal((got < 0).astype(np.uint8), errors)
    assert swept(code, start, np.zeros_like(target), count=50)[2] == 0


def test_it_gives_up_when_nothing_moves():
    code, start, _, target = problem(64, 3, qber=0.2)
    told = swept(code, start, target, count=400, patience=6)[2]
    assert -401 < told < 0


def test_stopping_needs_the_whole_syndrome():
    """Power: checks that are satisfied one after the other during a sweep are no decoded frame."""
    code, start, _, target = problem(64, 9, qber=0.01)
    got, _, told = swept(code, start, target, count=60)
    parity = np.zeros_like(target)
    for edge in range(code[1].size):
        parity[edge // WEIGHT] ^= np.roll((got[code[1][edge]] < 0).astype(np.uint8), -code[2][edge])
    assert (told >= 0) == np.array_equal(parity, target)


@pytest.mark.parametrize(
    "cpu",
    [
        pytest.param("x86-64", id="generic"),
        pytest.param("x86-64-v2", id="sse4", marks=pytest.mark.soak),
        pytest.param("haswell", id="avx2", marks=pytest.mark.soak),
        pytest.param("skylake-avx512", id="avx512", marks=pytest.mark.soak),
    ],
)
def test_every_vector_width_gives_the_same_bits(cpu, tmp_path):
    """The same test of whole ranges, compiled for other instruction sets of this architecture."""
    if os.uname().machine != "x86_64":
        pytest.skip("instruction sets of another architecture")
    known = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    if cpu == "skylake-avx512" and "avx512bw" not in known:
        pytest.skip("this machine has no AVX-512")
    if cpu == "haswell" and "avx2" not in known:
        pytest.skip("this machine has no AVX2")
    program = "import test_ldpc as t; t.test_random_values_over_the_whole_range_agree()"
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
