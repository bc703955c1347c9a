"""Clock recovery without beacons: slots of clicks from the quantum tags and the public header alone.

The pulse train is found in the clicks of a window (`satqkd.distill.periodicity`) and then followed from
window to window; a public header (`satqkd.distill.headers`), repeated all through the pass, tells the slot
number, and tells again whether it is still the right one. Through a fade the last fit foretells the phase.
Where its error bound passes a quarter of the pulse period the number is lost: the phase is searched anew, and
clicks get slots again from the next header on. Until then they are dropped and counted.

Assumes: the station's clock known to within half the product of the header's code lengths, 67 million slots,
and to a quarter of the interval of headers; a fractional frequency error below 6e-5. Uses clicks only, never
settings.
"""

from typing import Final

import numpy as np

from satqkd.constants import PS_PER_S
from satqkd.distill.fit import Fit, Times, bound_at
from satqkd.distill.headers import find_shift
from satqkd.distill.periodicity import bridge_train, find_train, follow_train
from satqkd.distill.recovery import ClockReport, Recovery
from satqkd.errors import ConfigError
from satqkd.header import SMALLEST_HEADER_SLOTS, PublicHeader, is_public
from satqkd.records import BEACON_CHANNEL, Tags

_INSIDE: Final = 0.9  # of the most that a header fills of a window: it is asked again


class HeaderRecovery(Recovery):
    """Slots of clicks by the clicks themselves; see `Recovery` for how it is fed. Beacon tags are ignored.

    pulse_period_ps: need not be whole. header: the satellite's. light_time_s: about what the light takes, for
    a first guess of the slot from the station's clock.
    Raises ConfigError for a header too short to be read.
    """

    headers_read: int
    """Stretches in which a header told the slot number."""
    slips: int
    """Of these, told another one than was counted: clicks before had wrong slots."""

    def __init__(
        self,
        pulse_period_ps: float,
        header: PublicHeader,
        *,
        light_time_s: float,
        stretch_s: float = 0.1,
        margin_s: float = 0.2,
    ) -> None:
        super().__init__(pulse_period_ps, stretch_s=stretch_s, margin_s=margin_s)
        if not SMALLEST_HEADER_SLOTS <= header.header_slots <= header.interval_slots // 2:
            raise ConfigError(
                f"header: expected {SMALLEST_HEADER_SLOTS} slots to half of the interval of "
                f"{header.interval_slots}, got {header.header_slots}; lengthen the header or the interval"
            )
        self._header = header
        self._light_ps = light_time_s * PS_PER_S
        window_ps = self._stretch_ps + 2 * self._margin_ps
        self._asked_from = _INSIDE * min(1.0, header.header_slots * pulse_period_ps / window_ps)
        self._phase: Fit | None = None
        self._numbered = False
        self.headers_read = self.slips = 0

    def report(self) -> ClockReport:
        """What was followed and lost so far."""
        return ClockReport(
            method="header",
            beacons_seen=self.beacons_seen,
            headers_read=self.headers_read,
            slips=self.slips,
            resolved_clicks=self.resolved_clicks,
            predicted_clicks=self.predicted_clicks,
            dropped_clicks=self.dropped_clicks,
            outages_s=self._outages_s(),
        )

    def _marks_of(self, tags: Tags) -> Times:
        return np.asarray(tags.time_ps[tags.channel != BEACON_CHANNEL])

    def _origin(self, fit: Fit) -> tuple[int, float]:
        return fit.index, 0.0

    def _follow(self, start_ps: int, end_ps: int, window: Times) -> Fit | None:
        ahead_ps = end_ps + self._stretch_ps
        fit = self._phase_of(window, (start_ps + end_ps) // 2, ahead_ps)
        if fit is None:
            return None
        fit = self._asked(fit, window)
        self._keep(fit, ahead_ps)
        return fit if self._numbered else None

    def _phase_of(self, window: Times, middle_ps: int, ahead_ps: int) -> Fit | None:
        """The train in a window: as foretold while that is sure enough, else searched, its number lost."""
        near, tolerance_ps = self._phase, self._tolerance_ps
        if near is not None and bound_at(near, middle_ps) <= tolerance_ps:
            fit = follow_train(window, near, self._period_ps, tolerance_ps=tolerance_ps)
            if fit is not None and bound_at(fit, ahead_ps) <= bound_at(near, ahead_ps):
                return fit
            bridged = bridge_train(window, near, self._period_ps, tolerance_ps=tolerance_ps)
            return fit if bridged is None else bridged
        self._phase, self._numbered = None, False
        found = find_train(window, self._period_ps)
        if found is None:
            return None
        return follow_train(window, found, self._period_ps, tolerance_ps=tolerance_ps) or found

    def _keep(self, fit: Fit, ahead_ps: int) -> None:
        """Foretell by whichever fit knows more of what comes."""
        if self._phase is None or bound_at(fit, ahead_ps) <= bound_at(self._phase, ahead_ps):
            self._phase = fit

    def _asked(self, fit: Fit, window: Times) -> Fit:
        """The fit, numbered by the header where there is one in the window."""
        periods = fit.emission_ps(window) / self._period_ps
        numbers = fit.index + np.rint(periods).astype(np.int64)
        if self._numbered and np.mean(is_public(numbers, self._header)) < self._asked_from:
            return fit
        slot = (fit.origin_ps - self._light_ps) / self._period_ps
        phase_rad = 2 * np.pi * (periods - np.rint(periods))
        shift = find_shift(numbers, phase_rad, round(slot) - fit.index, self._header)
        if shift is None:
            return fit
        self.headers_read += 1
        if self._numbered and shift != 0:
            self.slips += 1
        if shift != 0:
            self._phase = self._best = None
        self._numbered = True
        return Fit(fit.origin_ps, fit.index + shift, fit.half_ps, fit.coefficients_ps, fit.spread_ps)
