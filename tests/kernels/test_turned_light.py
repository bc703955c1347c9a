"""Turned light: the compiled kernel is its numpy twin, nothing turned changes nothing, angles have signs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_click_kernels import filled, make_detection, make_light, make_path, make_pieces, make_pulses

from satqkd.devices.nature import plate_of
from satqkd.header import header_codes
from satqkd.kernels import clicks, clicks_plain
from satqkd.kernels.click_inputs import AT_REST, Detection, Light, Path
from satqkd.kernels.clicks_plain import flip_probabilities, slot_ps

EDGES = (1_000, 70_000, 70_000, 140_000, 200_000)
TURNS = [(0, 0.0), (50_000, 0.1), (100_000, -0.2)]


def crossed(light: Light, most: float = 0.3) -> Light:
    """Light whose bases show contrasts in each other."""
    z, x = most * np.random.default_rng(3).uniform(-1, 1, (2, light.error_z.size))
    return light._replace(crossed_z=z, crossed_x=x)


def sorted_keys(light: Light, detection: Detection, pulses=None) -> np.ndarray:
    """Of the compiled kernel, which must be those of its twin."""
    arguments = (make_pieces(*EDGES), 9, pulses or make_pulses(), light, detection, make_path())
    expected = np.sort(clicks_plain.pulse_keys(*arguments))
    assert expected.size > 7_000
    keys = filled(clicks.pulse_keys, *arguments)
    assert np.array_equal(keys, expected)
    return keys


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_turned_keys_equal_the_plain_twin(passive, equal):
    """Power: contrast and plate each change the keys, so neither may be left out on both sides."""
    light, detection = make_light(make_path()), make_detection(passive, equal=equal)
    turning = detection._replace(plate=plate_of(TURNS))
    cases = [(light, detection), (crossed(light), detection), (light, turning), (crossed(light), turning)]
    keys = [sorted_keys(*case).tobytes() for case in cases]
    assert len(set(keys)) == 4


def test_turned_keys_of_a_public_header_equal_the_plain_twin():
    first, second = header_codes("micius")
    pulses = make_pulses()._replace(
        header_slots=100_000, interval_slots=150_000, first_code=first, second_code=second
    )
    light, detection = crossed(make_light(make_path())), make_detection()
    assert not np.array_equal(sorted_keys(light, detection, pulses), sorted_keys(light, detection))


@settings(max_examples=200, deadline=None)
@given(error=st.floats(0, 1), basis=st.integers(0, 1))
def test_nothing_turned_leaves_error_and_even_toss_to_the_last_bit(error, basis):
    assert clicks.flip_probabilities(basis, error, 0.0, 1.0, 0.0) == (error, 0.5)
    path, slots = make_path(), np.array([1_000])
    even = np.full(path.grid_ps.size, error)
    light = make_light(path)._replace(error_z=even, error_x=even)
    own, other = flip_probabilities(slots, np.array([basis]), slot_ps(slots, 1600, 0.0), light, AT_REST, path)
    assert (own[0], other[0]) == (error, 0.5)


@pytest.mark.parametrize("angle_rad", [0.3, -1.2])
@pytest.mark.parametrize("basis", [0, 1])
def test_one_photon_of_the_kernel_flips_as_its_twin_says(basis, angle_rad):
    """Against the columns' arithmetic, number by number; power: another sign of X fails."""
    path, slots = make_path(), np.array([1_000])
    even = np.ones(path.grid_ps.size)
    light = make_light(path)._replace(
        error_z=0.03 * even, error_x=0.2 * even, crossed_z=0.5 * even, crossed_x=-0.1 * even
    )
    plate = plate_of([(0, angle_rad)])
    columns = flip_probabilities(slots, np.array([basis]), slot_ps(slots, 1600, 0.0), light, plate, path)
    pair = clicks.flip_probabilities(
        basis, (0.03, 0.2)[basis], (0.5, -0.1)[basis], plate.cosine[0], plate.sine[0]
    )
    np.testing.assert_allclose(pair, [column[0] for column in columns], rtol=1e-15)


def angled(path: Path, psi_rad: float, visibility: float) -> Light:
    """Light that arrives turned by psi."""
    even = np.ones(path.grid_ps.size)
    error = (1 - visibility * np.cos(2 * psi_rad)) / 2 * even
    contrast = visibility * np.sin(2 * psi_rad) * even
    return make_light(path)._replace(error_z=error, error_x=error, crossed_z=contrast, crossed_x=contrast)


@pytest.mark.parametrize("psi_rad", [0.1, -0.25])
def test_probabilities_are_malus_law(psi_rad):
    """Angle of what is sent, plus psi, against the angle of the detector."""
    path, slots = make_path(), np.array([1_000, 1_001])
    light, emission = angled(path, psi_rad, 1.0), slot_ps(slots, 1600, 0.0)
    own, other = flip_probabilities(slots, np.array([0, 1]), emission, light, AT_REST, path)
    degrees = {(0, 0): 0, (0, 1): 90, (1, 0): 45, (1, 1): 135}
    for basis in (0, 1):
        for measured, flip in ((basis, own[basis]), (1 - basis, other[basis])):
            for bit in (0, 1):
                sent, seen = (np.radians(degrees[at]) for at in ((basis, bit), (measured, 1 - bit)))
                assert flip == pytest.approx(np.cos(sent + psi_rad - seen) ** 2, abs=1e-12)


def test_a_plate_undoes_the_angle_from_its_slot_on():
    path, slots = make_path(), np.array([999, 1_000])
    light, plate = angled(path, 0.2, 0.9), plate_of([(0, 0.0), (1_000, 0.2)])
    own, other = flip_probabilities(slots, np.zeros(2, int), slot_ps(slots, 1600, 0.0), light, plate, path)
    assert own[0] == pytest.approx((1 - 0.9 * np.cos(0.4)) / 2)
    np.testing.assert_allclose([own[1], other[1]], [0.05, 0.5])
    assert [clicks.setting_of(slot, plate.from_slot) for slot in (0, 999, 1_000, 10**12)] == [0, 0, 1, 1]
