"""The path of a satellite over the turning Earth on an even grid, and between its points.

Between two points the path is the polynomial through the ten nearest, which costs a tenth of a call of
SGP4: a search propagates once, whatever the number of stations. That the grid is fine enough is tried
against SGP4, not assumed. Knows no station.
"""

from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.sky.geometry import turned_to_earth
from satqkd.sky.orbit import OrbitModel, Vectors
from satqkd.sky.time import earth_angle_rad

Column = NDArray[np.float64]
Indices = NDArray[np.intp]
Axes = NDArray[np.float64]
"""Shape (3, m)."""

_STEPS_PER_REVOLUTION: Final = 40
_POINTS: Final = 10
_SLOPE: Final = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
"""Derivative at the middle of nine even points, eighth order (Fornberg, Math. Comp. 51, 699, 1988)."""
_REACH: Final = _POINTS // 2 - 1  # points needed before the first interval and after the last
_POSITION_MISS_M: Final = 1e-3
_VELOCITY_MISS_M_S: Final = 2e-4
_MOST_HALVINGS: Final = 5
_DIFFERENCE_S: Final = 0.1


def _to_powers() -> NDArray[np.float64]:
    """Values at ten points a step apart to coefficients of powers of steps from their middle, (10, 10)."""
    places = np.arange(_POINTS) - (_POINTS - 1) / 2
    columns = []
    for i, place in enumerate(places):
        others = np.delete(places, i)
        columns.append(np.poly(others)[::-1] / np.prod(place - others))
    return np.stack(columns, axis=1)


_TO_POWERS: Final = _to_powers()


class Pieces:
    """The path in chosen intervals of a grid; asked for one instant in each (m of them)."""

    def __init__(self, powers: NDArray[np.float64], middle_s: Column, step_s: float) -> None:
        self._powers, self._middle_s, self._step_s = powers, middle_s, step_s  # powers: (10, 3, m)

    def position_m(self, t_s: Column) -> Axes:
        x = (t_s - self._middle_s) / self._step_s
        r = self._powers[-1] * x
        for i in range(_POINTS - 2, 0, -1):
            r += self._powers[i]
            r *= x
        r += self._powers[0]
        return np.asarray(r)

    def velocity_m_s(self, t_s: Column) -> Axes:
        x = (t_s - self._middle_s) / self._step_s
        v = (_POINTS - 1) * self._powers[-1]
        for i in range(_POINTS - 2, 0, -1):
            v *= x
            v += i * self._powers[i]
        return np.asarray(v / self._step_s)


class Track:
    """Positions and velocities from `first_s` to at least `last_s` after `epoch`, every `step_s`."""

    def __init__(
        self,
        orbit: OrbitModel,
        epoch: datetime,
        *,
        first_s: float,
        last_s: float,
        step_s: float,
        ut1_minus_utc_s: float = 0.0,
    ) -> None:
        inner = 2 + int((last_s - first_s) / step_s)
        all_s: Column = first_s + step_s * np.arange(-_REACH, inner + _REACH, dtype=np.float64)
        self._position = _earth_fixed_m(orbit, epoch, all_s, ut1_minus_utc_s)
        self.step_s = step_s
        self.t_s: Column = all_s[_REACH:-_REACH]
        self.position_m = self._position[_REACH:-_REACH]
        self.velocity_m_s = np.zeros_like(self.position_m)
        for i, weight in enumerate(_SLOPE / step_s):
            self.velocity_m_s += weight * self._position[i : i + inner]

    def pieces(self, before: Indices) -> Pieces:
        """The path in the intervals after these points."""
        near = self._position[before[None, :] + np.arange(_POINTS)[:, None]]  # (10, m, 3)
        powers = np.tensordot(_TO_POWERS, near, 1)
        middle_s: Column = self.t_s[before] + self.step_s / 2
        return Pieces(np.ascontiguousarray(np.moveaxis(powers, 2, 1)), middle_s, self.step_s)

    def pieces_at(self, t_s: Column) -> Pieces:
        """The path in the intervals that hold these instants."""
        before = ((t_s - self.t_s[0]) / self.step_s).astype(np.intp)
        return self.pieces(np.clip(before, 0, self.t_s.size - 2))


def fitting_step_s(orbit: OrbitModel, epoch: datetime) -> float:
    """A step at which a track meets SGP4 to 1 mm and 0.2 mm/s all over the revolution from `epoch` on.

    A fortieth of a revolution at the speed of the perigee is enough for near-circular orbits. From a period
    of 225 minutes on, SGP4's deep-space part is itself not smooth: whatever the step, a track misses it by
    millimetres to centimetres there, and at its rare jumps by metres (35 m were seen).
    """
    e, period_s = orbit.eccentricity, orbit.period_s
    step_s = period_s / _STEPS_PER_REVOLUTION * float((1 - e**2) ** 1.5 / (1 + e) ** 2)
    for _ in range(_MOST_HALVINGS):
        if _is_fine(orbit, epoch, Track(orbit, epoch, first_s=0.0, last_s=period_s, step_s=step_s)):
            break
        step_s /= 2
    return step_s


def _is_fine(orbit: OrbitModel, epoch: datetime, track: Track) -> bool:
    t_s: Column = track.t_s[:-1] + track.step_s / 2
    pieces = track.pieces(np.arange(t_s.size))
    ahead, behind = (
        _earth_fixed_m(orbit, epoch, t_s + shift, 0.0).T for shift in (_DIFFERENCE_S, -_DIFFERENCE_S)
    )
    position_miss = np.abs(pieces.position_m(t_s + _DIFFERENCE_S) - ahead).max()
    velocity_miss = np.abs(pieces.velocity_m_s(t_s) - (ahead - behind) / (2 * _DIFFERENCE_S)).max()
    return bool(position_miss < _POSITION_MISS_M and velocity_miss < _VELOCITY_MISS_M_S)


def _earth_fixed_m(orbit: OrbitModel, epoch: datetime, t_s: Column, ut1_minus_utc_s: float) -> Vectors:
    theta = earth_angle_rad(epoch, t_s, ut1_minus_utc_s=ut1_minus_utc_s)
    return turned_to_earth(orbit.teme(epoch, t_s)[0], theta)
