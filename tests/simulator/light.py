"""Light from a table: what a made-up source sent, and what came of it, for passes of a few thousand slots.

Stands behind the same door as the twin and hardware. There is nothing to find out about the clock: a tag's
time is that of its slot. Knows no fault, no store, no link.
"""

import numpy as np
from numpy.typing import NDArray

from satqkd.constants import PS_PER_S
from satqkd.distill.parameters import Parameters
from satqkd.distill.recovery import ClockReport, Resolved, joined
from satqkd.randomness import stream
from satqkd.records import Settings, Tags
from session_pair import Table


class Light:
    """All of one pass: both ends' doors open on it, however often they are started."""

    def __init__(self, agreed: Parameters, *, seed: int, qber: float, horizon_slots: int | None) -> None:
        self.table = Table(agreed, seed=seed, qber=qber)
        self.horizon_slots = horizon_slots
        self.rate_hz = agreed.source.pulse_rate_hz
        ties = stream(seed, "ties").integers(0, 256, 64, dtype=np.uint8)
        self.ties = ties.tobytes()

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """The transmitter's answer."""
        return self.table.settings(slots)

    def receiver(self) -> "TableReceiver":
        """Of a station that starts."""
        return TableReceiver(self)


class TableReceiver:
    """Tags of the table's detections; what came before the station started is lost to it."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._row = 0

    def skip(self, until_s: float) -> None:
        """Nobody looked at what came before."""
        self._row = self._row_at(until_s)

    def read(self, until_s: float) -> Tags:
        """The next stretch."""
        rows = slice(self._row, max(self._row, self._row_at(until_s)))
        self._row = rows.stop
        table = self._light.table
        time_ps = np.rint(table.slots[rows] * (PS_PER_S / self._light.rate_hz)).astype(np.int64)
        return Tags(time_ps, (2 * table.bases[rows] + table.bits[rows]).astype(np.uint8))

    def _row_at(self, until_s: float) -> int:
        return int(np.searchsorted(self._light.table.slots, until_s * self._light.rate_hz))


class TableClock:
    """Clock recovery where there is nothing to recover."""

    delay_s = 0.0
    dropped_clicks = 0

    def __init__(self, rate_hz: float) -> None:
        self._period_ps = PS_PER_S / rate_hz
        self._ready: list[Resolved] = []
        self.locked = self.ever_locked = False
        self.beacons_seen = self.clicks = 0

    def feed(self, tags: Tags) -> None:
        """Each tag tells its slot."""
        self.locked = self.ever_locked = True
        self.clicks += len(tags)
        slot = np.rint(tags.time_ps / self._period_ps).astype(np.int64)
        self._ready.append(Resolved(slot, np.zeros(len(tags)), tags.channel, tags.time_ps))

    def resolved(self) -> Resolved:
        """All that was fed."""
        ready, self._ready = self._ready, []
        return joined(ready)

    flush = resolved

    def report(self) -> ClockReport:
        """Nothing was lost."""
        return ClockReport(
            method="beacon",
            resolved_clicks=self.clicks,
            predicted_clicks=0,
            dropped_clicks=0,
            outages_s=(),
        )
