"""A contact of which only its files are known: what terminals, laser link and report ask of it.

Light time and elevation come from the recorded course. No orbit, no losses, no dice.
"""

from datetime import datetime

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station
from satqkd.devices import RecordedCourse
from satqkd.distill.parameters import Parameters
from satqkd.mission.edges import refuse_foretold_edges
from satqkd.mission.flown import agreed_parameters, light_time_s
from satqkd.mission.pools import refuse_pooling


class RecordedContact(msgspec.Struct, frozen=True, eq=False):
    """What stands for a contact where only its files are known."""

    satellite: Satellite
    station: Station
    epoch: datetime
    slots: int
    look: RecordedCourse
    link_start_s: float
    link_end_s: float
    pass_id: str
    expected_qber: float

    @property
    def quantum_end_s(self) -> float:
        """Pass time at which the last slot is past."""
        return self.slots / self.satellite.source.pulse_rate_hz

    @property
    def quantum_rows(self) -> slice:
        """Rows of the course inside the quantum window."""
        return slice(0, int(np.searchsorted(self.look.t_s, self.quantum_end_s, "right")))

    def light_time_s(self, now_s: float) -> float:
        """Light time at a pass time, held at the ends of the course."""
        return light_time_s(self.look, now_s)

    def parameters(self, protocol: Protocol, *, seed: int) -> Parameters:
        """What both ends agree before a contact, under the recorded id whatever the seed.

        Raises ConfigError where the protocol pools, or cuts blocks by a budget.
        """
        refuse_pooling(protocol)
        refuse_foretold_edges(protocol)
        return agreed_parameters(self, protocol, pass_id=self.pass_id)
