"""The laser beam as the emulator plays it: one direction, datagrams in, what arrives of them out.

A frame waits for the transmitter, takes bits / rate to send, flies for the light time and may be lost with a
probability that changes in time, or in an outage. One random number is drawn per frame submitted, whatever
becomes of it, so the fate of the n-th frame depends on the generator alone. Frames are whole or lost, and in
order, unless `fates` say otherwise. Knows no frame layout and no clock.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.errors import ConfigError
from satqkd.lasercom.fates import Fate, Fates

OUTAGE_LOSS: Final = 0.9
OUTAGE_S: Final = 1.0
"""A fade shorter than this is no outage."""
_BIN_S: Final = 0.1


class ChannelCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one direction was given and what it swallowed."""

    bytes: int = 0
    """Of frames submitted."""
    frames: int = 0
    """Frames submitted."""
    lost: int = 0
    """Frames sent and lost, at random, in a burst or in an outage."""
    dropped: int = 0
    """Frames that found the transmitter's queue full; never sent."""
    corrupted: int = 0
    """Frames that arrived with bytes changed; second copies are whole."""
    duplicated: int = 0
    """Frames that arrived twice."""
    reordered: int = 0
    """Frames that arrived late, so that others could overtake them."""
    outages: tuple[tuple[float, float], ...] = ()
    """Stretches (from, to) of pass time in which hardly a frame came through, whether any was sent or not."""


class FrameLoss(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Probability in time that a frame is lost by itself: an even grid, linear between, held at its ends."""

    start_s: float
    step_s: float
    probability: NDArray[np.float64]
    """Shape (n,), n >= 1, in [0, 1]."""

    def __post_init__(self) -> None:
        p = self.probability
        if not (p.ndim == 1 and p.size and self.step_s > 0 and ((p >= 0) & (p <= 1)).all()):
            raise ConfigError(
                f"frame loss: expected probabilities in [0, 1] on a grid of positive step, got shape "
                f"{p.shape}, step {self.step_s} s; compute the link again"
            )

    @classmethod
    def constant(cls, frame_loss: float) -> "FrameLoss":
        """The same at all times."""
        return cls(start_s=0.0, step_s=1.0, probability=np.array([frame_loss], dtype=np.float64))

    def at(self, t_s: float) -> float:
        """At one instant."""
        return float(self.along(np.asarray(t_s)))

    def along(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """At these instants, shape of t_s."""
        last = self.probability.size - 1
        place = np.clip((t_s - self.start_s) / self.step_s, 0.0, last)
        cell = np.floor(place).astype(np.intp)
        here, there = self.probability[cell], self.probability[np.minimum(cell + 1, last)]
        return np.asarray(here + (place - cell) * (there - here))

    def outages(self) -> tuple[tuple[float, float], ...]:
        """Stretches (from, to) of at least `OUTAGE_S` in which nine frames of ten are lost or more."""
        bins = max(round(_BIN_S / self.step_s), 1)
        whole = self.probability[: self.probability.size // bins * bins]
        bad = np.concatenate([[False], whole.reshape(-1, bins).mean(axis=1) >= OUTAGE_LOSS, [False]])
        edges = np.flatnonzero(np.diff(bad.astype(np.int8))).reshape(-1, 2)
        at_s = self.start_s + edges * bins * self.step_s
        return tuple((float(low), float(high)) for low, high in at_s if high - low >= OUTAGE_S)


class Channel:
    """One direction of the laser link.

    rate_bit_s: of the line; frame_loss: probability that a frame is lost by itself, as it begins to be sent.
    rng: draws one number per frame submitted.
    maximum_queue_bytes: what may wait for the transmitter, the frame on the line included; senders that
        keep to the rate never fill it.
    outages: intervals (from, to) in seconds of `now_s`; a frame whose emission touches one is lost.
    fates: what befalls frames besides; one is taken per frame submitted.
    Raises ConfigError for a value out of range.
    """

    def __init__(
        self,
        *,
        rate_bit_s: float,
        frame_loss: FrameLoss,
        rng: np.random.Generator,
        maximum_queue_bytes: int = 1 << 20,
        outages: Sequence[tuple[float, float]] = (),
        fates: Fates | None = None,
    ) -> None:
        if not (rate_bit_s > 0 and math.isfinite(rate_bit_s)):
            raise ConfigError(f"laser channel: expected rate_bit_s > 0, got {rate_bit_s}")
        if maximum_queue_bytes <= 0 or any(not start < end for start, end in outages):
            raise ConfigError(
                f"laser channel: expected maximum_queue_bytes > 0 and outages (from, to) with from < to, "
                f"got {maximum_queue_bytes} and {list(outages)}"
            )
        self._rate_bit_s = rate_bit_s
        self._frame_loss = frame_loss
        self._rng = rng
        self._maximum_queue_bytes = maximum_queue_bytes
        self._outages = tuple(outages)
        self._fates = fates
        self._free_s = -math.inf
        self._flying: list[tuple[float, int, bytes]] = []
        self._pushed = 0
        self._bytes = self._frames = self._lost = self._dropped = 0
        self._corrupted = self._duplicated = self._reordered = 0

    def submit(self, datagram: bytes, now_s: float, light_time_s: float) -> None:
        """Give a datagram to the transmitter at `now_s`, not earlier than the one before it."""
        chance = float(self._rng.random())
        fate = None if self._fates is None else self._fates.next()
        self._bytes += len(datagram)
        self._frames += 1
        start_s = max(self._free_s, now_s)
        if (start_s - now_s) * self._rate_bit_s / 8 + len(datagram) > self._maximum_queue_bytes:
            self._dropped += 1
            return
        self._free_s = start_s + 8 * len(datagram) / self._rate_bit_s
        in_burst = self._fates is not None and self._fates.bursts.at(start_s)
        if in_burst or chance < self._frame_loss.at(start_s) or self._interrupted(start_s, self._free_s):
            self._lost += 1
            return
        arrival_s = self._free_s + light_time_s
        if fate is None:
            self._fly(arrival_s, datagram)
        else:
            self._befall(fate, arrival_s, datagram)

    def _befall(self, fate: Fate, arrival_s: float, datagram: bytes) -> None:
        self._reordered += fate.late_s is not None
        self._corrupted += bool(fate.changes)
        self._fly(arrival_s + (fate.late_s or 0.0), fate.damaged(datagram))
        if fate.copy_late_s is not None:
            self._duplicated += 1
            self._fly(arrival_s + fate.copy_late_s, datagram)

    def _fly(self, arrival_s: float, datagram: bytes) -> None:
        heapq.heappush(self._flying, (arrival_s, self._pushed, datagram))
        self._pushed += 1

    def _interrupted(self, start_s: float, end_s: float) -> bool:
        return any(start_s < until_s and end_s > from_s for from_s, until_s in self._outages)

    def due(self, until_s: float) -> list[bytes]:
        """Datagrams that have wholly arrived by `until_s` and were not given before, in order of arrival."""
        arrived = []
        while self._flying and self._flying[0][0] <= until_s:
            arrived.append(heapq.heappop(self._flying)[2])
        return arrived

    @property
    def next_arrival_s(self) -> float | None:
        """When the next datagram arrives; None if none flies."""
        return self._flying[0][0] if self._flying else None

    @property
    def counts(self) -> ChannelCounts:
        """What was submitted, lost and dropped so far."""
        return ChannelCounts(
            self._bytes,
            self._frames,
            self._lost,
            self._dropped,
            self._corrupted,
            self._duplicated,
            self._reordered,
            (*self._outages, *self._frame_loss.outages()),
        )
