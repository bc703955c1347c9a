"""The columns beside a look: each is what its own function says."""

import numpy as np
import pytest
from hypothesis import given, settings
from sky_cases import EPOCH, XINGLONG, micius, sites, wide_orbits

from satqkd.sky import OrbitModel, Site, look, moon_view, parse_utc, sun_elevation_rad, sunlit, surroundings
from satqkd.sky.surroundings import Surroundings


@given(wide_orbits, sites)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_columns_are_those_of_their_own_functions(orbit: OrbitModel, site: Site) -> None:
    t_s = np.arange(0, 20_000, 500.0)
    seen = look(orbit, site, EPOCH, t_s, ut1_minus_utc_s=0.3)
    around, moon = surroundings(seen), moon_view(site, EPOCH, t_s, ut1_minus_utc_s=0.3)
    sun = sun_elevation_rad(site, EPOCH, t_s, ut1_minus_utc_s=0.3)
    assert around.sun_elevation_rad == pytest.approx(sun, abs=1e-7)
    assert around.moon_elevation_rad == pytest.approx(moon.elevation_rad, abs=1e-12)
    assert around.moon_phase_angle_rad == pytest.approx(moon.phase_angle_rad, abs=1e-12)
    assert around.moon_illuminated_fraction == pytest.approx(moon.illuminated_fraction, abs=1e-12)
    assert (around.sunlit == sunlit(orbit, EPOCH, t_s)).mean() > 0.97  # equal but at the edge itself
    for name in Surroundings.__struct_fields__:
        assert getattr(around, name).shape == t_s.shape


@given(wide_orbits, sites)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_separations_by_the_law_of_cosines(orbit: OrbitModel, site: Site) -> None:
    seen = look(orbit, site, EPOCH, np.arange(0, 20_000, 500.0))
    around, moon = surroundings(seen), moon_view(site, EPOCH, seen.t_s)
    cosine = np.sin(seen.elevation_rad) * np.sin(moon.elevation_rad) + np.cos(seen.elevation_rad) * np.cos(
        moon.elevation_rad
    ) * np.cos(seen.azimuth_rad - moon.azimuth_rad)
    assert np.cos(around.moon_separation_rad) == pytest.approx(cosine, abs=1e-12)
    assert (np.abs(around.sun_separation_rad) <= np.pi).all()


def test_the_night_of_micius_over_xinglong() -> None:
    """19 December 2016: deep night, satellite in shadow, a waning Moon of two thirds at 23 degrees."""
    around = surroundings(look(micius(), XINGLONG, parse_utc("2016-12-19T16:52:13Z"), 0.0))
    assert np.degrees(around.sun_elevation_rad[0]) < -60 and not around.sunlit[0]
    assert np.degrees(around.moon_elevation_rad[0]) == pytest.approx(23.16, abs=0.08)
    assert around.moon_illuminated_fraction[0] == pytest.approx(0.64, abs=0.02)
