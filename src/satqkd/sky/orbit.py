"""Where the satellite is in inertial space: SGP4 from a TLE, or from mean elements.

The frame is TEME (true equator, mean equinox), as SGP4 gives it. Where no TLE is known, altitude and
local time of the ascending node make one: the mean Sun at the epoch gives the node, and the
inclination, when left open, is the one at which the Earth's flattening turns the node once a year.
Knows no station and no light.
Sources: Vallado et al., AIAA 2006-6753 (SGP4, constants WGS 72); Vallado, Fundamentals, 4th ed.,
eq. 9-41 (nodal drift).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sgp4.api import SGP4_ERRORS, WGS72, Satrec
from sgp4.earth_gravity import wgs72

from satqkd.config import Orbit
from satqkd.constants import DAY_S, EARTH_EQUATORIAL_RADIUS_M, TROPICAL_YEAR_S
from satqkd.errors import ConfigError, DataFormatError
from satqkd.sky.time import format_utc, gmst82_rad, julian_date, parse_utc
from satqkd.sky.tle import check_tle

Vectors = NDArray[np.float64]
"""Shape (n, 3)."""

_SGP4_EPOCH = datetime(1949, 12, 31, tzinfo=UTC)
_NO_CATALOGUE_NUMBER: Final = 0
DIFFERENCE_S: Final = 0.125
_KNOTS_S: Final = 20.0


_YEAR_S: Final = 365.25 * DAY_S
OLDEST_S: Final = 20 * _YEAR_S
"""Elements older are refused; what SGP4 makes of some months is already off by many kilometres."""


class OrbitModel:
    """An orbit that can be asked for position and velocity at any time; wraps one SGP4 record."""

    def __init__(self, satrec: Satrec) -> None:
        self._satrec = satrec

    @property
    def satrec(self) -> Satrec:
        """The record of the `sgp4` library."""
        return self._satrec

    @property
    def catalogue_number(self) -> int:
        """NORAD number; 0 for an orbit made from mean elements."""
        return int(self._satrec.satnum)

    @property
    def epoch(self) -> datetime:
        """Epoch of the elements, UTC."""
        whole, part = self._satrec.jdsatepoch, self._satrec.jdsatepochF
        sgp4_epoch_jd = 2_433_281.5
        return _SGP4_EPOCH + timedelta(days=whole - sgp4_epoch_jd) + timedelta(days=part)

    @property
    def period_s(self) -> float:
        """Mean anomalistic period, from SGP4's own semi-major axis."""
        return 2 * np.pi / _mean_motion_rad_s(float(self._satrec.a) * wgs72.radiusearthkm * 1e3)

    @property
    def eccentricity(self) -> float:
        """Mean eccentricity at the epoch of the elements."""
        return float(self._satrec.ecco)

    @property
    def inclination_rad(self) -> float:
        """Mean inclination at the epoch of the elements."""
        return float(self._satrec.inclo)

    def teme(self, epoch: datetime, t_s: ArrayLike) -> tuple[Vectors, Vectors]:
        """Position in m and velocity in m/s in TEME at `epoch` + `t_s`, as SGP4 has them, each (n, 3).

        t_s: seconds, a scalar or shape (n,). SGP4's velocity is not the derivative of its position: see
        `motion`. Raises DataFormatError where SGP4 refuses the elements, and farther than `OLDEST_S` from
        their epoch, where it answers but nothing it says is an orbit.
        """
        seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        away_s = (epoch - self.epoch).total_seconds() + seconds
        if seconds.size and np.abs(away_s).max() > OLDEST_S:
            raise DataFormatError(
                f"orbit of satellite {self.catalogue_number}: expected a time within "
                f"{OLDEST_S / _YEAR_S:.0f} years of its elements' epoch {format_utc(self.epoch)}, got one "
                f"{np.abs(away_s).max() / _YEAR_S:.0f} years from it; use elements nearer in time"
            )
        error, position_km, velocity_km_s = self._satrec.sgp4_array(*julian_date(epoch, seconds))
        if error.any() or np.isnan(position_km).any():
            first = int(np.flatnonzero(error | np.isnan(position_km[:, 0]))[0])
            raise self._refusal(int(error[first]), epoch + timedelta(seconds=float(seconds[first])))
        return position_km * 1e3, velocity_km_s * 1e3

    def motion(self, epoch: datetime, t_s: ArrayLike) -> tuple[Vectors, Vectors]:
        """As `teme`, but the velocity is the derivative of the position: to 0.1 mm/s, 0.6 mm/s at
        eccentricity 0.7.

        SGP4's own misses it by 0.03 m/s on near-circular low orbits (0.3 m/s at eccentricity 0.02), in a
        slow wave. So the miss is measured by differences over 1/8 s, at knots 20 s apart where there are
        fewer knots than instants, and added.
        """
        seconds = np.atleast_1d(np.asarray(t_s, dtype=np.float64))
        position, velocity = self.teme(epoch, seconds)
        first, last = (float(seconds.min()), float(seconds.max())) if seconds.size else (0.0, 0.0)
        knots = np.linspace(first, last, 2 + int((last - first) / _KNOTS_S))
        if knots.size >= seconds.size:
            return position, velocity + self._velocity_miss(epoch, seconds, position, velocity)
        miss = self._velocity_miss(epoch, knots, *self.teme(epoch, knots))
        for axis in range(3):
            velocity[:, axis] += np.interp(seconds, knots, miss[:, axis])
        return position, velocity

    def _velocity_miss(
        self, epoch: datetime, t_s: NDArray[np.float64], position: Vectors, velocity: Vectors
    ) -> Vectors:
        """Derivative of the position less SGP4's velocity: the mean of each over a step."""
        position_later, velocity_later = self.teme(epoch, t_s + DIFFERENCE_S)
        return (position_later - position) / DIFFERENCE_S - (velocity_later + velocity) / 2

    def _refusal(self, code: int, moment: datetime) -> DataFormatError:
        return DataFormatError(
            f"orbit of satellite {self.catalogue_number}: expected elements that SGP4 can carry to "
            f"{format_utc(moment)}, got its error {code} ({SGP4_ERRORS.get(code, 'not a number')}); elements "
            f"are of {format_utc(self.epoch)}, use some nearer in time"
        )


def orbit_of(settings: Orbit) -> OrbitModel:
    """The orbit that settings describe, by TLE or by mean elements.

    Raises DataFormatError for a malformed TLE, ConfigError for mean elements that make no orbit and for
    elements in a file, which must have been read (`read_elements`).
    """
    if settings.tle_line_1 is not None and settings.tle_line_2 is not None:
        return _checked(_from_tle(settings.tle_line_1.rstrip(), settings.tle_line_2.rstrip()))
    if settings.elements_file is not None:
        raise ConfigError(
            f"orbit.elements_file: expected elements read from {settings.elements_file}, got its name; read "
            "it with satqkd.sky.read_elements and take `orbit` of the entry"
        )
    try:
        return _checked(_from_mean_elements(settings))
    except DataFormatError as refusal:
        raise ConfigError(
            f"orbit: these mean elements make no orbit that SGP4 can carry ({refusal})"
        ) from None


def sun_synchronous_inclination_rad(semi_major_axis_m: float, *, eccentricity: float) -> float:
    r"""The inclination at which the ascending node follows the mean Sun.

    .. math:: \cos i = -\frac{2 \dot\Omega\, p^2}{3 J_2 R^2 n}, \quad
        \dot\Omega = 2\pi / \mathrm{tropical\ year}, \quad p = a (1 - e^2)

    First order in J2 (drift true to about 0.3 %). Raises ConfigError where the orbit is too high.
    """
    a, e = semi_major_axis_m, eccentricity
    p_over_r = a * (1 - e**2) / (wgs72.radiusearthkm * 1e3)
    drift_rad_s = 2 * np.pi / TROPICAL_YEAR_S
    cosine = -2 * drift_rad_s * p_over_r**2 / (3 * wgs72.j2 * _mean_motion_rad_s(a))
    if cosine < -1:
        raise ConfigError(
            f"orbit.altitude_km: no Sun-synchronous orbit has a semi-major axis of {a / 1e3:.0f} km; "
            "give a lower altitude, or inclination_deg"
        )
    return float(np.arccos(cosine))


def node_of_local_time_rad(epoch: datetime, *, local_time_s: float) -> float:
    """Right ascension of an ascending node whose mean solar time at `epoch` is `local_time_s`.

    Mean solar time at a meridian is UTC plus its east longitude, and the node's longitude is its right
    ascension less sidereal time; the mean Sun is thereby contained in sidereal time.
    """
    jd, part = julian_date(epoch, 0.0)
    ahead_of_greenwich = 2 * np.pi * (local_time_s / DAY_S - float(part))
    return float((gmst82_rad(jd, part) + ahead_of_greenwich) % (2 * np.pi))


def _from_tle(line_1: str, line_2: str) -> Satrec:
    check_tle(line_1, line_2)
    return Satrec.twoline2rv(line_1, line_2, WGS72)


def _from_mean_elements(settings: Orbit) -> Satrec:
    epoch, e = parse_utc(str(settings.epoch_utc)), settings.eccentricity
    mean_motion, inclination = _size_and_tilt(settings)
    node = settings.right_ascension_rad
    if settings.local_time_of_ascending_node_s is not None:
        node = node_of_local_time_rad(epoch, local_time_s=settings.local_time_of_ascending_node_s)
    anomaly = settings.mean_anomaly_rad
    if anomaly is None:
        latitude_argument = settings.argument_of_latitude_rad or 0.0
        anomaly = _mean_anomaly_rad(latitude_argument - settings.argument_of_perigee_rad, eccentricity=e)
    satrec = Satrec()
    satrec.sgp4init(
        WGS72,
        "i",
        _NO_CATALOGUE_NUMBER,
        (epoch - _SGP4_EPOCH) / timedelta(days=1),
        settings.drag_term_per_earth_radius,
        0.0,  # derivatives of the mean motion, which SGP4 does not use
        0.0,
        e,
        settings.argument_of_perigee_rad % (2 * np.pi),
        inclination,
        anomaly % (2 * np.pi),
        60.0 * mean_motion,
        (node or 0.0) % (2 * np.pi),
    )
    return satrec


def _size_and_tilt(settings: Orbit) -> tuple[float, float]:
    """Kozai's mean motion in rad/s and the inclination."""
    if settings.mean_motion_rad_s is not None:
        return settings.mean_motion_rad_s, settings.inclination_rad or 0.0
    a, e = EARTH_EQUATORIAL_RADIUS_M + (settings.altitude_m or 0.0), settings.eccentricity
    inclination = settings.inclination_rad
    if inclination is None:
        inclination = sun_synchronous_inclination_rad(a, eccentricity=e)
    return _kozai_mean_motion_rad_s(a, eccentricity=e, inclination_rad=inclination), inclination


def _mean_motion_rad_s(semi_major_axis_m: float) -> float:
    return float(np.sqrt(wgs72.mu * 1e9 / semi_major_axis_m**3))


def _kozai_mean_motion_rad_s(
    semi_major_axis_m: float, *, eccentricity: float, inclination_rad: float
) -> float:
    """Mean motion as TLEs carry it (Kozai), such that SGP4 recovers the asked axis (Brouwer) to 20 m."""
    a = semi_major_axis_m / (wgs72.radiusearthkm * 1e3)
    shape = (3 * np.cos(inclination_rad) ** 2 - 1) / (1 - eccentricity**2) ** 1.5
    return _mean_motion_rad_s(semi_major_axis_m) * float(1 + 0.75 * wgs72.j2 * shape / a**2)


def _mean_anomaly_rad(true_anomaly_rad: float, *, eccentricity: float) -> float:
    e, half = eccentricity, true_anomaly_rad / 2
    E = 2 * np.arctan2(np.sqrt(1 - e) * np.sin(half), np.sqrt(1 + e) * np.cos(half))
    return float((E - e * np.sin(E)) % (2 * np.pi))


def _checked(satrec: Satrec) -> OrbitModel:
    model = OrbitModel(satrec)
    model.teme(model.epoch, 0.0)
    return model
