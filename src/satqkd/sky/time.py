"""UTC as text, as `datetime`, as a split Julian date, and the angle the Earth has turned to.

UT1 is taken equal to UTC unless their difference is given (it stays below 0.9 s, which turns the Earth
by 0.004 degree). A day has 86 400 s: leap seconds are not counted. Reads no clock.
Source: Vallado, Fundamentals of Astrodynamics and Applications, 4th ed., eq. 3-45 (GMST 1982).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.constants import DAY_S
from satqkd.errors import ConfigError

J2000_JD: Final = 2_451_545.0
JULIAN_CENTURY_DAYS: Final = 36_525.0
GMST82_RATE_RAD_S: Final = 2 * np.pi * (1 + 8_640_184.812866 / (JULIAN_CENTURY_DAYS * DAY_S)) / DAY_S
"""How fast `gmst82_rad` grows, its terms in T^2 and T^3 left out (1e-15 rad/s a century)."""
TT_MINUS_UTC_S: Final = 69.184  # 32.184 s and 37 leap seconds: exact from 2017 on, 3 s too many in 2010
_ORDINAL_TO_JD: Final = 1_721_424.5  # Julian date of the midnight that begins proleptic day 0
_UTC_TEXT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z")


def parse_utc(text: str) -> datetime:
    """An aware UTC `datetime` from ISO 8601 text that ends in Z, as `2016-12-19T16:52:13Z`.

    Seconds and up to six decimals of them may be left out. Raises ConfigError for anything else.
    """
    try:
        if not _UTC_TEXT.fullmatch(text):
            raise ValueError("the form differs")
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as problem:
        raise ConfigError(
            f"time: expected UTC in ISO 8601 with Z, such as 2016-12-19T16:52:13Z, got {text!r} ({problem})"
        ) from problem


def format_utc(moment: datetime) -> str:
    """ISO 8601 with Z, rounded to milliseconds, which are written only where they are not zero.

    Raises ConfigError for a `datetime` without time zone.
    """
    exact = _utc(moment)
    rounded = exact.replace(microsecond=0) + timedelta(milliseconds=round(exact.microsecond / 1000))
    precision = "milliseconds" if rounded.microsecond else "seconds"
    return rounded.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def julian_date(epoch: datetime, t_s: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Julian date (UTC) of `epoch` + `t_s`, split as SGP4 wants it; both of the shape of `t_s`.

    The first is the midnight before (xxx.5), the second the part of the day in [0, 1), exact to
    about 10 ps (or the resolution of `t_s`). Raises ConfigError for an epoch without time zone.
    """
    moment = _utc(epoch)
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    days = ((moment - midnight).total_seconds() + np.asarray(t_s, dtype=np.float64)) / DAY_S
    whole = np.floor(days)
    return _ORDINAL_TO_JD + moment.toordinal() + whole, days - whole


def gmst82_rad(jd: ArrayLike, fraction: ArrayLike) -> NDArray[np.float64]:
    r"""Greenwich mean sidereal time of 1982 at a split Julian date, in [0, 2 pi).

    .. math:: \theta = 67310.54841 + (876600 \cdot 3600 + 8640184.812866) T + 0.093104 T^2
        - 6.2 \cdot 10^{-6} T^3 \quad [\mathrm{s}], \qquad T = (\mathrm{JD} - 2451545) / 36525

    The term of 876600 hours is one turn a day; taking it from the split date keeps 1e-14 turns.
    """
    day = np.asarray(jd, dtype=np.float64) - J2000_JD
    part = np.asarray(fraction, dtype=np.float64)
    T = (day + part) / JULIAN_CENTURY_DAYS
    slow_s = 67310.54841 + (8640184.812866 + (0.093104 - 6.2e-6 * T) * T) * T
    turns = np.asarray(day % 1.0 + part + slow_s / DAY_S, dtype=np.float64)
    return 2 * np.pi * (turns % 1.0)


def earth_angle_rad(epoch: datetime, t_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0) -> NDArray[np.float64]:
    """Greenwich mean sidereal time at `epoch` + `t_s`, of the shape of `t_s`, in [0, 2 pi)."""
    return gmst82_rad(*julian_date(epoch, np.asarray(t_s, dtype=np.float64) + ut1_minus_utc_s))


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ConfigError(f"time: expected a datetime in UTC, got {moment} without a time zone")
    return moment.astimezone(UTC)
