"""Rows of kind model: all hold, and each notices a formula or an input that is a little wrong."""

import numpy as np
import pytest

from satqkd.optics import hufnagel_valley_profile
from satqkd.validation import links, turbulence
from satqkd.validation.rows import Row


def _failing(rows: list[Row]) -> set[str]:
    assert all(each.kind == "model" for each in rows)
    return {each.id for each in rows if each.status != "reproduced"}


def test_all_hold() -> None:
    assert _failing(turbulence.rows() + links.rows()) == set()


@pytest.mark.parametrize(
    ("air", "unmoved"),
    [
        ({"rms_wind_m_s": 19.0}, {"M3d", "M4", "M5a", "M5b", "M6", "M10c", "M10a", "M10b"}),
        (
            {"ground_cn2_m23": 1.5e-14},
            {"M1", "M2", "M3a", "M3b", "M3c", "M3d", "M5a", "M5b", "M5c", "M10a", "M10b", "M10d"},
        ),
        ({"station_altitude_m": 893.0}, set()),
    ],
)
def test_another_air_is_noticed_by_what_it_moves(air: dict[str, float], unmoved: set[str]) -> None:
    """A tenth less jet moves scintillation, a tenth less ground layer the coherence diameter."""
    about_air = {each.id for each in turbulence.rows() if each.id[:2] not in ("M7", "M8", "M9")}
    failing = _failing(turbulence.rows(hufnagel_valley_profile(**air)))
    assert failing >= about_air - unmoved
    assert failing <= about_air


def test_the_itu_table_notices_a_wind_and_a_station() -> None:
    assert turbulence.itu_variances("M7a", 21.0).status == "reproduced"
    assert turbulence.itu_variances("M7a", 21.0, station_height_m=3000.0).status == "not_reproduced"
    assert turbulence.itu_wind(ground_wind_m_s=5.0).status == "not_reproduced"


def test_the_itu_constants_notice_the_books_other_coefficient(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.42 for 0.423 is half a per cent."""
    fried = turbulence.fried_parameter_m
    monkeypatch.setattr(
        turbulence, "fried_parameter_m", lambda *a, **k: fried(*a, **k) * (0.423 / 0.42) ** 0.6
    )
    assert _failing(turbulence.itu_coefficients()) == {"M9a"}


@pytest.mark.parametrize("half_angle_rad", [4.9e-6, 5.1e-6, 10e-6])
def test_pointing_notices_a_beam_of_another_width(half_angle_rad: float) -> None:
    assert links.pointing("M11a", half_angle_rad=half_angle_rad).status == "not_reproduced"


def test_the_secant_is_no_airmass() -> None:
    assert links.kasten_young(lambda h: 1 / np.sin(h)).status == "not_reproduced"
    assert links.slant(lambda h: 1 / np.sin(h)).status == "not_reproduced"


def test_hazy_air_is_no_clear_site() -> None:
    assert links.clearest(visibility_m=23e3).status == "not_reproduced"


@pytest.mark.parametrize(("telescope_m", "view_rad"), [(0.29, 60e-6), (0.28, 62e-6)])
def test_background_notices_telescope_and_field(telescope_m: float, view_rad: float) -> None:
    found = links.background("M14a", telescope_diameter_m=telescope_m, field_of_view_rad=view_rad)
    assert found.status == "not_reproduced"
