"""The frames' angle from rounds with different bases: right with its sign, and whom nothing else disturbs."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.distill.polarisation import (
    COARSEST_RAD,
    SIGNIFICANT,
    FrameAngle,
    frame_angle,
    frame_angle_of_counts,
    plate_setting_rad,
    sample_step,
    sampled,
)
from satqkd.errors import ConfigError
from satqkd.randomness import stream

DETECTOR_DEG = {(0, 0): 0, (0, 1): 90, (1, 0): 45, (1, 1): 135}
"""Direction of H, V, +, - by basis and bit."""


def expected_counts(
    psi_rad: float,
    rounds: float,
    *,
    efficiency: tuple[float, ...] = (1, 1, 1, 1),
    background: float = 0.0,
    retardance_rad: float = 0.0,
    bias: float = 0.5,
) -> np.ndarray:
    """Mean counts by basis sent, bit sent, bit measured in the other basis, by Jones vectors.

    efficiency: of H, V, +, -; background: counts that know no bit over counts of light; bias: share of bit 0.
    """
    table = np.zeros((2, 2, 2))
    for basis in (0, 1):
        for sent in (0, 1):
            for seen in (0, 1):
                at = math.radians(DETECTOR_DEG[basis, sent])
                light = np.array([math.cos(at), math.sin(at) * np.exp(1j * retardance_rad)])
                analyser = math.radians(DETECTOR_DEG[1 - basis, seen]) - psi_rad
                share = abs(np.array([math.cos(analyser), math.sin(analyser)]) @ light) ** 2
                chosen = bias if sent == 0 else 1 - bias
                table[basis, sent, seen] = (
                    chosen * efficiency[2 * (1 - basis) + seen] * (share + background / 2)
                )
    return rounds * table / table.sum()


def drawn(psi_rad: float, rounds: int, seed: int, **nature: Any) -> FrameAngle:
    mean = expected_counts(psi_rad, rounds, **nature)
    return frame_angle_of_counts(stream(seed, "polarisation").poisson(mean))


@settings(max_examples=60, deadline=None)
@given(psi_rad=st.floats(-0.7, 0.7), bias=st.floats(0.3, 0.7), e=st.tuples(*[st.floats(0.3, 1)] * 4))
def test_many_rounds_give_the_angle_whatever_the_detectors(
    psi_rad: float, bias: float, e: tuple[float, ...]
) -> None:
    """Exact in the mean: unequal efficiencies and an uneven source cancel in the odds ratio."""
    found = frame_angle_of_counts(expected_counts(psi_rad, 1e9, efficiency=e, bias=bias))
    assert found.angle_rad == pytest.approx(psi_rad, abs=2e-6)
    assert found.contrast_z == pytest.approx(found.contrast_x, abs=4e-6)


def test_unequal_detectors_would_mislead_a_plain_share() -> None:
    """The test above has power: with the share of equal bits and an uneven source the angle is far off."""
    counts = expected_counts(0.0, 1e6, efficiency=(1, 0.7, 1, 0.7), bias=0.6)
    share = (counts[0].trace() - (counts[0].sum() - counts[0].trace())) / counts[0].sum()
    assert abs(math.asin(share) / 2) > 0.01
    assert abs(frame_angle_of_counts(counts).angle_rad) < 1e-6


@pytest.mark.parametrize("psi_rad", [-0.6, -0.1, 0.0, 0.1, 0.6])
@pytest.mark.parametrize("rounds", [2_000, 65_536])
def test_the_standard_error_is_what_estimates_scatter_by(psi_rad: float, rounds: int) -> None:
    found = [drawn(psi_rad, rounds, seed, efficiency=(1, 0.8, 0.9, 1)) for seed in range(200)]
    angles, errors = (np.array([getattr(f, n) for f in found]) for n in ("angle_rad", "standard_error_rad"))
    assert abs(angles.mean() - psi_rad) < 4 * errors.mean() / math.sqrt(200)
    assert angles.std() == pytest.approx(errors.mean(), rel=0.2)  # 4 standard errors of a deviation of 200
    assert errors.mean() == pytest.approx(1 / (2 * math.sqrt(rounds)), rel=0.25)


@pytest.mark.parametrize("basis", [0, 1])
@pytest.mark.parametrize("psi_rad", [-0.1, 0.1])
def test_each_basis_alone_has_the_sign(basis: int, psi_rad: float) -> None:
    counts = expected_counts(psi_rad, 1e6)
    counts[1 - basis] = 0
    assert frame_angle_of_counts(counts).angle_rad == pytest.approx(psi_rad, abs=1e-4)


def test_one_round_at_a_time_is_the_same() -> None:
    rng = stream(1, "polarisation")
    columns = [rng.integers(0, 2, 999, dtype=np.uint8) for _ in range(3)]
    counts = np.zeros((2, 2, 2), np.int64)
    for row in zip(*columns, strict=True):
        counts[row] += 1
    assert frame_angle(*columns) == frame_angle_of_counts(counts)


def test_background_and_visibility_lower_the_angle_by_their_factor_and_keep_its_sign() -> None:
    for background in (0.05, 0.5):
        for psi_rad in (-0.1, 0.1):
            found = frame_angle_of_counts(expected_counts(psi_rad, 1e9, background=background))
            left = math.sin(2 * psi_rad) / (1 + background)
            assert found.contrast_z == pytest.approx(left, rel=1e-4)
            assert found.angle_rad == pytest.approx(math.asin(left) / 2, rel=1e-4)


def test_retardance_alone_is_not_seen_and_shows_beside_an_angle_in_one_basis() -> None:
    assert frame_angle_of_counts(expected_counts(0.0, 1e9, retardance_rad=0.5)).angle_rad == pytest.approx(0)
    found = frame_angle_of_counts(expected_counts(0.2, 1e9, retardance_rad=0.5))
    assert found.contrast_z == pytest.approx(math.sin(0.4), rel=1e-5)
    assert found.contrast_x == pytest.approx(math.sin(0.4) * math.cos(0.5), rel=1e-5)


def test_no_rounds_tell_nothing_and_extremes_stay_inside() -> None:
    empty = np.empty(0, np.uint8)
    nothing = frame_angle(empty, empty, empty)
    assert (nothing.rounds, nothing.angle_rad) == (0, 0.0)
    assert nothing.standard_error_rad > COARSEST_RAD
    ones = np.ones(10**6, np.uint8)
    certain = frame_angle(0 * ones, ones, ones)
    assert 0.7 < certain.angle_rad < math.pi / 4


@pytest.mark.parametrize("columns", [(1, 1, 2), (1, 2, 1)])
def test_other_columns_are_refused(columns: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="three columns of one length"):
        frame_angle(*(np.ones(n, np.uint8) for n in columns))
    with pytest.raises(ConfigError, match="zeros and ones"):
        frame_angle(*(np.full(1, n, np.uint8) for n in columns))


@given(n=st.integers(0, 500), most=st.integers(0, 60))
def test_the_sample_is_even_and_within_its_limit(n: int, most: int) -> None:
    column = np.arange(n, dtype=np.int64)
    told = sampled(column, most)  # type: ignore[arg-type]
    assert told.size <= most
    assert (np.diff(told) == sample_step(n, most)).all()
    if most and n:
        assert told[0] == 0
        assert told.size >= min(n, most / 2)


def estimate(angle_rad: float, standard_error_rad: float = 0.002) -> FrameAngle:
    return FrameAngle(1, angle_rad, standard_error_rad, 0.0, 0.0)


def test_the_plate_follows_what_is_significant_and_fine() -> None:
    assert plate_setting_rad(0.0, 0.0, estimate(0.1)) == 0.1
    assert plate_setting_rad(0.0, 0.0, estimate(0.002 * SIGNIFICANT)) == 0.0
    assert plate_setting_rad(0.0, 0.0, estimate(0.1, 1.01 * COARSEST_RAD)) == 0.0
    assert plate_setting_rad(0.1, 0.0, estimate(0.101)) == 0.1


@pytest.mark.parametrize("sign", [1, -1])
def test_the_loop_settles_with_the_right_sign_and_runs_away_with_the_wrong_one(sign: int) -> None:
    """Two blocks of delay, a static angle: one step, and no swinging after it."""
    true_rad, plate = 0.1, [0.0, 0.0]
    for block in range(12):
        left = max(-0.75, min(0.75, true_rad - plate[block]))
        plate.append(plate_setting_rad(plate[-1], plate[block], estimate(sign * 0.98 * left)))
    left_rad = [abs(true_rad - each) for each in plate]
    if sign > 0:
        assert left_rad[:2] == [0.1, 0.1]
        assert max(left_rad[2:]) < 0.003
    else:
        assert left_rad[-1] > left_rad[4] > left_rad[2] > 0.19
