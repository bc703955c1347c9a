"""The clock of a pass at both ends: which recovery the station takes, which slots the satellite answers for.

Beacon or public header, as the satellite's settings say; nothing after the recovery knows which. Slots of a
public header are never announced: the station leaves them out, the satellite refuses them.
"""

from typing import Any, Final
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from satqkd.beacon import beacon_code
from satqkd.constants import PS_PER_S
from satqkd.devices import Transmitter
from satqkd.distill.beaconless import HeaderRecovery
from satqkd.distill.clicks import Detections
from satqkd.distill.parameters import Parameters
from satqkd.distill.recovery import ClockReport, Recovery
from satqkd.distill.sync import ClockRecovery
from satqkd.errors import RemoteProtocolError
from satqkd.header import PublicHeader, is_public
from satqkd.records import Settings

STREAMED_WINDOW: Final = {"stretch_s": 0.05, "margin_s": 0.04}
"""Of the beacons' fit where bases are streamed: a click has its slot within 0.09 s, by the beacons of 0.13 s
about it in the place of 0.4 s. A margin of a whole tick would miss it by the light time, and cost another."""


def clock_recovery(parameters: Parameters, *, end_s: float) -> Recovery:
    """The station's clock recovery for a pass that ends at a pass time."""
    period_ps = PS_PER_S / parameters.source.pulse_rate_hz
    header = parameters.header
    if header is not None:
        return HeaderRecovery(period_ps, header, light_time_s=parameters.maximum_light_time_s)
    return ClockRecovery(
        rate_hz=parameters.beacon_rate_hz,
        code_shift_s=parameters.beacon_code_shift_s,
        code=beacon_code(int(end_s * parameters.beacon_rate_hz) + 1),
        pulse_period_ps=period_ps,
        **(STREAMED_WINDOW if parameters.streamed else {}),
    )


def never_locked(report: ClockReport) -> str:
    """What a pass without a clock says of itself."""
    if report.method == "header":
        return f"the clock never locked on the public header ({report.dropped_clicks} clicks seen)"
    return f"the clock never locked on the beacons ({report.beacons_seen} tags of them seen)"


class Logs(Interface):
    """A node as its event log sees it."""

    def log(self, now_s: float, stage: str, event: str, **counts: Any) -> None:
        """One line."""
        ...


def log_clock(node: Logs, now_s: float, report: ClockReport) -> None:
    """One line of what was followed and lost."""
    node.log(
        now_s,
        "sync",
        "clock",
        beacons=report.beacons_seen,
        beacons_rejected=report.beacons_rejected,
        beacons_missing=report.beacons_missing,
        headers_read=report.headers_read,
        slips=report.slips,
        resolved_clicks=report.resolved_clicks,
        predicted_clicks=report.predicted_clicks,
        dropped_clicks=report.dropped_clicks,
        outages_s=report.outages_s,
    )


def without_header(detections: Detections, header: PublicHeader | None) -> Detections:
    """The detections that may be announced."""
    if header is None:
        return detections
    keyed = ~is_public(detections.slot, header)
    return Detections(detections.slot[keyed], detections.basis[keyed], detections.bit[keyed])


class KeyedSlots:
    """A transmitter that answers for no public slot, whatever the station asks."""

    def __init__(self, inner: Transmitter, header: PublicHeader) -> None:
        self._inner, self._header = inner, header

    @property
    def horizon_slots(self) -> int | None:
        """The inner transmitter's."""
        return self._inner.horizon_slots

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """The inner transmitter's settings. Raises RemoteProtocolError for a slot of a public header."""
        public = is_public(slots, self._header)
        if public.any():
            raise RemoteProtocolError(
                f"expected slots outside of the public headers, the station announces slot "
                f"{int(slots[np.argmax(public)])}, whose class everybody knows; the session ends"
            )
        return self._inner.settings(slots)
