"""A contact of which only its files are known: what terminals and report ask of it, and its message link.

Light time and elevation come from the recorded course. No orbit, no losses, no dice.
"""

from datetime import datetime
from typing import cast

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Station
from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.devices import Course
from satqkd.distill.parameters import Parameters
from satqkd.lasercom import Channel, ChannelCounts, FrameLoss
from satqkd.mission.contact import Contact
from satqkd.mission.emulator import DOWN, UP
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.randomness import stream


class RecordedContact(msgspec.Struct, frozen=True, eq=False):
    """What stands for a contact where only its files are known: terminals and report ask it no more."""

    satellite: Satellite
    station: Station
    epoch: datetime
    slots: int
    look: Course
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
        return float(np.interp(now_s, self.look.t_s, self.look.range_m)) / SPEED_OF_LIGHT_M_S

    def parameters(self, protocol: Protocol, *, seed: int) -> Parameters:
        """What both ends agree before a contact, under the recorded id."""
        agreed = Contact.parameters(self.as_contact, protocol, seed=seed)
        return msgspec.structs.replace(agreed, pass_id=self.pass_id)

    @property
    def as_contact(self) -> Contact:
        """This, for those that ask for a contact."""
        return cast(Contact, self)


class MessageLink:
    """The laser link of the second run: the settings' rates and the recorded light time, no frame lost.

    What the live link did to frames is not on record: key does not depend on it.
    """

    def __init__(self, contact: RecordedContact) -> None:
        self._contact = contact
        self._channels = {
            direction: Channel(
                rate_bit_s=rate_bit_s,
                frame_loss=FrameLoss.constant(0.0),
                rng=stream(0, "lasercom", direction),
            )
            for direction, rate_bit_s in (
                (DOWN, contact.satellite.lasercom.rate_bit_s),
                (UP, contact.station.lasercom.rate_bit_s),
            )
        }
        self.ticks = range(int(contact.link_start_s * TICKS_PER_S), int(contact.link_end_s * TICKS_PER_S) + 1)

    def submit(self, direction: str, datagrams: list[bytes], now_s: float) -> None:
        """Give what a node sent in this tick to its transmitter."""
        light_time_s = self._contact.light_time_s(now_s)
        for datagram in datagrams:
            self._channels[direction].submit(datagram, now_s, light_time_s)

    def due(self, direction: str, now_s: float) -> list[bytes]:
        """What has arrived at the other end by now."""
        return self._channels[direction].due(now_s)

    def counts(self) -> dict[str, ChannelCounts]:
        """What each direction was given."""
        return {direction: channel.counts for direction, channel in self._channels.items()}
