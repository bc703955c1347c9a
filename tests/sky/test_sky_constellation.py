"""Array calls: the same as one satellite at a time, columns as asked, bad satellites apart."""

import numpy as np
import pytest
from sky_cases import EPOCH, MICIUS_1, MICIUS_2, STELLENBOSCH, XINGLONG, made_up, micius

from satqkd.config import Orbit
from satqkd.errors import ConfigError
from satqkd.sky import Constellation, OrbitModel, constellation, look, orbit_of
from satqkd.sky.constellation import LookColumn
from satqkd.sky.geometry import earth_fixed
from satqkd.sky.tle import checksum

T_S = np.arange(0, 6000, 50.0)
SITES = [XINGLONG, STELLENBOSCH]
COLUMNS: list[LookColumn] = ["range_m", "range_rate_m_s", "azimuth_rad", "elevation_rad"]


def several() -> list[OrbitModel]:
    return [
        made_up(altitude_m=500e3),
        made_up(altitude_m=1200e3, inclination_deg=53.0, eccentricity=0.02),
        made_up(altitude_m=20_200e3, inclination_deg=55.0),
        made_up(altitude_m=35_786e3, inclination_deg=0.1),
    ]


@pytest.fixture(params=[1, 150, 10_000])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constellation, "_BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_looks_are_those_of_each_alone() -> None:
    orbits = several()
    seen = Constellation(orbits).looks(SITES, EPOCH, T_S, ut1_minus_utc_s=-0.2)
    assert seen.error.shape == (4, T_S.size) and not seen.error.any()
    for i, orbit in enumerate(orbits):
        for j, site in enumerate(SITES):
            alone = look(orbit, site, EPOCH, T_S, ut1_minus_utc_s=-0.2)
            for column, tolerance in zip(COLUMNS, (1e-6, 3e-4, 1e-11, 1e-11), strict=True):
                assert getattr(seen, column)[i, j] == pytest.approx(getattr(alone, column), abs=tolerance), (
                    column
                )


@pytest.mark.usefixtures("block")
def test_positions_are_those_of_each_alone() -> None:
    orbits = several()
    found = Constellation(orbits).positions(EPOCH, T_S)
    assert found.position_m.shape == (4, T_S.size, 3)
    for position, orbit in zip(found.position_m, orbits, strict=True):
        assert position == pytest.approx(earth_fixed(orbit, EPOCH, T_S).position_m, abs=1e-6)


@pytest.mark.parametrize("columns", [["range_m"], ["elevation_rad"], ["azimuth_rad", "range_rate_m_s"]])
def test_only_what_is_asked_for_is_answered(columns: list[LookColumn]) -> None:
    everything = Constellation(several()).looks(SITES, EPOCH, T_S)
    seen = Constellation(several()).looks(SITES, EPOCH, T_S, columns=columns)
    for column in COLUMNS:
        if column in columns:
            assert (getattr(seen, column) == getattr(everything, column)).all()
        else:
            assert getattr(seen, column) is None


def test_a_decayed_satellite_spoils_itself_alone() -> None:
    line = MICIUS_1.replace("18801-4", "99999-1")[:68]
    lost = orbit_of(Orbit(tle_line_1=line + str(checksum(line + "0")), tle_line_2=MICIUS_2))
    t_s = np.arange(0, 400) * 86_400.0
    seen = Constellation([micius(), lost, micius()]).looks(SITES, lost.epoch, t_s)
    assert not seen.error[[0, 2]].any() and seen.error[1].any() and not seen.error[1, 0]
    assert seen.range_m is not None and seen.range_rate_m_s is not None
    for column in (seen.range_m, seen.range_rate_m_s):
        assert not np.isnan(column[[0, 2]]).any()
        assert (np.isnan(column[1]) == (seen.error[1] > 0)).all()


def test_blocks_cover_everything_once() -> None:
    orbits = several() * 3
    parts = list(Constellation(orbits).looks_by_block(SITES, EPOCH, np.arange(0, 86_400, 10.0)))
    assert [part.start for part, _ in parts] == list(range(12))
    assert sum(seen.error.shape[0] for _, seen in parts) == len(Constellation(orbits)) == 12


def test_no_satellites_no_instants() -> None:
    assert Constellation([]).positions(EPOCH, T_S).position_m.shape == (0, T_S.size, 3)
    seen = Constellation(several()).looks(SITES, EPOCH, [])
    assert seen.range_m is not None and seen.range_m.shape == (4, 2, 0)


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected columns of range_m, .* got height"):
        Constellation(several()).looks(SITES, EPOCH, T_S, columns=["height"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="got none"):
        Constellation(several()).looks(SITES, EPOCH, T_S, columns=[])
