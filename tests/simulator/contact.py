"""A contact without an orbit: what terminals and the emulated link ask of one."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol, Satellite, Station
from satqkd.distill.parameters import Parameters, PlannedBlock
from satqkd.mission.flown import agreed_parameters
from simulator.dice import LINK_BEFORE_S, RATE_HZ, Flight
from toy_pass import replaced, toy_satellite, toy_station

FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PREDICTED_BITS = 500
"""Sifted bits foretold of every block of a pool."""


class Path(NamedTuple):
    """Where the satellite is: always 900 km away."""

    t_s: NDArray[np.float64]
    range_m: NDArray[np.float64]
    elevation_rad: NDArray[np.float64]


PATH = Path(np.array([-10.0, 100.0]), np.array([9e5, 9e5]), np.array([1.0, 1.0]))


class TableContact(msgspec.Struct, frozen=True, eq=False):
    """One contact of a plan."""

    satellite: Satellite
    station: Station
    epoch: datetime
    slots: int
    look: Path
    link_start_s: float
    link_end_s: float
    pass_id: str
    planned: tuple[PlannedBlock, ...]
    expected_qber: float = 0.01

    @property
    def quantum_end_s(self) -> float:
        """Pass time at which the last slot is past."""
        return self.slots / RATE_HZ

    @property
    def quantum_rows(self) -> slice:
        """Nothing of a path."""
        return slice(0, 0)

    def light_time_s(self, now_s: float) -> float:
        """Three milliseconds."""
        return 0.003

    def parameters(self, protocol: Protocol, *, seed: int) -> Parameters:
        """What both ends agree."""
        return agreed_parameters(self, protocol, pass_id=self.pass_id, planned=self.planned)


@lru_cache(maxsize=1)
def _satellite() -> Satellite:
    craft = toy_satellite(
        name="sat",
        source__pulse_rate_hz=RATE_HZ,
        source__intensities=(0.8, 0.1, 0.0),
        source__probabilities=(0.7, 0.2, 0.1),
        beacon__rate_hz=2e3,
        lasercom__frame_loss=0.0,
    )
    return replaced(craft, source__basis_z_probability=0.5)


@lru_cache(maxsize=8)
def _station(name: str) -> Station:
    return toy_station(name=name, receiver__basis_choice="active")


def contact_of_flight(flight: Flight, *, days: float) -> TableContact:
    """The contact of a flight, so many days after the first."""
    craft = replaced(_satellite(), lasercom__impairments=flight.impairments)
    ground = replaced(_station(flight.station), lasercom__impairments=flight.impairments)
    blocks = flight.protocol.blocks
    return TableContact(
        satellite=craft,
        station=ground,
        epoch=FIRST + timedelta(days=days),
        slots=flight.slots,
        look=PATH,
        link_start_s=-LINK_BEFORE_S,
        link_end_s=flight.link_end_s,
        pass_id=f"sat.{flight.station}.{flight.number}",
        planned=(PlannedBlock(flight.pool, PREDICTED_BITS),) * blocks if flight.pool else (),
    )
