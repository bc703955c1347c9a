"""Probabilities of a clear sky: tables and their errors, which row a site gets, months and between them."""

import re
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documentation import page, undocumented_settings
from satqkd.config import Station
from satqkd.config.loader import load
from satqkd.config.weather import Weather
from satqkd.errors import ConfigError, DataFormatError
from satqkd.mission import presets
from satqkd.mission.course import site_of
from satqkd.plan.clear_sky import ClearSky, clear_sky
from satqkd.plan.clear_sky_table import COLUMNS, MONTHS, Climate, parse_table, read_table, shipped_table
from satqkd.sky import Site

ROOT = Path(__file__).parents[2]
HEADER = ",".join(COLUMNS)
ROOF = "roof,48.1,11.5,.3,.4,.5,.5,.6,.6,.7,.7,.6,.5,.3,.3,measured,own log"
START = datetime(2024, 1, 1, tzinfo=UTC)


def site(latitude_deg: float, longitude_deg: float) -> Site:
    return Site(
        latitude_rad=float(np.radians(latitude_deg)),
        longitude_rad=float(np.radians(longitude_deg)),
        altitude_m=0.0,
    )


def one_site(months: list[float]) -> ClearSky:
    zero = np.zeros(1)
    return ClearSky(
        names=("a",), latitude_rad=zero, longitude_rad=zero, monthly=np.array([months]), rows=(None,)
    )


class TestTable:
    def test_a_row_is_read_in_si_units(self) -> None:
        (place,) = parse_table(f"# mine\n\n{HEADER}\n{ROOF}\n", "mine.csv")
        assert place == Climate(
            name="roof",
            latitude_rad=np.radians(48.1),
            longitude_rad=np.radians(11.5),
            clear=(0.3, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.6, 0.5, 0.3, 0.3),
            evidence="measured",
            source="own log",
        )

    def test_columns_may_stand_in_any_order_and_cells_in_quotes(self) -> None:
        names, cells = list(COLUMNS)[::-1], ROOF.replace("own log", '"own, log"').split(",", 16)[::-1]
        (place,) = parse_table(f"{','.join(names)}\n{','.join(cells)}", "mine.csv")
        assert (place.name, place.source, place.clear[1]) == ("roof", "own, log", 0.4)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (f"{HEADER}\n{ROOF.replace('.4', '42')}", "line 2, column feb: .* a probability.* got '42'"),
            (f"{HEADER}\n{ROOF.replace('.4', '-0.1')}", "line 2, column feb"),
            (f"#\n\n{HEADER}\n{ROOF.replace('.4', 'nan')}", "line 4, column feb: .* got 'nan'"),
            (f"{HEADER}\n{ROOF.replace('.4', '')}", "line 2, column feb: .* got ''"),
            (f"{HEADER}\n{ROOF.replace('48.1', '98.1')}", "column latitude_deg: .* from -90 to 90"),
            (f"{HEADER}\n{ROOF.replace('11.5', 'east')}", "column longitude_deg: .* got 'east'"),
            (f"{HEADER}\n{ROOF.replace('measured', 'true')}", "column evidence: .* published, .* got 'true'"),
            (f"{HEADER}\n{ROOF.replace('own log', ' ')}", "column source: expected text"),
            (f"{HEADER}\n{ROOF}\n{ROOF}", "line 3, column name: .* 'roof' again"),
            (f"{HEADER}\n{ROOF},more", "line 2: expected 17 cells, got 18"),
            (f"{HEADER}\n{ROOF.replace('own log', chr(34) + 'own log')}", "line 2: .* mend its quotes"),
            (f"{HEADER.replace('feb', 'febr')}\n{ROOF}", "unknown column 'febr'; did you mean feb"),
            (f"{HEADER.replace(',source', '')}\n{ROOF}", "got no source"),
            (f"{HEADER},feb\n{ROOF},.1", "got one twice"),
            (HEADER, "a row a place"),
            ("", "expected the columns"),
        ],
    )
    def test_an_error_names_file_line_and_column(self, text: str, told: str) -> None:
        with pytest.raises(DataFormatError, match=f"mine.csv.*{told}"):
            parse_table(text, "mine.csv")

    def test_files_of_spreadsheets_are_read_and_others_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.csv"
        path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROOF}\r\n".encode())
        assert read_table(path)[0].name == "roof"
        path.write_bytes(f"{HEADER}\n{ROOF} für\n".encode("latin-1"))
        with pytest.raises(DataFormatError, match="expected UTF-8"):
            read_table(path)
        with pytest.raises(DataFormatError, match="no such file"):
            read_table(tmp_path / "none.csv")
        with pytest.raises(DataFormatError, match="cannot be read"):
            read_table(tmp_path)


class TestShippedTable:
    def test_it_is_what_its_builder_makes(self) -> None:
        sys.path.insert(0, str(ROOT / "builders"))
        builder = pytest.importorskip("clear_sky_table")
        assert (ROOT / "src/satqkd/plan/clear_sky.csv").read_text(encoding="utf-8") == builder.table()

    def test_an_inferred_year_is_what_its_source_says(self) -> None:
        days = np.array([31, 28.2425, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
        inferred = [place for place in shipped_table() if place.evidence == "inferred"]
        assert len(inferred) > 12
        for place in inferred:
            (cloud,) = re.findall(r"liquid cloud probability (\d+) %", place.source)
            assert np.average(place.clear, weights=days) == pytest.approx(1 - int(cloud) / 100, abs=0.005)

    def test_no_number_of_it_is_called_better_than_inferred(self) -> None:
        assert {place.evidence for place in shipped_table()} == {"inferred", "assumed"}

    def test_every_preset_has_a_row_beside_it(self) -> None:
        names = presets.names(Station)
        sites = {name: site_of(presets.station(name)) for name in names}
        found = clear_sky(sites, Weather(nearest_m=3000.0)).rows
        assert {row.name for row in found if row} == set(names) - {"nanshan-1m"}


class TestWhichRow:
    def own(self, tmp_path: Path, text: str = ROOF) -> Weather:
        (tmp_path / "mine.csv").write_text(f"{HEADER}\n{text}\n", encoding="utf-8")
        return Weather(table="mine.csv", default_clear=0.25)

    def test_the_row_of_its_name_then_the_nearest_place_then_the_default(self, tmp_path: Path) -> None:
        sites = {"isle": site(0, -30), "roof": site(48.09, 11.5), "ealing": site(51.51, -0.30)}
        sky = clear_sky(sites, self.own(tmp_path), folder=tmp_path)
        assert [row.name if row else None for row in sky.rows] == [None, "roof", "london"]
        assert sky.names == ("isle", "roof", "ealing")
        assert (sky.monthly[0] == 0.25).all() and sky.monthly[1, 6] == 0.7

    def test_a_row_of_ones_own_goes_before_the_shipped_one(self, tmp_path: Path) -> None:
        weather = self.own(tmp_path, ROOF.replace("roof,48.1,11.5", "graz,47.1,15.5"))
        sky = clear_sky({"graz": site(47.07, 15.49)}, weather, folder=tmp_path)
        assert sky.rows[0] is not None and sky.rows[0].evidence == "measured"

    def test_a_row_of_the_name_at_another_place_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"'roof' within 50 km .* got one [0-9]+ km away"):
            clear_sky({"roof": site(40, 11.5)}, self.own(tmp_path), folder=tmp_path)

    def test_a_site_without_a_row_is_an_error_that_names_the_nearest_place(self) -> None:
        with pytest.raises(ConfigError, match=r"'wells'.*the nearest, bristol, is 2\d km away"):
            clear_sky({"wells": site(51.21, -2.65)}, Weather(nearest_m=20_000.0))

    def test_a_file_may_give_days_and_kilometres(self) -> None:
        weather = load({"persistence_days": 0.25, "correlation_km": 200}, Weather, "plan.toml").value
        assert (weather.persistence_s, weather.correlation_m) == (21_600.0, 200_000.0)

    def test_every_setting_is_documented_with_its_range_and_default(self) -> None:
        assert undocumented_settings(Weather, page("settings.md")) == []


class TestYear:
    HALF_HOURS = np.arange(366 * 48) * 1800.0 + 900.0

    def by_month(self, sky: ClearSky, start: datetime) -> list[float]:
        """Means of the calendar months of a year, reckoned by `datetime`; linear pieces make them exact."""
        found = sky.availability(start, self.HALF_HOURS)[0]
        months = [(start + timedelta(seconds=t)) for t in self.HALF_HOURS.tolist()]
        kept = np.array([each.month if each.year == start.year else 0 for each in months])
        return [float(found[kept == month].mean()) for month in range(1, 13)]

    @given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.sampled_from([2023, 2024]))
    def test_each_month_keeps_its_mean_and_no_value_leaves_zero_to_one(
        self, months: list[float], year: int
    ) -> None:
        sky, start = one_site(months), datetime(year, 1, 1, tzinfo=UTC)
        np.testing.assert_allclose(self.by_month(sky, start), months, atol=1e-12)
        values = sky.availability(start, self.HALF_HOURS)
        assert values.min() >= 0 and values.max() <= 1

    @given(st.lists(st.floats(0.3, 0.7), min_size=12, max_size=12))
    def test_months_that_differ_less_than_threefold_join_without_a_jump(self, months: list[float]) -> None:
        found = one_site(months).availability(START, self.HALF_HOURS)[0]
        assert np.abs(np.diff(found)).max() < 0.004  # of a slope of at most 1.2 in half a month

    def test_months_that_are_flat_stay_flat(self) -> None:
        assert np.ptp(one_site([0.4] * 12).availability(START, self.HALF_HOURS)) < 1e-15

    def test_the_season_shows_within_a_month(self) -> None:
        sky = one_site([0.2, 0.4, 0.6, *[0.6] * 6, 0.4, 0.2, 0.2])
        start, middle, end = sky.availability(
            datetime(2023, 2, 1, tzinfo=UTC), np.array([0, 14, 27.999]) * 86_400
        )[0]
        assert (start, middle) == (pytest.approx(0.3), pytest.approx(0.4))
        assert end == pytest.approx(0.5, abs=1e-4)

    def test_every_site_has_a_row_and_a_zone_is_taken_into_account(self) -> None:
        names = ("graz", "jinan", "cape-town")
        places = {place.name: place for place in shipped_table()}
        sites = {name: Site(latitude_rad=places[name].latitude_rad, longitude_rad=places[name].longitude_rad,
                            altitude_m=0.0) for name in names}  # fmt: skip
        sky = clear_sky(sites, Weather())
        t_s = np.linspace(0, 3e7, 7)
        utc = sky.availability(START, t_s)
        assert utc.shape == (3, 7)
        assert (utc == sky.availability(START.astimezone(timezone(timedelta(hours=8))), t_s)).all()
        assert (utc[:, 3:] == sky.availability(START + timedelta(seconds=t_s[3]), t_s[3:] - t_s[3])).all()

    def test_a_time_without_zone_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="time zone"):
            one_site([0.4] * 12).availability(datetime(2024, 1, 1), [0.0])

    @pytest.mark.parametrize("months", [[0.5] * 11, [*[0.5] * 11, 1.1], [*[0.5] * 11, np.nan]])
    def test_months_that_are_no_probabilities_are_refused(self, months: list[float]) -> None:
        with pytest.raises(ConfigError, match="clear sky"):
            one_site(months)

    def test_columns_of_the_table_are_documented(self) -> None:
        told = page("weather.md")
        named = [*COLUMNS[:3], *COLUMNS[-2:], MONTHS[0], MONTHS[-1]]
        assert [name for name in named if f"`{name}`" not in told] == []
