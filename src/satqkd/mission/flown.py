"""What terminals, laser link and report ask of a contact, be it found in an orbit or read from files.

`Contact` and `RecordedContact` answer alike without a common base; what both work out is here once.
"""

import math
from datetime import datetime
from typing import Protocol as Interface

import numpy as np
import scipy
from numpy.typing import NDArray

import satqkd
from satqkd.config import Protocol, Satellite, Station
from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.distill.parameters import Parameters, PlannedBlock
from satqkd.security import ReceiverModel
from satqkd.security.receiver import matched_x_share

Array = NDArray[np.float64]


class SeenPath(Interface):
    """Where the satellite was as the station saw it; columns of one length."""

    @property
    def t_s(self) -> Array:
        """Pass time, increasing."""
        ...

    @property
    def range_m(self) -> Array:
        """Slant range."""
        ...

    @property
    def elevation_rad(self) -> Array:
        """No refraction."""
        ...


class FlownContact(Interface):
    """A contact as those see it that fly it."""

    @property
    def satellite(self) -> Satellite:
        """Its settings."""
        ...

    @property
    def station(self) -> Station:
        """Its settings."""
        ...

    @property
    def epoch(self) -> datetime:
        """UTC of pass time 0."""
        ...

    @property
    def slots(self) -> int:
        """Pulses of the quantum window."""
        ...

    @property
    def look(self) -> SeenPath:
        """From pass time 0 or earlier to the last slot or later."""
        ...

    @property
    def link_start_s(self) -> float:
        """Pass time from which the laser link is up."""
        ...

    @property
    def link_end_s(self) -> float:
        """Pass time until which it is."""
        ...

    @property
    def quantum_end_s(self) -> float:
        """Pass time at which the last slot is past."""
        ...

    @property
    def quantum_rows(self) -> slice:
        """Rows of the path inside the quantum window."""
        ...

    @property
    def expected_qber(self) -> float:
        """Foretold error rate of sifted signal bits."""
        ...

    def light_time_s(self, now_s: float) -> float:
        """Light time at a pass time, held at the ends of the path."""
        ...

    def parameters(self, protocol: Protocol, *, seed: int) -> Parameters:
        """What both ends agree before this contact."""
        ...


def light_time_s(path: SeenPath, now_s: float) -> float:
    """Light time at a pass time, held at the ends of the path."""
    return float(np.interp(now_s, path.t_s, path.range_m)) / SPEED_OF_LIGHT_M_S


def agreed_parameters(
    contact: FlownContact,
    protocol: Protocol,
    *,
    pass_id: str,
    edges: tuple[int, ...] = (),
    planned: tuple[PlannedBlock, ...] = (),
) -> Parameters:
    """What both ends agree before a contact of this id.

    edges: first slots of all blocks but the first, where they are not of equal numbers of slots.
    planned: pool and prediction of each block, where they are pooled.
    """
    beacon, header = contact.satellite.beacon, contact.satellite.header
    rate_hz = contact.satellite.source.pulse_rate_hz
    return Parameters(
        pass_id=pass_id,
        software=f"satqkd {satqkd.__version__}, numpy {np.__version__}, scipy {scipy.__version__}",
        satellite=contact.satellite.name,
        station=contact.station.name,
        source=contact.satellite.source,
        station_basis_z_probability=contact.station.receiver.basis_z_probability,
        receiver=receiver_model(contact.satellite, contact.station),
        protocol=protocol,
        slots=contact.slots,
        edges=edges,
        expected_qber=round(contact.expected_qber, 6),
        maximum_light_time_s=_whole_microseconds(float(contact.look.range_m.max()) / SPEED_OF_LIGHT_M_S),
        beacon_rate_hz=0.0 if beacon is None else beacon.rate_hz,
        beacon_code_shift_s=0.0 if beacon is None else beacon.code_shift_s,
        header_slots=0 if header is None else header.header_slots(rate_hz),
        header_interval_slots=0 if header is None else header.interval_slots(rate_hz),
        planned=planned,
    )


def receiver_model(satellite: Satellite, station: Station) -> ReceiverModel:
    """What a bound is told of the station's receiver, from what the station vouches for."""
    receiver, limits = station.receiver, station.receiver.limits
    mean_dark_hz = float(np.mean(receiver.detector.dark_rate_hz))
    measured_z, spread = receiver.basis_z_probability, limits.basis_spread
    return ReceiverModel(
        basis_choice=receiver.basis_choice,
        splitter_x_share=(1 - measured_z - spread, 1 - measured_z + spread)
        if receiver.basis_choice == "passive"
        else None,
        x_share=matched_x_share(satellite.source.basis_z_probability, measured_z, spread=spread),
        efficiency_spread=limits.efficiency_spread,
        dark_probability=mean_dark_hz * receiver.gate_s,
        dark_spread=limits.dark_spread,
        # Behind a beam splitter a swap evens out the detectors of a basis, not the bases: no credit.
        labels_swapped=receiver.label_swap == "random" and receiver.basis_choice == "active",
    )


def unkeyed_slots(contact: FlownContact) -> int:
    """Slots of the quantum window that belong to public headers."""
    header, rate_hz = contact.satellite.header, contact.satellite.source.pulse_rate_hz
    if header is None:
        return 0
    length, interval = header.header_slots(rate_hz), header.interval_slots(rate_hz)
    whole, rest = divmod(contact.slots, interval)
    return whole * length + min(rest, length)


def _whole_microseconds(duration_s: float) -> float:
    """Rounded up, so that both ends agree on it whatever the last digit of their libraries."""
    return math.ceil(duration_s * 1e6) / 1e6
