"""What clock recovery by beacons and by headers share: stretches, the fit of the clock, and the account.

A click gets a slot where the bound on the error of a fit (`satqkd.distill.fit`) is below a quarter of the
pulse period, be it inside the fit's window or ahead of it: so short outages are bridged, and what cannot be
told is dropped and counted. Everything is decided on stretches of station time, never on how tags came in
batches. No beacons, no pulses, no settings here.
"""

from abc import ABC, abstractmethod
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S
from satqkd.distill.fit import Fit, Floats, Times, bound_at
from satqkd.errors import DataFormatError, LocalProtocolError
from satqkd.records import BEACON_CHANNEL, LARGEST_CHANNEL, Tags

Mask = NDArray[np.bool_]

TOLERATED_PERIODS: Final = 0.25
"""A click is given a slot where the clock's error is bounded by this part of the pulse period."""


class Resolved(msgspec.Struct, frozen=True, eq=False):
    """Detector tags with their slots, in order of time; all arrays of shape (n,)."""

    slot: NDArray[np.int64]
    """Nearest pulse of the source, counted from slot 0."""
    residual_ps: NDArray[np.float64]
    """Emission time minus the centre of the slot."""
    channel: NDArray[np.uint8]
    """0..3: H, V, +, -; 5..8: the same with labels swapped."""
    time_ps: NDArray[np.int64]
    """Station clock, as tagged."""

    def __len__(self) -> int:
        return self.slot.size

    def __repr__(self) -> str:
        return f"Resolved({len(self)} clicks)"


class ClockReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a clock recovery followed, and what was lost. Clicks are detector tags of finished stretches."""

    method: str
    """`beacon` or `header`."""
    beacons_seen: int = 0
    """Tags of the beacon detector."""
    beacons_rejected: int = 0
    """Of these, not used: false tags, outliers, no lock."""
    beacons_missing: int = 0
    """Emitted between the first and the last beacon used, but not used."""
    headers_read: int = 0
    """Stretches in which the public header told the slot number."""
    slips: int = 0
    """Of these, told another one than was counted."""
    resolved_clicks: int
    predicted_clicks: int
    """Of these, given a slot by a fit of earlier stretches."""
    dropped_clicks: int
    """Without a slot."""
    outages_s: tuple[tuple[float, float], ...]
    """Stretches of station time without lock: begin and end, before the first lock too."""


class Recovery(ABC):
    """Feeds on tags in batches of any size, gives clicks with slots once the stretch around them is in.

    A stretch of `stretch_s` is resolved when a tag later than its end by `margin_s` has come (or at
    `flush`); marks from `margin_s` before it to `margin_s` after it make its fit.
    """

    locked: bool
    """Whether the last stretch looked at had a valid fit."""
    ever_locked: bool
    """Whether any stretch had."""
    beacons_seen: int
    """Channel-4 tags of finished stretches."""
    resolved_clicks: int
    predicted_clicks: int
    """Resolved by the fit of an earlier stretch."""
    dropped_clicks: int
    """Detector tags for whose stretch no clock was known well enough."""

    def __init__(self, pulse_period_ps: float, *, stretch_s: float, margin_s: float) -> None:
        self._stretch_ps, self._margin_ps = round(stretch_s * PS_PER_S), round(margin_s * PS_PER_S)
        self._period_ps = pulse_period_ps
        self._clicks = Tags(time_ps=np.zeros(0, np.int64), channel=np.zeros(0, np.uint8))
        self._marks: Times = np.zeros(0, np.int64)
        self._latest_ps: int | None = None
        self._end_ps: int | None = None
        self._best: Fit | None = None
        self._ready: list[Resolved] = []
        self._lost_ps: list[tuple[int, int]] = []
        self._flushed = False
        self.locked = self.ever_locked = False
        self.beacons_seen = self.resolved_clicks = self.predicted_clicks = self.dropped_clicks = 0

    @abstractmethod
    def report(self) -> ClockReport:
        """What was followed and lost so far."""

    @abstractmethod
    def _marks_of(self, tags: Tags) -> Times:
        """The tags that tell the clock."""

    @abstractmethod
    def _follow(self, start_ps: int, end_ps: int, window: Times) -> Fit | None:
        """The clock about a stretch, from the marks around it; None where they do not tell it."""

    @abstractmethod
    def _origin(self, fit: Fit) -> tuple[int, float]:
        """Slot before the fit's event, and how long after the centre of that slot the event is, ps."""

    def _learn(self, emission_ps: Floats) -> None:  # noqa: B027 - most have nothing to learn
        """Take the phases of the clicks of a locked stretch, for the stretches after it."""

    @property
    def delay_s(self) -> float:
        """A click has its slot so long after it came at the latest, while tags keep coming."""
        return (self._stretch_ps + self._margin_ps) / PS_PER_S

    def feed(self, tags: Tags) -> None:
        """Take the next tags of the pass; raises DataFormatError when they go back in time or name a
        channel above 8, LocalProtocolError after `flush`."""
        if self._flushed:
            raise LocalProtocolError("clock recovery: tags fed after flush; make a new one for a new pass")
        if len(tags) == 0:
            return
        self._check_order(tags)
        is_click = tags.channel != BEACON_CHANNEL
        self._marks = np.concatenate([self._marks, self._marks_of(tags)])
        self._clicks = Tags(
            time_ps=np.concatenate([self._clicks.time_ps, tags.time_ps[is_click]]),
            channel=np.concatenate([self._clicks.channel, tags.channel[is_click]]),
        )
        self._latest_ps = int(tags.time_ps[-1])

    def resolved(self) -> Resolved:
        """Clicks of the stretches that can be decided by now and were not returned before."""
        while (start_ps := self._next_start()) is not None:
            if not self._flushed and not self._complete(start_ps):
                break
            self._resolve(start_ps)
        ready, self._ready = self._ready, []
        return joined(ready)

    def flush(self) -> Resolved:
        """The pass is over: decide what is left with the marks there are."""
        self._flushed = True
        return self.resolved()

    def _check_order(self, tags: Tags) -> None:
        before = tags.time_ps[0] if self._latest_ps is None else self._latest_ps
        if tags.time_ps[0] < before or (np.diff(tags.time_ps) < 0).any():
            raise DataFormatError(
                f"tags: expected times that do not decrease, got {int(tags.time_ps.min())} ps after "
                f"{int(before)} ps; sort them before feeding"
            )
        if tags.channel.max() > LARGEST_CHANNEL:
            raise DataFormatError(
                f"tags: expected channels 0..{LARGEST_CHANNEL}, got {int(tags.channel.max())}"
            )

    def _next_start(self) -> int | None:
        first = 0 if self._end_ps is None else int(np.searchsorted(self._marks, self._end_ps))
        times = [*self._marks[first : first + 1].tolist(), *self._clicks.time_ps[:1].tolist()]
        return min(times) // self._stretch_ps * self._stretch_ps if times else None

    def _complete(self, start_ps: int) -> bool:
        latest = self._latest_ps
        return latest is not None and latest >= start_ps + self._stretch_ps + self._margin_ps

    def _resolve(self, start_ps: int) -> None:
        end_ps = start_ps + self._stretch_ps
        low, high = np.searchsorted(self._marks, [start_ps - self._margin_ps, end_ps + self._margin_ps])
        fit = self._follow(start_ps, end_ps, self._marks[low:high])
        self._account(start_ps, end_ps, locked=fit is not None)
        n_clicks = int(np.searchsorted(self._clicks.time_ps, end_ps))
        time_ps, channel = self._clicks.time_ps, self._clicks.channel
        self._place(time_ps[:n_clicks], channel[:n_clicks], fit)
        self._clicks = Tags(time_ps=time_ps[n_clicks:], channel=channel[n_clicks:])
        self._marks = self._marks[np.searchsorted(self._marks, end_ps - self._margin_ps) :]
        self._end_ps = end_ps
        self._remember(fit, end_ps)

    def _account(self, start_ps: int, end_ps: int, *, locked: bool) -> None:
        self.locked = locked
        self.ever_locked |= locked
        if self._end_ps is not None and self._end_ps < start_ps:
            self._lose(self._end_ps, start_ps)
        if not locked:
            self._lose(start_ps, end_ps)

    def _lose(self, start_ps: int, end_ps: int) -> None:
        if self._lost_ps and self._lost_ps[-1][1] == start_ps:
            start_ps = self._lost_ps.pop()[0]
        self._lost_ps.append((start_ps, end_ps))

    def _outages_s(self) -> tuple[tuple[float, float], ...]:
        return tuple((start / PS_PER_S, end / PS_PER_S) for start, end in self._lost_ps)

    def _remember(self, fit: Fit | None, end_ps: int) -> None:
        """Of this fit and the one kept, keep the one that knows more of what comes."""
        ahead_ps = end_ps + self._stretch_ps
        if fit is not None and (
            self._best is None or bound_at(fit, ahead_ps) <= bound_at(self._best, ahead_ps)
        ):
            self._best = fit

    @property
    def _tolerance_ps(self) -> float:
        return TOLERATED_PERIODS * self._period_ps

    def _place(self, time_ps: Times, channel: NDArray[np.uint8], fit: Fit | None) -> None:
        by_fit, by_best = self._told_by(fit, time_ps), self._told_by(self._best, time_ps)
        known = by_fit | by_best
        self.resolved_clicks += int(known.sum())
        self.predicted_clicks += int((known & ~by_fit).sum())
        self.dropped_clicks += int((~known).sum())
        slot, residual_ps = np.zeros(time_ps.size, np.int64), np.zeros(time_ps.size)
        for source, rows in ((self._best, by_best & ~by_fit), (fit, by_fit)):
            if source is not None and rows.any():
                slot[rows], residual_ps[rows] = self._slots(source, time_ps[rows])
        if known.any():
            self._ready.append(Resolved(slot[known], residual_ps[known], channel[known], time_ps[known]))
        if fit is not None and by_fit.any():
            self._learn(self._origin(fit)[1] + fit.emission_ps(time_ps[by_fit]))

    def _told_by(self, fit: Fit | None, time_ps: Times) -> Mask:
        if fit is None or time_ps.size == 0:
            return np.zeros(time_ps.size, np.bool_)
        return np.asarray(fit.bound_ps(time_ps) <= self._tolerance_ps)

    def _slots(self, fit: Fit, time_ps: Times) -> tuple[NDArray[np.int64], Floats]:
        first_slot, phase_ps = self._origin(fit)
        place = phase_ps - self._path_difference_ps() + fit.emission_ps(time_ps)
        steps = np.rint(place / self._period_ps)
        return first_slot + steps.astype(np.int64), place - steps * self._period_ps

    def _path_difference_ps(self) -> float:
        """How much later quantum light is than the events of the fit."""
        return 0.0


def joined(parts: list[Resolved]) -> Resolved:
    """Clicks of consecutive stretches as one record; empty columns for none."""
    return Resolved(
        slot=np.concatenate([np.zeros(0, np.int64), *(part.slot for part in parts)]),
        residual_ps=np.concatenate([np.zeros(0), *(part.residual_ps for part in parts)]),
        channel=np.concatenate([np.zeros(0, np.uint8), *(part.channel for part in parts)]),
        time_ps=np.concatenate([np.zeros(0, np.int64), *(part.time_ps for part in parts)]),
    )
