"""UTC text and back, split Julian dates, sidereal time."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError
from satqkd.sky import format_utc, gmst82_rad, julian_date, parse_utc


@given(st.datetimes(datetime(1957, 1, 1), datetime(2056, 12, 31)))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_text_keeps_the_moment_to_half_a_millisecond(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert abs(parse_utc(format_utc(moment)) - moment) <= timedelta(microseconds=500)


def test_text_form() -> None:
    assert format_utc(parse_utc("2016-12-19T16:52:13Z")) == "2016-12-19T16:52:13Z"
    assert format_utc(parse_utc("2016-12-19T16:52:13.25Z")) == "2016-12-19T16:52:13.250Z"
    assert format_utc(datetime(2016, 12, 31, 23, 59, 59, 999_600, tzinfo=UTC)) == "2017-01-01T00:00:00Z"
    beijing = datetime(2016, 12, 20, 0, 52, 13, tzinfo=timezone(timedelta(hours=8)))
    assert format_utc(beijing) == "2016-12-19T16:52:13Z"
    assert parse_utc("2024-01-02T03:04Z") == datetime(2024, 1, 2, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2016-12-19",
        "2016-12-19Z",
        "2016-12-19T16:52:13",
        "2016-12-19T16:52:13+00:00",
        "2016-12-19T16:52:13+08:00",
        "2016-12-19 16:52:13Z",
        "2016-13-19T16:52:13Z",
        "2016-12-19T24:52:13Z",
        "2016-12-31T23:59:60Z",
        "2016-12-19T16:52:13Z\n",
    ],
)
def test_anything_but_utc_with_z_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected UTC in ISO 8601 with Z"):
        parse_utc(text)


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a time zone"):
        julian_date(datetime(2024, 1, 1), 0.0)


def test_julian_date_of_known_days() -> None:
    whole, part = julian_date(parse_utc("2000-01-01T12:00:00Z"), [0.0, 43_200.0, -43_200.5])
    assert whole.tolist() == [2_451_544.5, 2_451_545.5, 2_451_543.5]
    assert part == pytest.approx([0.5, 0.0, 1 - 0.5 / 86_400], abs=1e-15)


def test_julian_date_keeps_a_nanosecond_over_a_month() -> None:
    whole, part = julian_date(parse_utc("2024-10-01T00:00:00Z"), 30 * 86_400 + np.array([0.0, 1e-6]))
    assert whole[0] == whole[1]
    assert (part[1] - part[0]) * 86_400 == pytest.approx(1e-6, abs=2e-9)


def test_sidereal_time_of_the_textbooks() -> None:
    """Meeus, Astronomical Algorithms, examples 12.a and 12.b; Vallado, example 3-5."""
    cases = {
        "1987-04-10T00:00:00Z": 15 * (13 + 10 / 60 + 46.3668 / 3600),
        "1987-04-10T19:21:00Z": 128.737_873_4,
        "1992-08-20T12:14:00Z": 152.578_787_810,
    }
    for text, degrees in cases.items():
        computed = np.degrees(gmst82_rad(*julian_date(parse_utc(text), 0.0)))
        assert float(computed) == pytest.approx(degrees, abs=2e-6)
