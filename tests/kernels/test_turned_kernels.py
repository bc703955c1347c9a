"""Turned light: the compiled kernel is its numpy twin, nothing turned changes nothing, angles have signs."""

import numpy as np
import pytest
from test_click_kernels import filled, make_detection, make_light, make_path, make_pieces, make_pulses

from satqkd.header import header_codes
from satqkd.kernels import clicks_plain, turned, turned_plain
from satqkd.kernels.clicks_plain import Light, Path, slot_ps
from satqkd.kernels.turned_plain import Turned, flip_probabilities

EDGES = (1_000, 70_000, 70_000, 140_000, 200_000)


def make_turned(path: Path, *, crossed: float = 0.3, angles_rad: tuple[float, ...] = ()) -> Turned:
    rng, angles = np.random.default_rng(3), np.array([0.0, *angles_rad])
    from_slot = 50_000 * np.arange(angles.size, dtype=np.int64)
    columns = crossed * rng.uniform(-1, 1, (2, path.grid_ps.size))
    return Turned(columns[0], columns[1], from_slot, np.cos(2 * angles), np.sin(2 * angles))


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_turned_keys_equal_the_plain_twin(passive, equal):
    path = make_path()
    nature = (make_light(path), make_turned(path, angles_rad=(0.1, -0.2)))
    arguments = (make_pieces(*EDGES), 9, make_pulses(), *nature, make_detection(passive, equal=equal), path)
    expected = np.sort(turned_plain.pulse_keys(*arguments))
    assert expected.size > 7_000
    assert np.array_equal(filled(turned.pulse_keys, *arguments), expected)


def test_turned_keys_of_a_public_header_equal_the_plain_twin():
    path = make_path()
    first, second = header_codes("micius")
    pulses = make_pulses()._replace(
        header_slots=100_000, interval_slots=150_000, first_code=first, second_code=second
    )
    nature = (make_light(path), make_turned(path), make_detection(), path)
    expected = np.sort(turned_plain.pulse_keys(make_pieces(*EDGES), 5, pulses, *nature))
    assert np.array_equal(filled(turned.pulse_keys, make_pieces(*EDGES), 5, pulses, *nature), expected)
    without = turned_plain.pulse_keys(make_pieces(*EDGES), 5, make_pulses(), *nature)
    assert not np.array_equal(expected, np.sort(without))


def test_nothing_turned_gives_the_keys_of_plain_light():
    path = make_path()
    light, detection, still = make_light(path), make_detection(), make_turned(path, crossed=0.0)
    plain = clicks_plain.pulse_keys(make_pieces(*EDGES), 9, make_pulses(), light, detection, path)
    keys = filled(turned.pulse_keys, make_pieces(*EDGES), 9, make_pulses(), light, still, detection, path)
    assert np.array_equal(keys, np.sort(plain))
    bent = filled(
        turned.pulse_keys, make_pieces(*EDGES), 9, make_pulses(), light, make_turned(path), detection, path
    )
    assert not np.array_equal(bent, keys)


def angled(path: Path, psi_rad: float, visibility: float) -> tuple[Light, Turned]:
    """Light that arrives turned by psi."""
    even = np.ones(path.grid_ps.size)
    error = (1 - visibility * np.cos(2 * psi_rad)) / 2 * even
    crossed = visibility * np.sin(2 * psi_rad) * even
    still = Turned(crossed, crossed, np.zeros(1, np.int64), np.ones(1), np.zeros(1))
    return make_light(path)._replace(error_z=error, error_x=error), still


@pytest.mark.parametrize("psi_rad", [0.1, -0.25])
def test_probabilities_are_malus_law(psi_rad):
    """Angle of what is sent, plus psi, against the angle of the detector."""
    path, slots = make_path(), np.array([1_000, 1_001])
    light, still = angled(path, psi_rad, 1.0)
    emission = slot_ps(slots, 1600, 0.0)
    own, other = flip_probabilities(slots, np.array([0, 1]), emission, light, still, path)
    degrees = {(0, 0): 0, (0, 1): 90, (1, 0): 45, (1, 1): 135}
    for basis in (0, 1):
        for measured, flip in ((basis, own[basis]), (1 - basis, other[basis])):
            for bit in (0, 1):
                sent, seen = (np.radians(degrees[at]) for at in ((basis, bit), (measured, 1 - bit)))
                assert flip == pytest.approx(np.cos(sent + psi_rad - seen) ** 2, abs=1e-12)


def test_a_plate_undoes_the_angle_from_its_slot_on():
    path, slots = make_path(), np.array([999, 1_000])
    light, still = angled(path, 0.2, 0.9)
    plate = still._replace(
        from_slot=np.array([0, 1_000]),
        cosine=np.cos([0.0, 0.4]),
        sine=np.sin([0.0, 0.4]),
    )
    own, other = flip_probabilities(slots, np.zeros(2, int), slot_ps(slots, 1600, 0.0), light, plate, path)
    assert own[0] == pytest.approx((1 - 0.9 * np.cos(0.4)) / 2)
    np.testing.assert_allclose([own[1], other[1]], [0.05, 0.5])
