"""Doppler shift and filters against the facts page's figures and exact relativity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.optics.spectrum import (
    doppler_shift_hz,
    doppler_shift_m,
    filter_transmittance,
    photon_energy_j,
)

C = 299_792_458.0


def test_energy_of_a_photon() -> None:
    """1239.84 nm is one electronvolt."""
    assert float(photon_energy_j(1239.841984e-9)) == pytest.approx(1.602176634e-19, rel=1e-8)


def test_twenty_picometres() -> None:
    """The facts page: 20 pm at 850 nm for 7 km/s; receding is red, approaching is up in frequency."""
    receding, approaching = doppler_shift_m([7e3, -7e3], wavelength_m=850e-9)
    assert receding == pytest.approx(20e-12, rel=0.01)
    assert approaching == -receding
    assert float(doppler_shift_hz(-7e3, wavelength_m=850e-9)) == pytest.approx(8.235e9, rel=1e-3)


@settings(max_examples=200, deadline=None)
@given(rate=st.floats(-8e3, 8e3).filter(lambda v: abs(v) > 1), lam=st.floats(4e-7, 2e-6))
def test_first_order_is_enough(rate: float, lam: float) -> None:
    """The exact longitudinal shift differs by v/c of the shift at most; the two forms agree to that."""
    beta = rate / C
    exact_hz = C / lam * (np.sqrt((1 - beta) / (1 + beta)) - 1)
    exact_m = lam * (np.sqrt((1 + beta) / (1 - beta)) - 1)
    slack = abs(beta) + 1e-6
    assert float(doppler_shift_hz(rate, wavelength_m=lam)) == pytest.approx(exact_hz, rel=slack)
    assert float(doppler_shift_m(rate, wavelength_m=lam)) == pytest.approx(exact_m, rel=slack)


def test_gaussian_filter_at_its_width() -> None:
    """Half at half the full width, a sixteenth at the full width: a width taken for sigma fails."""
    transmittance = filter_transmittance([0.0, 0.5e-9, -0.5e-9, 1e-9], width_m=1e-9)
    np.testing.assert_allclose(transmittance, [1, 0.5, 0.5, 1 / 16], rtol=1e-12)


def test_flat_top_filter() -> None:
    transmittance = filter_transmittance([0.0, 0.49e-9, -0.5e-9, 0.51e-9], width_m=1e-9, shape="flat_top")
    np.testing.assert_array_equal(transmittance, [1, 1, 1, 0])


def test_which_filters_care_about_the_pass() -> None:
    """The facts page: not those above 0.1 nm; one of 20 pm loses almost all of it at 7 km/s."""
    shift_m = doppler_shift_m(7e3, wavelength_m=850e-9)
    wide, narrow = filter_transmittance(shift_m, width_m=np.array([0.1e-9, 20e-12]))
    assert wide > 0.89
    assert narrow < 0.07
