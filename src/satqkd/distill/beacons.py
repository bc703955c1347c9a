r"""The beacon reader: from arrivals, most of them lost or false perhaps, to numbered beacons.

Beacon j leaves at j P + code[j] S on the satellite's clock. Nothing but P, S and the code is known at first.
Pairs of arrivals a few periods apart tell the period at the station: a false pair agrees with one allowed
by chance of 1e-4 only. Arrivals of a short run fold onto two lines S apart, one for each bit; the fit of the
lines widens, doubling, over the whole window; what lies on the lines spells the code with gaps. Its place is
found by comparison with the whole code.

False locks: n bits read with e misread fit one of m places of the code by chance with probability at most
:math:`m\,2^{-n}\sum_{k \le e}\binom{n}{k}`, bits at another place taken for fair coins: the code is a
maximal-length sequence. A place is taken where that is below 2^-50, at most one try a window: below 1e-11
in a pass of 8000 windows. With 5 million places that needs 73 bits read in a window without a misreading.

Knows no clicks and no pulses. Assumes a fractional frequency error below 1e-4.
"""

from dataclasses import dataclass, replace
from math import comb, log2
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S
from satqkd.distill.fit import Fit, Floats, Times, spread_of
from satqkd.distill.recovery import Mask
from satqkd.errors import ConfigError

Indices = NDArray[np.int64]
Bits = NDArray[np.uint8]

FALSE_FIND_LOG2: Final = -50
"""A place of the code is taken where chance finds one with less than 2 to the power of this."""
SMALLEST_WINDOW: Final = 96
"""Beacons in the shortest window: so many bits tell their place in any code."""
_RUN: Final = 128  # beacon periods looked at together at first
_RUN_READ: Final = 20  # of which so many must lie on the lines
_REACHES: Final = (3, 12, 48, 128)  # periods between arrivals whose distance tells the period
_PAIRS: Final = 6
_SCREEN: Final = 24  # bits compared along the whole code before only the survivors are looked at
_SCREEN_MISREAD: Final = 4
_MISREAD: Final = 1 / 8  # more than this part of the bits misread is no code
_FALSE_TAGS: Final = 4  # give up on a run with more tags per period than this
_MAX_SLOPE: Final = 1e-4
_CLUSTER_PS: Final = 20_000.0
_MIN_FIT: Final = 32
_OUTLIER_SIGMAS: Final = 5.0
_FIT_ROUNDS: Final = 4


class Reading(NamedTuple):
    """A window read: the clock, which arrivals made it, and their numbers."""

    fit: Fit
    used: Mask
    number: Indices


class _Lines(NamedTuple):
    """Arrivals on the two lines: rows, numbers from an unknown start, bits."""

    rows: Indices
    number: Indices
    bits: Bits


@dataclass(frozen=True)
class BeaconReader:
    """The beacon's timetable in picoseconds, and what its arrivals tell."""

    period_ps: float
    shift_ps: float
    code: Bits
    """From beacon 0 to the last of the pass, shape (n,)."""
    gate_ps: float
    """An arrival farther from its predicted time is not used."""

    def check(self, smallest_window_beacons: int) -> None:
        """Raises ConfigError when the code could not be told from Doppler or a window holds too few."""
        low, high = max(4 * _MAX_SLOPE * self.period_ps, 10 * self.gate_ps), self.period_ps / 4
        if not low <= self.shift_ps <= high:
            raise ConfigError(
                f"beacon.code_shift: expected {low / PS_PER_S:.3g} to {high / PS_PER_S:.3g} s at a period of "
                f"{self.period_ps / PS_PER_S:.3g} s, got {self.shift_ps / PS_PER_S:.3g} s"
            )
        if smallest_window_beacons < SMALLEST_WINDOW:
            raise ConfigError(
                f"beacon.rate: expected at least {SMALLEST_WINDOW} beacons in a stretch and its margin, "
                f"got {smallest_window_beacons}; raise the rate or lengthen the stretch"
            )

    def refine(self, times: Times, fit: Fit) -> Reading | None:
        """Number the arrivals by a fit that is near, and fit again; None where too few agree with it.

        False tags agree by chance: four times as many as that must agree besides the least number.
        """
        number, distance_ps = self._nearest(times, fit)
        near = np.flatnonzero(np.abs(distance_ps) < self.gate_ps)
        least = _MIN_FIT + 4 * (times.size - near.size) * 2 * self.gate_ps / self.period_ps
        if near.size < least:
            return None
        number = number[near]
        better, kept = self._fitted(times[near], number, self.code[number])
        if np.count_nonzero(kept) < least:
            return None
        used: Mask = np.zeros(times.size, dtype=np.bool_)
        used[near[kept]] = True
        return Reading(better, used, number[kept])

    def acquire(self, times: Times) -> Fit | None:
        """Number arrivals by the code alone; None where it cannot be read."""
        run_ps = int(_RUN * self.period_ps)
        for start in range(int(times[0]), int(times[-1]), run_ps // 2) if times.size else ():
            low, high = np.searchsorted(times, [start, start + run_ps])
            begun = self._begun(times[low:high])
            grown = None if begun is None else self._grown(times, begun)
            if grown is not None:
                fit, number, bits = grown
                first = self._place(number, bits)
                return None if first is None else replace(fit, index=fit.index - int(number[0]) + first)
        return None

    def _nearest(self, times: Times, fit: Fit) -> tuple[Indices, Floats]:
        emission = fit.emission_ps(times)
        step = np.rint((emission - self.shift_ps / 2) / self.period_ps)
        number = fit.index + step.astype(np.int64)
        known = (number >= 0) & (number < self.code.size)
        bit = self.code[np.where(known, number, 0)]
        distance = np.where(known, emission - step * self.period_ps - bit * self.shift_ps, np.inf)
        return number, distance

    def _fitted(self, times: Times, number: Indices, bits: Bits) -> tuple[Fit, Mask]:
        """Least squares by repeated rejection beyond 5 sigma, sigma from the median deviation."""
        origin, first = int(times[times.size // 2]), int(number[number.size // 2])
        dt = (times - origin).astype(np.float64)
        half = float(max(-dt[0], dt[-1], 1.0))
        target = (number - first) * self.period_ps + bits * self.shift_ps - dt
        powers = np.vander(dt / half, 3, increasing=True)
        kept: Mask = np.ones(times.size, dtype=np.bool_)
        for _ in range(_FIT_ROUNDS):
            coefficients = np.linalg.lstsq(powers[kept], target[kept], rcond=None)[0]
            off = np.abs(target - powers @ coefficients)
            now_kept = off <= _OUTLIER_SIGMAS * 1.4826 * np.median(off) + 1.0
            if (now_kept == kept).all():
                break
            kept = now_kept
        variance = 1.0 + float(np.sum(off[kept] ** 2)) / max(int(kept.sum()) - 3, 1)
        covariance = np.asarray(variance * np.linalg.pinv(powers[kept].T @ powers[kept]), np.float64)
        return Fit(origin, first, half, np.asarray(coefficients), spread_of(covariance)), kept

    def _begun(self, times: Times) -> Fit | None:
        """The lines of a short run."""
        if not _RUN_READ <= times.size <= _FALSE_TAGS * _RUN:
            return None
        dt = (times - times[0]).astype(np.float64)
        period = self._arrival_period(dt)
        if period is None:
            return None
        zero, one = self._clusters(dt, period)
        rows = np.flatnonzero(zero | one)
        if rows.size < _RUN_READ:
            return None
        bits = one[rows].astype(np.uint8)
        number = np.rint((dt[rows] - dt[rows[0]] - (bits - float(bits[0])) * self.shift_ps) / period)
        return self._fitted(times[rows], number.astype(np.int64), bits)[0]

    def _arrival_period(self, dt: Floats) -> float | None:
        """From pairs of equal bits, first of neighbours, then farther apart as the period is known better."""
        earlier, later = np.triu_indices(dt.size, 1)
        apart = dt[later] - dt[earlier]
        steps = np.rint(apart / self.period_ps)
        near = (steps >= 1) & (steps <= _REACHES[-1])
        apart, steps = apart[near], steps[near]
        excess = apart - steps * self.period_ps
        slope, wide = 0.0, _MAX_SLOPE * self.period_ps * steps
        for reach in _REACHES:
            agree = (steps <= reach) & (4 * steps > reach) & (np.abs(excess - slope * steps) < wide)
            if reach == _REACHES[0] and np.count_nonzero(agree) < _PAIRS:
                return None
            if agree.any():
                slope = float(np.median(excess[agree] / steps[agree]))
            wide = np.full(steps.size, self._within_ps)
        return self.period_ps + slope

    @property
    def _within_ps(self) -> float:
        return min(_CLUSTER_PS, self.shift_ps / 4)

    def _clusters(self, dt: Floats, period: float) -> tuple[Mask, Mask]:
        """Which arrivals fold to the phase of a 0 and which to that of a 1."""
        apart = dt[:, None] - dt[None, :]
        zero = np.abs(apart - period * np.rint(apart / period)) < self._within_ps
        late = apart - self.shift_ps
        one = np.abs(late - period * np.rint(late / period)) < self._within_ps
        best = int(np.argmax(zero.sum(axis=0) + one.sum(axis=0)))
        return zero[:, best], one[:, best]

    def _grown(self, times: Times, fit: Fit) -> tuple[Fit, Indices, Bits] | None:
        """Widen the fit from its run to all arrivals, doubling, since a short fit predicts only nearby."""
        centre, width = fit.origin_ps, int(_RUN * self.period_ps)
        while True:
            low, high = np.searchsorted(times, [centre - width, centre + width])
            lines = self._on_lines(times[low:high], fit)
            if lines.rows.size < _RUN_READ:
                return None
            fit, kept = self._fitted(times[low:high][lines.rows], lines.number, lines.bits)
            if low == 0 and high == times.size:
                return fit, lines.number[kept], lines.bits[kept]
            width *= 2

    def _on_lines(self, times: Times, fit: Fit) -> _Lines:
        emission = fit.emission_ps(times)
        step = np.rint((emission - self.shift_ps / 2) / self.period_ps)
        late = emission - step * self.period_ps
        bits = (late > self.shift_ps / 2).astype(np.uint8)
        rows = np.flatnonzero(np.abs(late - bits * self.shift_ps) < self.gate_ps)
        number, once = np.unique(fit.index + step[rows].astype(np.int64), return_index=True)
        return _Lines(rows[once], number, bits[rows[once]])

    def _place(self, number: Indices, bits: Bits) -> int | None:
        """Where in the code the first of these bits stands; None where chance could tell it too."""
        number = number - number[0]
        places = self.code.size - int(number[-1])
        if places <= 0:
            return None
        wrong = np.zeros(places, dtype=np.uint8)
        for at, bit in zip(number[:_SCREEN].tolist(), bits[:_SCREEN].tolist(), strict=True):
            wrong += self.code[at : at + places] != bit
        left = np.flatnonzero(wrong <= _SCREEN_MISREAD)
        if left.size == 0:
            return None
        misread = np.zeros(left.size, np.int64)
        for at, bit in zip(number.tolist(), bits.tolist(), strict=True):
            misread += self.code[left + at] != bit
        best = int(np.argmin(misread))
        return int(left[best]) if is_told(bits.size, int(misread[best]), places) else None


def is_told(read: int, misread: int, places: int) -> bool:
    """Whether bits read with so many misread tell their place among so many."""
    if misread > _MISREAD * read:
        return False
    ways = sum(comb(read, k) for k in range(misread + 1))
    return log2(places) + log2(ways) - read <= FALSE_FIND_LOG2
