"""What a station watches besides its counts: bias currents, shares of the detectors, clicks in both bases.

Decoy states and error rates do not see an attacker who steers detectors. Each block is judged before its
bases are told, by what the station itself measures: tags, and the bias currents that a receiver may offer
(`satqkd.devices.Monitored`). Knows no attacker; every limit is a setting, and every reading comes with the
probability that it alarms without an attack.

- **bias_current**: the largest reading of a block against a limit. False alarms by Gaussian noise on the
  current that the block's own clicks draw, at their largest rate in a second.
- **detector_shares**: chi-square of the four detectors' clicks inside the gate against efficiencies and basis
  choice; the limit is a quantile of the non-central distribution that the calibration's tolerance allows,
  three degrees of freedom, widened by the clicks that follow each other as afterpulses.
- **coincidences**: slots with clicks in both bases, of a passive receiver. Independent photons give at least
  lambda = sum of z (1 - z) N^2 / S over seconds with N slots that clicked of S: fading and unlike classes
  only add. The limit is the largest number that a Poisson number of mean lambda stays at or below with less
  than the false-alarm probability; there is none where lambda is too small to tell.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtrix, ndtr, pdtr

from satqkd.config import Monitors
from satqkd.config import Receiver as ReceiverSettings
from satqkd.constants import ELEMENTARY_CHARGE_C, PS_PER_S
from satqkd.devices import Monitored, Receiver
from satqkd.distill.parameters import Parameters
from satqkd.distill.recovery import Resolved
from satqkd.records import BEACON_CHANNEL, SWAPPED

Name = Literal["bias_current", "detector_shares", "coincidences"]
Slots = NDArray[np.int64]
DETECTOR_NAMES: Final = ("H", "V", "+", "-")


class MonitorReading(msgspec.Struct, frozen=True, kw_only=True):
    """One monitor's reading of one block."""

    block: int
    monitor: Name
    reading: float | None = None
    """Amperes, chi-square, or a number of slots; None where the receiver gives none."""
    limit: float | None = None
    """Beyond it is an alarm; None where so few clicks could never alarm."""
    false_alarm: float | None = None
    """At most the probability of an alarm without an attack; None where there was no reading."""
    alarm: bool = False
    told: str
    """In words."""


class _Watched:
    """What the clicks of one block showed so far."""

    def __init__(self) -> None:
        self.clicks = np.zeros(4, np.int64)
        """Inside the gate, by detector."""
        self.by_second: dict[int, int] = defaultdict(int)
        """Slots that clicked."""
        self.both_bases = 0

    @property
    def largest_rate_hz(self) -> float:
        """Of the busiest detector in the busiest second."""
        share = float(self.clicks.max() / max(int(self.clicks.sum()), 1))
        return share * max(self.by_second.values(), default=0)

    def add(self, slots: Slots, detector: NDArray[np.uint8], rate_hz: float) -> None:
        """Clicks inside the gate."""
        self.clicks += np.bincount(detector, minlength=4)
        seen = np.unique(slots)
        seconds, counts = np.unique((seen / rate_hz).astype(np.int64), return_counts=True)
        for second, count in zip(seconds.tolist(), counts.tolist(), strict=True):
            self.by_second[second] += count
        in_z, in_x = np.unique(slots[detector < 2]), np.unique(slots[detector >= 2])
        self.both_bases += in_z.size + in_x.size - seen.size


class StationMonitors:
    """The monitors of a station that its settings name, over one pass."""

    def __init__(self, settings: ReceiverSettings, parameters: Parameters, receiver: Receiver) -> None:
        self._settings, self._limits, self._parameters = settings, settings.monitors, parameters
        self._receiver = receiver
        blocks = range(parameters.protocol.blocks + 1)
        self._edges = np.array([parameters.first_slot(block) for block in blocks], np.int64)
        self._rate_hz = parameters.source.pulse_rate_hz
        self._watched: dict[int, _Watched] = defaultdict(_Watched)
        self._any = settings.monitors != Monitors()

    def feed(self, clicks: Resolved) -> None:
        """Clicks with their slots, each once; a block's clicks may come after its last slot."""
        if not self._any:
            return
        inside = np.abs(clicks.residual_ps) <= self._settings.gate_s * PS_PER_S / 2
        slots, channel = clicks.slot[inside], clicks.channel[inside]
        detector = np.where(channel > BEACON_CHANNEL, channel - SWAPPED, channel).astype(np.uint8)
        block = np.searchsorted(self._edges, slots, "right") - 1
        for each in np.unique(block).tolist():
            self._watched[each].add(slots[block == each], detector[block == each], self._rate_hz)

    def judge(self, block: int) -> tuple[MonitorReading, ...]:
        """All readings of a block whose clicks are all fed; asked once a block, in order."""
        watched = self._watched.pop(block, _Watched())
        found = self._bias_current(block, watched), self._shares(block, watched), self._both(block, watched)
        return tuple(each for each in found if each is not None)

    def _bias_current(self, block: int, watched: _Watched) -> MonitorReading | None:
        limit_a, answer = self._limits.bias_current_limit_a, self._settings.bright_light
        if limit_a is None or answer is None:
            return None
        receiver, end_s = self._receiver, self._parameters.end_s(block)
        rows = receiver.readings(end_s) if isinstance(receiver, Monitored) else None
        if rows is None or rows.t_s.size == 0:
            return MonitorReading(
                block=block, monitor="bias_current", limit=limit_a, told="the receiver gives no readings"
            )
        row, detector = divmod(int(np.argmax(rows.current_a)), 4)
        largest_a, rate_hz = float(rows.current_a[row, detector]), watched.largest_rate_hz
        drawn_a = ELEMENTARY_CHARGE_C * answer.avalanche_electrons * rate_hz
        beyond = (limit_a - drawn_a) / max(answer.current_noise_a, 1e-300)
        return MonitorReading(
            block=block,
            monitor="bias_current",
            reading=largest_a,
            limit=limit_a,
            false_alarm=min(1.0, rows.current_a.size * float(ndtr(-beyond))),
            alarm=largest_a > limit_a,
            told=f"{1e6 * largest_a:.3g} uA on detector {DETECTOR_NAMES[detector]} at {rows.t_s[row]:.1f} s, "
            f"at most {1e6 * limit_a:.3g} uA allowed",
        )

    def _shares(self, block: int, watched: _Watched) -> MonitorReading | None:
        false_alarm, total = self._limits.detector_share_false_alarm, int(watched.clicks.sum())
        if false_alarm is None or total == 0:
            return None
        expected = total * calibrated_shares(self._settings)
        reading = float(((watched.clicks - expected) ** 2 / expected).sum())
        tolerated = total * self._limits.detector_share_tolerance**2
        repeated = 1 + 2 * float(self._settings.detector.each("afterpulse_probability").max())
        limit = repeated * float(chndtrix(1 - false_alarm, 3, tolerated))
        shares = ", ".join(f"{100 * share:.2f}" for share in watched.clicks / total)
        return MonitorReading(
            block=block,
            monitor="detector_shares",
            reading=reading,
            limit=limit,
            false_alarm=false_alarm,
            alarm=reading > limit,
            told=f"clicks of H, V, +, - are {shares} %: chi-square {reading:.1f}, at most {limit:.1f}",
        )

    def _both(self, block: int, watched: _Watched) -> MonitorReading | None:
        false_alarm = self._limits.coincidence_false_alarm
        if false_alarm is None:
            return None
        z, count = self._settings.basis_z_probability, watched.both_bases
        mean = z * (1 - z) * sum(n * n for n in watched.by_second.values()) / self._rate_hz
        most = int(np.searchsorted(pdtr(np.arange(int(mean) + 1), mean), false_alarm)) - 1
        return MonitorReading(
            block=block,
            monitor="coincidences",
            reading=float(count),
            limit=None if most < 0 else float(most),
            false_alarm=false_alarm,
            alarm=count <= most,
            told=f"{count} slots with clicks in both bases, independent photons give {mean:.0f} or more",
        )


def calibrated_shares(settings: ReceiverSettings) -> NDArray[np.float64]:
    """Shares of H, V, +, - of the clicks by light of random states, float64 of shape (4,), summing to 1."""
    z = settings.basis_z_probability
    weight = settings.detector.each("efficiency") * np.array([z, z, 1 - z, 1 - z])
    return np.asarray(weight / weight.sum())


def alarm_reason(readings: Sequence[MonitorReading]) -> str:
    """Why a block is refused, by every monitor that alarms; empty where none does."""
    return "; ".join(f"monitor {each.monitor}: {each.told}" for each in readings if each.alarm)
