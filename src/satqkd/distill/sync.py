"""Clock recovery by beacons: which slot of the satellite's source a detector tag of the station belongs to.

Beacon j leaves the satellite at j / rate_hz + code[j] * code_shift_s on the satellite's clock, which also
counts the slots. `satqkd.distill.beacons` numbers the arrivals by the code alone, whatever the offset of the
station's clock. A robust quadratic of emission time against arrival time over a sliding window then absorbs
light time, Doppler, its slope and the drift of the station's clock; what is left of the path difference
between beacon and quantum light comes from the circular mean of earlier detector residuals.

Assumes: fractional frequency error below 1e-4, false beacon tags fewer than 3 per beacon, a path
difference of beacon and quantum light within half a pulse period. Uses clicks only, never settings.
Cubic terms left out: jerk below 3 m/s^3 in low orbit, under 20 ps over the default window.
"""

from typing import Final

import numpy as np

from satqkd.constants import PS_PER_S
from satqkd.distill.beacons import BeaconReader, Bits, Reading
from satqkd.distill.fit import Fit, Floats, Times
from satqkd.distill.recovery import ClockReport, Recovery, Resolved
from satqkd.records import BEACON_CHANNEL, Tags

__all__ = ["ClockRecovery", "ClockReport", "Resolved"]

_MEMORY_STRETCHES: Final = 3  # a fit numbers beacons so far ahead
_SIGNIFICANCE: Final = 30.0  # exp(-30): chance that background alone passes for a pulse histogram


class ClockRecovery(Recovery):
    """Slots of clicks by the beacons among the tags; see `Recovery` for how it is fed.

    rate_hz, code_shift_s: of the beacon. code: uint8 (n,), its public bits from beacon 0 to the last of
    the pass. pulse_period_ps: need not be whole. beacon_gate_ps: a beacon tag farther from its predicted
    time is not used. memory_s: time constant of the fine offset.
    Raises ConfigError when the code could not be told from Doppler or the window holds too few beacons.
    """

    beacons_rejected: int
    """Of the beacons seen, not used: false tags, outliers, no lock."""

    def __init__(
        self,
        rate_hz: float,
        code_shift_s: float,
        code: Bits,
        pulse_period_ps: float,
        *,
        stretch_s: float = 0.1,
        margin_s: float = 0.15,
        beacon_gate_ps: float = 3000.0,
        memory_s: float = 5.0,
    ) -> None:
        super().__init__(pulse_period_ps, stretch_s=stretch_s, margin_s=margin_s)
        self._reader = BeaconReader(PS_PER_S / rate_hz, code_shift_s * PS_PER_S, code, beacon_gate_ps)
        self._reader.check(int((stretch_s + margin_s) * rate_hz))
        self._fine = _FineOffset(pulse_period_ps, forget=float(np.exp(-stretch_s / memory_s)))
        self._fit: Fit | None = None
        self._used = 0
        self._first_number: int | None = None
        self._last_number = 0
        self.beacons_rejected = 0

    @property
    def fine_offset_ps(self) -> float:
        """Path difference of quantum and beacon light as known so far; 0 until clicks tell it."""
        return self._fine.offset_ps

    def report(self) -> ClockReport:
        """What was followed and lost so far."""
        span = 0 if self._first_number is None else self._last_number - self._first_number + 1
        return ClockReport(
            method="beacon",
            beacons_seen=self.beacons_seen,
            beacons_rejected=self.beacons_rejected,
            beacons_missing=span - self._used,
            resolved_clicks=self.resolved_clicks,
            predicted_clicks=self.predicted_clicks,
            dropped_clicks=self.dropped_clicks,
            outages_s=self._outages_s(),
        )

    def _marks_of(self, tags: Tags) -> Times:
        return np.asarray(tags.time_ps[tags.channel == BEACON_CHANNEL])

    def _follow(self, start_ps: int, end_ps: int, window: Times) -> Fit | None:
        reading = self._read(window, start_ps)
        self._fine.age(0 if self._end_ps is None else (end_ps - self._end_ps) // self._stretch_ps)
        own, own_end = np.searchsorted(window, [start_ps, end_ps])
        self.beacons_seen += int(own_end - own)
        self.beacons_rejected += int(own_end - own)
        if reading is None:
            return None
        here = np.flatnonzero((window[reading.used] >= start_ps) & (window[reading.used] < end_ps))
        self.beacons_rejected -= here.size
        if here.size:
            self._used += int(np.unique(reading.number[here]).size)
            first, last = int(reading.number[here[0]]), int(reading.number[here[-1]])
            self._first_number = first if self._first_number is None else self._first_number
            self._last_number = last
        self._fit = reading.fit
        return reading.fit

    def _read(self, window: Times, start_ps: int) -> Reading | None:
        reach = _MEMORY_STRETCHES * self._stretch_ps + self._margin_ps
        if self._fit is not None and start_ps - self._fit.origin_ps <= reach:
            reading = self._reader.refine(window, self._fit)
            if reading is not None:
                return reading
        begun = self._reader.acquire(window)
        return None if begun is None else self._reader.refine(window, begun)

    def _origin(self, fit: Fit) -> tuple[int, float]:
        slot, phase_ps = np.divmod(fit.index * self._reader.period_ps, self._period_ps)
        return int(slot), float(phase_ps)

    def _path_difference_ps(self) -> float:
        return self._fine.offset_ps

    def _learn(self, emission_ps: Floats) -> None:
        self._fine.add(emission_ps)


class _FineOffset:
    """Circular mean of the phase of clicks against the pulse train; uniform background cancels."""

    def __init__(self, period_ps: float, *, forget: float) -> None:
        self.offset_ps = 0.0
        self._period_ps, self._forget = period_ps, forget
        self._sum, self._weight = 0j, 0.0

    def age(self, stretches: int) -> None:
        """Let what is known fade by the forgetting factor per stretch."""
        self._sum *= self._forget**stretches
        self._weight *= self._forget ** (2 * stretches)

    def add(self, emission_ps: Floats) -> None:
        """Learn from the clicks of one stretch, for the stretches after it."""
        turn = 2 * np.pi / self._period_ps
        self._sum += complex(np.exp(1j * turn * np.mod(emission_ps, self._period_ps)).sum())
        self._weight += emission_ps.size
        if abs(self._sum) ** 2 > _SIGNIFICANCE * self._weight:
            step = float(np.angle(self._sum * np.exp(-1j * turn * self.offset_ps)))
            self.offset_ps += step / turn
