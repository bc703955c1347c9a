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

from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
from satqkd.mission.watched import Watched
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


class StationMonitors:
    """The monitors of a station that its settings name, over one pass.

    earlier: what an earlier process of this pass watched, by block. tells_currents: a receiver that should
    tell bias currents and tells none in a block is an alarm; False for recordings, which have none.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        parameters: Parameters,
        receiver: Receiver,
        *,
        earlier: Mapping[int, Watched] = MappingProxyType({}),
        tells_currents: bool = True,
    ) -> None:
        self._settings, self._limits, self._parameters = settings, settings.monitors, parameters
        self._receiver, self._tells_currents = receiver, tells_currents
        blocks = range(parameters.protocol.blocks + 1)
        self._edges = np.array([parameters.first_slot(block) for block in blocks], np.int64)
        self._rate_hz = parameters.source.pulse_rate_hz
        self._watched = dict(earlier)
        self._fresh: dict[int, Watched] = {}
        self._any = settings.monitors != Monitors()

    def feed(self, clicks: Resolved) -> None:
        """Clicks with their slots, each once; a block's clicks may come after its last slot."""
        if not self._any or clicks.slot.size == 0:
            return
        inside = np.abs(clicks.residual_ps) <= self._settings.gate_s * PS_PER_S / 2
        slots, channel = clicks.slot[inside], clicks.channel[inside]
        detector = np.where(channel > BEACON_CHANNEL, channel - SWAPPED, channel).astype(np.uint8)
        block = np.searchsorted(self._edges, slots, "right") - 1
        for each in np.flatnonzero(np.bincount(block)).tolist():
            self._add(each, _stretch(slots[block == each], detector[block == each], self._rate_hz))

    def read_currents(self, until_s: float) -> None:
        """Take the receiver's readings up to a pass time, as it is asked for tags."""
        if self._limits.bias_current_limit_a is None or not isinstance(self._receiver, Monitored):
            return
        rows = self._receiver.readings(until_s)
        ended = np.searchsorted(self._edges, np.ceil(rows.t_s * self._rate_hz), "left") - 1
        block = ended.clip(0, len(self._edges) - 2)  # before the first slot and after the last, too
        for each in set(block.tolist()):
            mine = np.flatnonzero(block == each)
            row, detector = divmod(int(np.argmax(rows.current_a[mine])), 4)
            self._add(
                each,
                Watched(
                    readings=mine.size,
                    largest_a=float(rows.current_a[mine[row], detector]),
                    largest_detector=detector,
                    largest_s=float(rows.t_s[mine[row]]),
                ),
            )

    def news(self) -> dict[int, Watched]:
        """What was watched since the last time, by block, to be kept."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def judge(self, block: int) -> tuple[MonitorReading, ...]:
        """All readings of a block whose clicks are all fed; asked once a block, in order."""
        self.read_currents(self._parameters.end_s(block))
        watched = self._watched.pop(block, Watched())
        found = self._bias_current(block, watched), self._shares(block, watched), self._both(block, watched)
        return tuple(each for each in found if each is not None)

    def _add(self, block: int, stretch: Watched) -> None:
        for kept in (self._watched, self._fresh):
            kept[block] = kept.get(block, Watched()).plus(stretch)

    def _bias_current(self, block: int, watched: Watched) -> MonitorReading | None:
        limit_a, answer = self._limits.bias_current_limit_a, self._settings.bright_light
        if limit_a is None or answer is None:
            return None
        if not watched.readings:
            return MonitorReading(
                block=block,
                monitor="bias_current",
                limit=limit_a,
                alarm=self._tells_currents,
                told="the receiver gives no readings",
            )
        drawn_a = ELEMENTARY_CHARGE_C * answer.avalanche_electrons * watched.largest_rate_hz
        beyond = (limit_a - drawn_a) / max(answer.current_noise_a, 1e-300)
        return MonitorReading(
            block=block,
            monitor="bias_current",
            reading=watched.largest_a,
            limit=limit_a,
            false_alarm=min(1.0, 4 * watched.readings * float(ndtr(-beyond))),
            alarm=watched.largest_a > limit_a,
            told=f"{1e6 * watched.largest_a:.3g} uA on detector {DETECTOR_NAMES[watched.largest_detector]} "
            f"at {watched.largest_s:.1f} s, at most {1e6 * limit_a:.3g} uA allowed",
        )

    def _shares(self, block: int, watched: Watched) -> MonitorReading | None:
        false_alarm, total = self._limits.detector_share_false_alarm, sum(watched.clicks)
        if false_alarm is None or total == 0:
            return None
        expected = total * calibrated_shares(self._settings)
        clicks = np.array(watched.clicks)
        reading = float(((clicks - expected) ** 2 / expected).sum())
        tolerated = total * self._limits.detector_share_tolerance**2
        repeated = 1 + 2 * float(self._settings.detector.each("afterpulse_probability").max())
        limit = repeated * float(chndtrix(1 - false_alarm, 3, tolerated))
        shares = ", ".join(f"{100 * share:.2f}" for share in clicks / total)
        return MonitorReading(
            block=block,
            monitor="detector_shares",
            reading=reading,
            limit=limit,
            false_alarm=false_alarm,
            alarm=reading > limit,
            told=f"clicks of H, V, +, - are {shares} %: chi-square {reading:.1f}, at most {limit:.1f}",
        )

    def _both(self, block: int, watched: Watched) -> MonitorReading | None:
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


def _stretch(slots: Slots, detector: NDArray[np.uint8], rate_hz: float) -> Watched:
    """Clicks inside the gate of one block."""
    h, v, p, m = np.bincount(detector, minlength=4).tolist()
    seen = _distinct(slots)
    second = (seen / rate_hz).astype(np.int64)
    first = int(second[0])
    counts = np.bincount(second - first).tolist()
    return Watched(
        clicks=(h, v, p, m),
        by_second={first + k: count for k, count in enumerate(counts) if count},
        both_bases=_distinct(slots[detector < 2]).size + _distinct(slots[detector >= 2]).size - seen.size,
    )


def _distinct(slots: Slots) -> Slots:
    """Sorted, each once; most batches are nearly sorted."""
    slots = np.sort(slots, kind="stable")
    return slots[np.concatenate([[True], slots[1:] != slots[:-1]])] if slots.size else slots


def calibrated_shares(settings: ReceiverSettings) -> NDArray[np.float64]:
    """Shares of H, V, +, - of the clicks by light of random states, float64 of shape (4,), summing to 1."""
    z = settings.basis_z_probability
    weight = settings.detector.each("efficiency") * np.array([z, z, 1 - z, 1 - z])
    return np.asarray(weight / weight.sum())


def alarm_reason(readings: Sequence[MonitorReading]) -> str:
    """Why a block is refused, by every monitor that alarms; empty where none does."""
    return "; ".join(f"monitor {each.monitor}: {each.told}" for each in readings if each.alarm)
