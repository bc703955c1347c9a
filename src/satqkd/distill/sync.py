"""Clock recovery: which slot of the satellite's source a detector tag of the station belongs to.

Beacon j leaves the satellite at j / rate_hz + code[j] * code_shift_s on the satellite's clock, which also
counts the slots. Gaps that deviate by the code shift spell the code, and enough of it in a row tells j
whatever the offset of the station's clock. A robust quadratic of emission time against arrival time over
a sliding window then absorbs light time, Doppler, its slope and the drift of the station's clock; what is
left of the path difference between beacon and quantum light comes from the circular mean of earlier
detector residuals. Everything is decided on stretches of station time, never on how tags came in batches.

Assumes: fractional frequency error below 1e-4, false beacon tags fewer than 3 per beacon, a path
difference of beacon and quantum light within half a pulse period. Uses clicks only, never settings.
Cubic terms left out: jerk below 1.5 m/s^3 in low orbit, under 20 ps over the default window.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S
from satqkd.errors import ConfigError, DataFormatError, LocalProtocolError
from satqkd.records import BEACON_CHANNEL, Tags

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

_RUN: Final = 64  # beacon periods looked at together when the index is unknown
_RUN_STEP: Final = 32
_RUN_READ: Final = 44  # of which so many must be read: false finds < 2^-33 per code bit at 2 misreadings
_MISREAD: Final = 2
_SCREEN: Final = 24  # bits compared along the whole code before only the survivors are looked at
_FALSE_TAGS: Final = 4  # give up on a run with more tags per period than this
_MAX_SLOPE: Final = 1e-4
_CLUSTER_PS: Final = 20_000.0
_MIN_FIT: Final = 32
_OUTLIER_SIGMAS: Final = 5.0
_FIT_ROUNDS: Final = 4
_REACH_PERIODS: Final = 8  # clicks are resolved so far beyond the outermost accepted beacon
_MEMORY_STRETCHES: Final = 3  # a fit predicts so far ahead
_SIGNIFICANCE: Final = 30.0  # exp(-30): chance that background alone passes for a pulse histogram


class Resolved(msgspec.Struct, frozen=True, eq=False):
    """Detector tags with their slots, in order of time; all arrays of shape (n,)."""

    slot: NDArray[np.int64]
    """Nearest pulse of the source, counted from slot 0."""
    residual_ps: NDArray[np.float64]
    """Emission time minus the centre of the slot."""
    channel: NDArray[np.uint8]
    """0..3: H, V, +, -."""
    time_ps: NDArray[np.int64]
    """Station clock, as tagged."""

    def __len__(self) -> int:
        return self.slot.size

    def __repr__(self) -> str:
        return f"Resolved({len(self)} clicks)"


@dataclass(frozen=True)
class _Fit:
    """Emission relative to beacon `index` = (t - origin) + c0 + c1 x + c2 x^2, x = (t - origin) / half."""

    origin_ps: int
    index: int
    half_ps: float
    coefficients: Floats

    def emission_ps(self, time_ps: Times) -> Floats:
        dt = (time_ps - self.origin_ps).astype(np.float64)
        c0, c1, c2 = self.coefficients
        x = dt / self.half_ps
        return np.asarray(dt + (c0 + x * (c1 + x * c2)))


class ClockRecovery:
    """Feeds on tags in batches of any size, gives clicks with slots once the beacons around them are in.

    A stretch of `stretch_s` is resolved when a tag later than its end by `margin_s` has come (or at
    `flush`); beacons from `margin_s` before it to `margin_s` after it make its fit.

    rate_hz, code_shift_s: of the beacon. code: uint8 (n,), its public bits from beacon 0 to the last of
    the pass. pulse_period_ps: need not be whole. beacon_gate_ps: a beacon tag farther from its predicted
    time is not used. memory_s: time constant of the fine offset.
    Raises ConfigError when the code could not be told from Doppler or the window holds too few beacons.
    """

    locked: bool
    """Whether the last stretch looked at had a valid fit."""
    ever_locked: bool
    """Whether any stretch had."""
    beacons_seen: int
    """Channel-4 tags of finished stretches."""
    beacons_rejected: int
    """Of these, not used: false tags, outliers, no lock."""
    resolved_clicks: int
    dropped_clicks: int
    """Detector tags of stretches without lock, or beyond the reach of the beacons."""

    def __init__(
        self,
        rate_hz: float,
        code_shift_s: float,
        code: NDArray[np.uint8],
        pulse_period_ps: float,
        *,
        stretch_s: float = 0.1,
        margin_s: float = 0.15,
        beacon_gate_ps: float = 3000.0,
        memory_s: float = 5.0,
    ) -> None:
        self._beacon = _Beacon(PS_PER_S / rate_hz, code_shift_s * PS_PER_S, code, beacon_gate_ps)
        self._beacon.check((stretch_s + margin_s) * rate_hz)
        self._stretch_ps, self._margin_ps = round(stretch_s * PS_PER_S), round(margin_s * PS_PER_S)
        self._fine = _FineOffset(pulse_period_ps, forget=float(np.exp(-stretch_s / memory_s)))
        self._period_ps = pulse_period_ps
        self._clicks = Tags(time_ps=np.zeros(0, np.int64), channel=np.zeros(0, np.uint8))
        self._beacons: Times = np.zeros(0, np.int64)
        self._latest_ps: int | None = None
        self._end_ps: int | None = None
        self._fit: _Fit | None = None
        self._ready: list[Resolved] = []
        self._flushed = False
        self.locked = self.ever_locked = False
        self.beacons_seen = self.beacons_rejected = self.resolved_clicks = self.dropped_clicks = 0

    @property
    def fine_offset_ps(self) -> float:
        """Path difference of quantum and beacon light as known so far; 0 until clicks tell it."""
        return self._fine.offset_ps

    def feed(self, tags: Tags) -> None:
        """Take the next tags of the pass; raises DataFormatError when they go back in time or name a
        channel above 4, LocalProtocolError after `flush`."""
        if self._flushed:
            raise LocalProtocolError("clock recovery: tags fed after flush; make a new one for a new pass")
        if len(tags) == 0:
            return
        self._check_order(tags)
        is_beacon = tags.channel == BEACON_CHANNEL
        self._beacons = np.concatenate([self._beacons, tags.time_ps[is_beacon]])
        self._clicks = Tags(
            time_ps=np.concatenate([self._clicks.time_ps, tags.time_ps[~is_beacon]]),
            channel=np.concatenate([self._clicks.channel, tags.channel[~is_beacon]]),
        )
        self._latest_ps = int(tags.time_ps[-1])

    def resolved(self) -> Resolved:
        """Clicks of the stretches that can be decided by now and were not returned before."""
        while (start_ps := self._next_start()) is not None:
            if not self._flushed and not self._complete(start_ps):
                break
            self._resolve(start_ps)
        ready, self._ready = self._ready, []
        return _joined(ready)

    def flush(self) -> Resolved:
        """The pass is over: decide what is left with the beacons there are."""
        self._flushed = True
        return self.resolved()

    def _check_order(self, tags: Tags) -> None:
        before = tags.time_ps[0] if self._latest_ps is None else self._latest_ps
        if tags.time_ps[0] < before or (np.diff(tags.time_ps) < 0).any():
            raise DataFormatError(
                f"tags: expected times that do not decrease, got {int(tags.time_ps.min())} ps after "
                f"{int(before)} ps; sort them before feeding"
            )
        if tags.channel.max() > BEACON_CHANNEL:
            raise DataFormatError(
                f"tags: expected channels 0..{BEACON_CHANNEL}, got {int(tags.channel.max())}"
            )

    def _next_start(self) -> int | None:
        first = 0 if self._end_ps is None else int(np.searchsorted(self._beacons, self._end_ps))
        times = [*self._beacons[first : first + 1].tolist(), *self._clicks.time_ps[:1].tolist()]
        return min(times) // self._stretch_ps * self._stretch_ps if times else None

    def _complete(self, start_ps: int) -> bool:
        latest = self._latest_ps
        return latest is not None and latest >= start_ps + self._stretch_ps + self._margin_ps

    def _resolve(self, start_ps: int) -> None:
        end_ps = start_ps + self._stretch_ps
        low, own, own_end, high = np.searchsorted(
            self._beacons, [start_ps - self._margin_ps, start_ps, end_ps, end_ps + self._margin_ps]
        )
        window = self._beacons[low:high]
        fit, used = self._track(window, start_ps)
        self._fine.age(0 if self._end_ps is None else (end_ps - self._end_ps) // self._stretch_ps)
        self.locked = fit is not None
        self.ever_locked |= self.locked
        self.beacons_seen += int(own_end - own)
        self.beacons_rejected += int((~used[own - low : own_end - low]).sum())
        n_clicks = int(np.searchsorted(self._clicks.time_ps, end_ps))
        time_ps, channel = self._clicks.time_ps, self._clicks.channel
        self._place(time_ps[:n_clicks], channel[:n_clicks], fit, window[used])
        self._clicks = Tags(time_ps=time_ps[n_clicks:], channel=channel[n_clicks:])
        self._beacons = self._beacons[np.searchsorted(self._beacons, end_ps - self._margin_ps) :]
        self._end_ps = end_ps

    def _track(self, window: Times, start_ps: int) -> tuple[_Fit | None, Mask]:
        none: Mask = np.zeros(window.size, dtype=np.bool_)
        reach = _MEMORY_STRETCHES * self._stretch_ps + self._margin_ps
        if self._fit is not None and start_ps - self._fit.origin_ps <= reach:
            fit, used = self._beacon.refine(window, self._fit)
        else:
            fit, used = None, none
        if fit is None and (begun := self._beacon.acquire(window)) is not None:
            fit, used = self._beacon.refine(window, begun)
        self._fit = fit or self._fit
        return fit, used

    def _place(self, time_ps: Times, channel: NDArray[np.uint8], fit: _Fit | None, used: Times) -> None:
        inside: Mask = np.zeros(time_ps.size, dtype=np.bool_)
        if fit is not None:
            reach = round(_REACH_PERIODS * self._beacon.period_ps)
            inside = (time_ps >= used[0] - reach) & (time_ps <= used[-1] + reach)
        self.resolved_clicks += int(inside.sum())
        self.dropped_clicks += int((~inside).sum())
        if fit is None or not inside.any():
            return
        first_slot, phase_ps = np.divmod(fit.index * self._beacon.period_ps, self._period_ps)
        emission_ps = phase_ps + fit.emission_ps(time_ps[inside])
        place = emission_ps - self._fine.offset_ps
        steps = np.rint(place / self._period_ps)
        slot = int(first_slot) + steps.astype(np.int64)
        residual_ps = place - steps * self._period_ps
        self._ready.append(Resolved(slot, residual_ps, channel[inside], time_ps[inside]))
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


@dataclass(frozen=True)
class _Beacon:
    """The beacon's timetable in picoseconds, and what its arrivals tell."""

    period_ps: float
    shift_ps: float
    code: NDArray[np.uint8]
    gate_ps: float

    def check(self, smallest_window: float) -> None:
        low, high = max(4 * _MAX_SLOPE * self.period_ps, 10 * self.gate_ps), self.period_ps / 4
        if not low <= self.shift_ps <= high:
            raise ConfigError(
                f"beacon.code_shift: expected {low / PS_PER_S:.3g} to {high / PS_PER_S:.3g} s at a period of "
                f"{self.period_ps / PS_PER_S:.3g} s, got {self.shift_ps / PS_PER_S:.3g} s"
            )
        if smallest_window < _RUN + _RUN_STEP:
            raise ConfigError(
                f"beacon.rate: expected at least {_RUN + _RUN_STEP} beacons in a stretch and its margin, "
                f"got {smallest_window:.1f}; raise the rate or lengthen the stretch"
            )

    def refine(self, times: Times, fit: _Fit) -> tuple[_Fit | None, Mask]:
        """Number the arrivals by a fit that is near, and fit again; the mask says which were used."""
        used: Mask = np.zeros(times.size, dtype=np.bool_)
        index, distance_ps = self._nearest(times, fit)
        near = np.flatnonzero(np.abs(distance_ps) < self.gate_ps)
        if near.size < _MIN_FIT:
            return None, used
        better, kept = self._fitted(times[near], index[near])
        if np.count_nonzero(kept) < _MIN_FIT:
            return None, used
        used[near[kept]] = True
        return better, used

    def acquire(self, times: Times) -> _Fit | None:
        """Number arrivals by the code alone; None where no run of them can be read."""
        run_ps, step_ps = int(_RUN * self.period_ps), int(_RUN_STEP * self.period_ps)
        for start in range(int(times[0]), int(times[-1]), step_ps) if times.size else ():
            low, high = np.searchsorted(times, [start, start + run_ps])
            read = self._read(times[low:high])
            first = None if read is None else self._find(read[1], read[2])
            if read is not None and first is not None:
                fit, _ = self._fitted(times[low:high][read[0]], first + read[1])
                return self._grown(times, fit)
        return None

    def _grown(self, times: Times, fit: _Fit) -> _Fit | None:
        """Widen the fit from its run to all arrivals, doubling, since a short fit predicts only nearby."""
        centre, width = fit.origin_ps, int(_RUN * self.period_ps)
        found: _Fit | None = fit
        while found is not None and (centre - width > times[0] or centre + width < times[-1]):
            low, high = np.searchsorted(times, [centre - width, centre + width])
            found, width = self.refine(times[low:high], found)[0], 2 * width
        return found

    def _nearest(self, times: Times, fit: _Fit) -> tuple[Indices, Floats]:
        emission = fit.emission_ps(times)
        step = np.rint((emission - self.shift_ps / 2) / self.period_ps)
        index = fit.index + step.astype(np.int64)
        known = (index >= 0) & (index < self.code.size)
        bit = self.code[np.where(known, index, 0)]
        distance = np.where(known, emission - step * self.period_ps - bit * self.shift_ps, np.inf)
        return index, distance

    def _fitted(self, times: Times, index: Indices) -> tuple[_Fit, Mask]:
        """Least squares by repeated rejection beyond 5 sigma, sigma from the median deviation."""
        origin, first = int(times[times.size // 2]), int(index[index.size // 2])
        dt = (times - origin).astype(np.float64)
        half = float(max(-dt[0], dt[-1], 1.0))
        target = (index - first) * self.period_ps + self.code[index] * self.shift_ps - dt
        powers = np.vander(dt / half, 3, increasing=True)
        kept: Mask = np.ones(times.size, dtype=np.bool_)
        for _ in range(_FIT_ROUNDS):
            coefficients = np.linalg.lstsq(powers[kept], target[kept], rcond=None)[0]
            off = np.abs(target - powers @ coefficients)
            now_kept = off <= _OUTLIER_SIGMAS * 1.4826 * np.median(off) + 1.0
            if (now_kept == kept).all():
                break
            kept = now_kept
        return _Fit(origin, first, half, np.asarray(coefficients)), kept

    def _read(self, times: Times) -> tuple[Indices, Indices, NDArray[np.uint8]] | None:
        """Rows used, period numbers from an unknown start, and code bits of one run of arrivals."""
        period = self._arrival_period(times)
        if period is None:
            return None
        dt = (times - times[0]).astype(np.float64)
        zero, one = self._clusters(dt, period)
        rows = np.flatnonzero(zero | one)
        bits = one[rows].astype(np.uint8)
        number = np.rint((dt[rows] - dt[rows[0]] - (bits - float(bits[0])) * self.shift_ps) / period)
        number, once = np.unique(number.astype(np.int64), return_index=True)
        if number.size < _RUN_READ:
            return None
        return rows[once], number - number[0], bits[once]

    def _arrival_period(self, times: Times) -> float | None:
        if not _RUN_READ <= times.size <= _FALSE_TAGS * _RUN:
            return None
        gaps = np.diff(times).astype(np.float64)
        steps = np.rint(gaps / self.period_ps)
        excess = gaps - steps * self.period_ps
        even = (steps >= 1) & (np.abs(excess) < _MAX_SLOPE * steps * self.period_ps)
        if np.count_nonzero(even) < _RUN_READ // 8:
            return None
        return self.period_ps + float(np.median(excess[even] / steps[even]))

    def _clusters(self, dt: Floats, period: float) -> tuple[Mask, Mask]:
        """Which arrivals fold to the phase of a 0 and which to that of a 1."""
        apart = dt[:, None] - dt[None, :]
        within = min(_CLUSTER_PS, self.shift_ps / 4)
        zero = np.abs(apart - period * np.rint(apart / period)) < within
        late = apart - self.shift_ps
        one = np.abs(late - period * np.rint(late / period)) < within
        best = int(np.argmax(zero.sum(axis=0) + one.sum(axis=0)))
        return zero[:, best], one[:, best]

    def _find(self, number: Indices, bits: NDArray[np.uint8]) -> int | None:
        """The one place of the code that fits these bits with at most 2 misreadings, else None."""
        places = self.code.size - int(number[-1])
        if places <= 0:
            return None
        wrong = np.zeros(places, dtype=np.uint8)
        for at, bit in zip(number[:_SCREEN].tolist(), bits[:_SCREEN].tolist(), strict=True):
            wrong += self.code[at : at + places] != bit
        left = np.flatnonzero(wrong <= _MISREAD)
        mismatches = (self.code[left[:, None] + number[None, :]] != bits[None, :]).sum(axis=1)
        found = left[mismatches <= _MISREAD]
        return int(found[0]) if found.size == 1 else None


def _joined(parts: list[Resolved]) -> Resolved:
    return Resolved(
        slot=np.concatenate([np.zeros(0, np.int64), *(part.slot for part in parts)]),
        residual_ps=np.concatenate([np.zeros(0), *(part.residual_ps for part in parts)]),
        channel=np.concatenate([np.zeros(0, np.uint8), *(part.channel for part in parts)]),
        time_ps=np.concatenate([np.zeros(0, np.int64), *(part.time_ps for part in parts)]),
    )
