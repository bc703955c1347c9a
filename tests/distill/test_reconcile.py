"""Reconciliation of frames: what the satellite sends, what the station finds, what it never claims."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill import codes, reconcile
from satqkd.distill.frames import frame_sizes, interleaved_order
from satqkd.distill.leak_class import choose_class
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.security.tails import binary_entropy

SAMPLE = 10**9


def dense(matrix):
    """The parity-check matrix written out, columns in the order of a frame's bits."""
    full = np.zeros((matrix.rows_bits, matrix.columns * matrix.lift), np.uint8)
    lane = np.arange(matrix.lift)
    for row in range(matrix.rows):
        for edge in range(matrix.row_start[row], matrix.row_start[row + 1]):
            bit = (lane + matrix.shift[edge]) % matrix.lift * matrix.columns + matrix.column[edge]
            full[row * matrix.lift + lane, bit] ^= 1
    return full[:, : matrix.n_bits]


def frame(n_bits, errors, seed):
    """A sent and a received frame that differ in just so many bits."""
    rng = np.random.default_rng(seed)
    sent = rng.integers(0, 2, n_bits, dtype=np.uint8)
    received = sent.copy()
    received[rng.choice(n_bits, errors, replace=False)] ^= 1
    return sent, received


@pytest.mark.parametrize(("n_bits", "leak_class"), [(8192, 40), (5000, 100), (9001, 150), (200, 0)])
def test_syndrome_is_the_dense_product(n_bits, leak_class):
    bits, _ = frame(n_bits, 0, seed=1)
    matrix = codes.code(n_bits, leak_class)
    expected = dense(matrix).astype(np.int64) @ bits % 2
    told = reconcile.syndrome(bits, leak_class)
    assert told.dtype == np.uint8
    assert told.size == reconcile.syndrome_bits(n_bits, leak_class) == matrix.rows_bits
    np.testing.assert_array_equal(told, expected)


@pytest.mark.parametrize(
    ("n_bits", "qber", "efficiency"),
    [
        (65_536, 0.008, 1.25),
        (65_536, 0.02, 1.20),
        (65_536, 0.03, 1.18),
        (262_144, 0.01, 1.16),
        (262_144, 0.03, 1.13),
    ],
)
def test_frames_decode_at_the_promised_efficiency(n_bits, qber, efficiency):
    """Also never below the floor of any one-way code: n h + z sqrt(n v) (facts: reconciliation, 2c)."""
    leak_class = choose_class(qber, frame_length=n_bits, sample_bits=SAMPLE)
    entropy = n_bits * binary_entropy(qber)
    f = reconcile.syndrome_bits(n_bits, leak_class) / entropy
    spread = np.sqrt(n_bits * qber * (1 - qber)) * np.log2((1 - qber) / qber)
    assert 1 + 2.33 * spread / entropy < f <= efficiency
    for seed in range(4 if n_bits < 100_000 else 2):
        sent, received = frame(n_bits, round(qber * n_bits), seed)
        found = reconcile.decode(received, reconcile.syndrome(sent, leak_class), leak_class, qber)
        assert found is not None
        np.testing.assert_array_equal(found, sent)


def test_far_too_many_errors_are_reported():
    leak_class = choose_class(0.01, frame_length=16_384, sample_bits=SAMPLE)
    sent, received = frame(16_384, 1600, seed=5)
    told = reconcile.syndrome(sent, leak_class)
    assert reconcile.decode(received, told, leak_class, 0.01) is None
    found = reconcile.Attempt(codes.code(16_384, leak_class), told, received, 0.01).run(20, 20)
    assert not found.converged
    assert found.iterations == 20


@given(qber=st.floats(0.005, 0.06), seed=st.integers(0, 2**31), iterations=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_converged_means_the_syndrome_matches(qber, seed, iterations):
    matrix = codes.code(8192, 75)
    sent, received = frame(8192, round(8192 * qber), seed)
    told = reconcile.syndrome_of(sent, matrix)
    found = reconcile.Attempt(matrix, told, received, qber).run(iterations, 30)
    assert found.converged == np.array_equal(reconcile.syndrome_of(found.bits, matrix), told)


def test_the_claim_rests_on_the_bits_not_on_the_kernel(monkeypatch):
    """A kernel that stops early and says it is done is not believed."""
    matrix = codes.code(8192, 75)
    sent, received = frame(8192, 60, seed=1)
    monkeypatch.setattr(reconcile, "_sweep", lambda *_: (received, 3))
    attempt = reconcile.Attempt(matrix, reconcile.syndrome_of(sent, matrix), received, 0.01)
    assert not attempt.run(50, 10).converged


@given(n_bits=st.integers(1, 20_000), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_length_goes_round(n_bits, seed):
    qber = 0.02
    leak_class = choose_class(1.2 * qber, frame_length=n_bits)
    sent, received = frame(n_bits, round(qber * n_bits), seed)
    told = reconcile.syndrome(sent, leak_class)
    assert told.size == reconcile.syndrome_bits(n_bits, leak_class) <= n_bits
    found = reconcile.decode(received, told, leak_class, qber)
    assert found is not None
    np.testing.assert_array_equal(found, sent)


@pytest.mark.parametrize("n_bits", [1, 7, 20_000, 20_001])
def test_a_string_in_frames_goes_round(n_bits):
    sent, received = frame(n_bits, n_bits // 60, seed=n_bits)
    lengths = frame_sizes(n_bits, frame_bits=10_000)
    order = interleaved_order(lengths)
    cuts = np.cumsum(lengths)[:-1]
    leak_class = choose_class(0.025, frame_length=min(n_bits, 10_000))
    pairs = zip(np.split(sent[order], cuts), np.split(received[order], cuts), strict=True)
    found = [reconcile.decode(b, reconcile.syndrome(a, leak_class), leak_class, 0.017) for a, b in pairs]
    np.testing.assert_array_equal(np.concatenate(found), sent[order])


def test_reliabilities_of_single_bits_are_used():
    """A quarter of the bits bad, marked as such: decodes where one mean error rate does not."""
    n_bits, leak_class = 16_384, int(np.searchsorted(codes.LEAK_FRACTIONS, 0.16))
    rng = np.random.default_rng(8)
    crossover = np.where(np.arange(n_bits) % 4 == 0, 0.09, 0.002)
    sent, _ = frame(n_bits, 0, seed=8)
    received = sent ^ (rng.random(n_bits) < crossover)
    told = reconcile.syndrome(sent, leak_class)
    found = reconcile.decode(received, told, leak_class, crossover)
    assert found is not None
    np.testing.assert_array_equal(found, sent)
    assert reconcile.decode(received, told, leak_class, float(crossover.mean())) is None


def test_estimates_of_no_errors_or_chance_are_clipped():
    sent, received = frame(9000, 0, seed=2)
    told = reconcile.syndrome(sent, 10)
    for estimate in (0.0, 0.5):
        np.testing.assert_array_equal(reconcile.decode(received, told, 10, estimate), sent)


def test_wrong_shapes_are_refused():
    sent, received = frame(9000, 50, seed=2)
    told = reconcile.syndrome(sent, 40)
    matrix = codes.code(9000, 40)
    with pytest.raises(DataFormatError, match="syndrome: expected"):
        reconcile.Attempt(matrix, told[:-1], received, 0.01)
    with pytest.raises(DataFormatError, match="received frame: expected"):
        reconcile.Attempt(matrix, told, received.astype(bool), 0.01)
    for rates in (np.full(3, 0.01), -0.1, np.nan):
        with pytest.raises(DataFormatError, match="crossover: expected"):
            reconcile.Attempt(matrix, told, received, rates)
    attempt = reconcile.Attempt(matrix, told, received, 0.01)
    with pytest.raises(DataFormatError, match="further rows: expected"):
        attempt.divide([3, 4], np.zeros(matrix.lift, np.uint8))
    attempt.divide([3], np.zeros(matrix.lift, np.uint8))
    with pytest.raises(LocalProtocolError, match="not divided before"):
        attempt.divide([4, 3], np.zeros(2 * matrix.lift, np.uint8))


@pytest.mark.parametrize(("n_bits", "leak"), [(8192, 0.05), (9001, 0.2), (65_536, 0.1)])
def test_further_rows_are_those_of_the_divided_matrix(n_bits, leak):
    """Every syndrome bit that an attempt decodes with is a row of the matrix written out."""
    bits, _ = frame(n_bits, 0, seed=3)
    matrix = codes.code(n_bits, int(np.searchsorted(codes.LEAK_FRACTIONS, leak)))
    attempt = reconcile.Attempt(matrix, reconcile.syndrome_of(bits, matrix), bits, 0.01)
    rows = []
    for more in reconcile.further_rows(matrix):
        further = reconcile.further_syndrome(bits, matrix, more)
        assert further.size == len(more) * matrix.lift
        attempt.divide(more, further)
        rows.extend(more)
        np.testing.assert_array_equal(
            attempt._syndrome(), reconcile.syndrome_of(bits, matrix.divided(tuple(rows)))
        )
    assert sorted(rows) == list(range(matrix.rows))  # the last class divides them all


def test_fewer_rounds_take_the_larger_steps_and_the_same_last_class():
    matrix = codes.code(65_536, 100)
    plans = [reconcile.further_rows(matrix, rounds) for rounds in range(reconcile.MOST_ROUNDS + 1)]
    assert [len(plan) for plan in plans] == list(range(reconcile.MOST_ROUNDS + 1))
    assert [len(part) for part in plans[-1][:-1]] == [1, 1, 2, 4]
    assert [len(part) for part in plans[2][:-1]] == [4]
    for plan in plans[1:]:
        assert sorted(row for part in plan for row in part) == list(range(matrix.rows))
    assert reconcile.further_rows(codes.code(50, 0)) == ()


def test_further_rows_decode_what_one_shot_does_not():
    """Too many errors for the class: each round brings it nearer, and no bit of it is right by luck."""
    leak_class = choose_class(0.01, frame_length=65_536, sample_bits=SAMPLE)
    sent, received = frame(65_536, round(65_536 * 0.0125), seed=4)
    matrix = codes.code(65_536, leak_class)
    attempt = reconcile.Attempt(matrix, reconcile.syndrome_of(sent, matrix), received, 0.0125)
    plan, turns = reconcile.further_rows(matrix), 0
    while not (found := attempt.run(*reconcile.QUICK)).converged:
        attempt.divide(plan[turns], reconcile.further_syndrome(sent, matrix, plan[turns]))
        turns += 1
    assert turns >= 1
    np.testing.assert_array_equal(found.bits, sent)


def test_a_wrong_further_row_is_not_believed():
    leak_class = choose_class(0.01, frame_length=16_384, sample_bits=SAMPLE)
    sent, received = frame(16_384, 170, seed=4)
    matrix = codes.code(16_384, leak_class)
    attempt = reconcile.Attempt(matrix, reconcile.syndrome_of(sent, matrix), received, 0.01)
    assert attempt.run(*reconcile.THOROUGH).converged
    further = reconcile.further_syndrome(sent, matrix, [7])
    further[5] ^= 1
    attempt.divide([7], further)
    assert not attempt.run(*reconcile.THOROUGH).converged


def test_the_satellites_side_loads_no_numba():
    program = (
        "import sys, numpy as np; from satqkd.distill import reconcile as r; "
        "r.syndrome(np.ones(9000, np.uint8), 5); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
