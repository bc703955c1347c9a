"""Background counts against the figures of the facts page (1 nm, optics times detector 0.25)."""

import numpy as np
import pytest

from satqkd.optics import background_rate_hz


@pytest.mark.parametrize(
    ("diameter_m", "fov_rad", "expected_hz"),
    [(0.28, 60e-6, [2.8, 279, 2.8e5]), (1.0, 40e-6, [16, 1.6e3, 1.6e6])],
)
def test_moonless_full_moon_and_day(diameter_m: float, fov_rad: float, expected_hz: list[float]) -> None:
    rate_hz = background_rate_hz(
        [1.5e-5, 1.5e-3, 1.5],
        field_of_view_rad=fov_rad,
        filter_width_m=1e-9,
        telescope_diameter_m=diameter_m,
        wavelength_m=850e-9,
        optics_transmittance=0.5,
        detector_efficiency=0.5,
    )
    np.testing.assert_allclose(rate_hz, expected_hz, rtol=0.02)
