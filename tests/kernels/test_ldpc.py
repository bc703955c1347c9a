"""The vector kernel against its plain twin: same schedule, same rule, float32 with polynomials."""

import numpy as np
import pytest

from satqkd.kernels import ldpc
from satqkd.kernels.ldpc_plain import sweeps_plain

COLUMNS, ROWS, WEIGHT = 24, 6, 12


def problem(lift, seed, qber=0.02):
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
    llr = np.log((1 - qber) / qber) * rng.choice([1.0, 0.8, 1.3], (COLUMNS, lift))  # with ties
    return llr, tuple(part.astype(np.int32) for part in (row_start, column, shift)), target


def run_kernel(llr, tables, lift, target, iterations):
    posterior = np.concatenate([llr, llr[:, : ldpc.LANES]], axis=1).astype(np.float32)
    messages = np.zeros(tables[1].size * lift, np.float32)
    incoming = np.empty(WEIGHT * ldpc.LANES, np.float32)
    signs = (1 - 2 * target.astype(np.float32)).reshape(-1)
    flat = posterior.reshape(-1)
    used = ldpc.sweeps(flat, messages, *tables, lift, target.reshape(-1), signs, incoming, iterations)
    return used, posterior


@pytest.mark.parametrize("lift", [16, 32, 48, 176])
@pytest.mark.parametrize("iterations", [1, 3])
def test_posteriors_equal_the_twins(lift, iterations):
    llr, tables, target = problem(lift, seed=lift)
    target[0, 0] ^= 1  # also where no codeword fits nearby
    used, posterior = run_kernel(llr, tables, lift, target, iterations)
    plain = llr.copy()
    assert used == sweeps_plain(plain, *tables, target, iterations)
    np.testing.assert_allclose(posterior[:, :lift], plain, rtol=2e-3, atol=2e-2)
    np.testing.assert_array_equal(posterior[:, lift:], posterior[:, : ldpc.LANES])


@pytest.mark.parametrize("lift", [48, 176])
def test_both_reach_the_syndrome_in_as_many_iterations(lift):
    llr, tables, target = problem(lift, seed=3, qber=0.008)
    used, posterior = run_kernel(llr, tables, lift, target, 50)
    plain = llr.copy()
    assert used == sweeps_plain(plain, *tables, target, 50)
    assert used > 0
    np.testing.assert_array_equal(posterior[:, :lift] < 0, plain < 0)


def test_a_frame_that_fits_already_needs_no_iteration():
    llr, tables, target = problem(32, seed=1)
    assert run_kernel(llr, tables, 32, np.zeros_like(target), 5)[0] == 0


def test_one_check_gives_the_box_plus_of_the_others():
    """2 artanh of the product of tanh(L / 2), for the two least reliable exactly (Gallager 1962)."""
    lift, values = 16, np.array([0.3, -2.0, 4.0])
    llr = np.repeat(values[:, None], lift, axis=1)
    tables = tuple(np.array(part, np.int32) for part in ([0, 3], [0, 1, 2], [0, 5, 11]))
    target = np.zeros((1, lift), np.uint8)
    _, posterior = run_kernel(llr, tables, lift, target, 1)
    tanh = np.tanh(values / 2)
    others = np.array([tanh[1] * tanh[2], tanh[0] * tanh[2], tanh.prod()])
    expected = values + 2 * np.arctanh(np.abs(others)) * np.sign([-1, 1, -1])
    np.testing.assert_allclose(posterior[:, 0], expected, rtol=2e-3, atol=2e-3)
