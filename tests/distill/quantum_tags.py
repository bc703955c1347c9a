"""Clicks of a satellite that sends public headers, over an overhead pass, without a twin."""

from dataclasses import dataclass

import numpy as np

from satqkd.constants import PS_PER_S, SPEED_OF_LIGHT_M_S
from satqkd.distill.beaconless import HeaderRecovery
from satqkd.distill.recovery import Resolved
from satqkd.header import PublicHeader, is_bright, is_public, public_header
from satqkd.randomness import stream
from satqkd.records import Tags

NO_SLOT = -1
"""Of a click that is background."""


@dataclass(frozen=True)
class Train:
    """7.5 km/s at 510 km; a click falls on a slot where the satellite was bright. Rates are of clicks."""

    period_ps: float = 1600.0
    header_s: float = 0.5
    interval_s: float = 5.0
    name: str = "toy"
    start_s: float = 0.0
    duration_s: float = 2.0
    culmination_s: float = 1.0
    offset_s: float = 7.3e-4
    drift: float = -1.9e-5
    signal_hz: float = 10_000.0
    background_hz: float = 500.0
    jitter_ps: float = 150.0
    blind_s: tuple[float, float] | None = None
    """Emission times without signal."""
    seed: int = 1

    def header(self, name: str | None = None) -> PublicHeader:
        sizes = (round(each * PS_PER_S / self.period_ps) for each in (self.header_s, self.interval_s))
        header_slots, interval_slots = sizes
        return public_header(name or self.name, header_slots=header_slots, interval_slots=interval_slots)

    def arrival_ps(self, emission_s: np.ndarray, late_ps: np.ndarray) -> np.ndarray:
        # longdouble: picoseconds survive hundreds of seconds
        light_s = np.hypot(510e3, 7500.0 * (emission_s - self.culmination_s)) / SPEED_OF_LIGHT_M_S
        exact = np.longdouble(emission_s) + np.longdouble(light_s)
        clock = exact * (1 + np.longdouble(self.drift)) + np.longdouble(self.offset_s)
        return np.rint(clock * PS_PER_S + late_ps).astype(np.int64)

    def tags(self) -> tuple[Tags, np.ndarray, np.ndarray]:
        """Tags; the true slot of each, or NO_SLOT; how late each was."""
        rng = stream(self.seed, "train")
        first, end = (
            int(each * PS_PER_S / self.period_ps) for each in (self.start_s, self.start_s + self.duration_s)
        )
        slot = np.sort(rng.integers(first, end, rng.poisson(2 * self.signal_hz * self.duration_s)))
        header = self.header()
        bright = np.where(is_public(slot, header), is_bright(slot, header), rng.random(slot.size) < 0.5)
        slot = slot[bright]
        emission_s = slot * (np.longdouble(self.period_ps) / PS_PER_S)
        if self.blind_s is not None:
            seen = (emission_s < self.blind_s[0]) | (emission_s > self.blind_s[1])
            slot, emission_s = slot[seen], emission_s[seen]
        late = rng.normal(0, self.jitter_ps, slot.size)
        edges = self.arrival_ps(np.array([self.start_s, self.start_s + self.duration_s]), np.zeros(2))
        noise = rng.integers(*edges, rng.poisson(self.background_hz * self.duration_s))
        times = np.concatenate([self.arrival_ps(emission_s, late), noise])
        order = np.argsort(times, kind="stable")
        channel = rng.integers(0, 4, times.size).astype(np.uint8)
        truth = np.concatenate([slot, np.full(noise.size, NO_SLOT)])
        lateness = np.concatenate([late, np.zeros(noise.size)])
        return Tags(times[order], channel), truth[order], lateness[order]

    def recovery(self, name: str | None = None, **options: float) -> HeaderRecovery:
        return HeaderRecovery(self.period_ps, self.header(name), light_time_s=0.003, **options)


@dataclass(frozen=True)
class Followed:
    """What a recovery made of a train; rows are those of the clicks given a slot."""

    clicks: Resolved
    machine: HeaderRecovery
    slot: np.ndarray
    late_ps: np.ndarray

    @property
    def wrong(self) -> int:
        """Signal clicks that were given another slot than theirs, by more than their own jitter."""
        signal = self.slot != NO_SLOT
        return int((np.abs(self.clock_error_ps[signal]) > 0.25 * self.machine._period_ps).sum())

    @property
    def clock_error_ps(self) -> np.ndarray:
        """Where each click was put less where it belongs; of background, nonsense."""
        return (
            (self.clicks.slot - self.slot) * self.machine._period_ps + self.clicks.residual_ps - self.late_ps
        )


def follow(train: Train, machine: HeaderRecovery | None = None, pieces: int = 1) -> Followed:
    """Feed a train, in so many batches."""
    tags, slot, late = train.tags()
    machine = train.recovery() if machine is None else machine
    parts = []
    for rows in np.array_split(np.arange(len(tags)), pieces):
        machine.feed(Tags(tags.time_ps[rows], tags.channel[rows]))
        parts.append(machine.resolved())
    parts.append(machine.flush())
    names = ("slot", "residual_ps", "channel", "time_ps")
    joined = Resolved(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    kept = np.isin(tags.time_ps, joined.time_ps)
    return Followed(joined, machine, slot[kept], late[kept])
