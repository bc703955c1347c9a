"""The satellite during a pass: answers for what its source sent. See `terminal` for what both roles share."""

import numpy as np
from numpy.typing import NDArray

from satqkd.config import Traffic
from satqkd.devices import Transmitter
from satqkd.distill.memory import Remembered
from satqkd.distill.outcome import Event
from satqkd.distill.parameters import Parameters
from satqkd.distill.satellite_session import SatelliteSession, SettingsSource
from satqkd.errors import LocalProtocolError
from satqkd.keys import AuthenticationPool, KeyStore
from satqkd.lasercom import Direction
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.terminal import NO_TRAFFIC, LogEvent, Terminal
from satqkd.randomness import RandBytes
from satqkd.records import Settings


class ForgottenSettings:
    """What is known of the pulses of a pass that is over: nothing that was not journalled."""

    horizon_slots = 0

    def settings(self, slots: NDArray[np.int64]) -> Settings:
        """Raises LocalProtocolError: nobody may ask."""
        raise LocalProtocolError(
            f"slot {int(slots[0])} of an earlier pass is asked for, its settings are forgotten"
        )


class SatelliteTerminal(Terminal):
    """The satellite during a pass: answers for what its source sent."""

    NODE = "satellite"
    DIRECTION = Direction.FROM_SATELLITE

    def __init__(
        self,
        contact: FlownContact,
        parameters: Parameters,
        *,
        transmitter: Transmitter,
        store: KeyStore,
        origin: str,
        randbytes: RandBytes,
        traffic: Traffic = NO_TRAFFIC,
        log: LogEvent = lambda line: None,
    ) -> None:
        self._transmitter = _keyed(transmitter, parameters)
        self._randbytes = randbytes
        super().__init__(
            contact, parameters, peer=parameters.station, store=store, origin=origin, traffic=traffic, log=log
        )

    def _open_session(
        self, parameters: Parameters, kept: KeptBlocks, remembered: Remembered | None
    ) -> SatelliteSession:
        return self._answering(self._transmitter, parameters, kept, remembered)

    def _open_earlier(
        self, parameters: Parameters, kept: KeptBlocks, remembered: Remembered | None
    ) -> SatelliteSession:
        return self._answering(ForgottenSettings(), parameters, kept, remembered)

    def _answering(
        self,
        transmitter: SettingsSource,
        parameters: Parameters,
        kept: KeptBlocks,
        remembered: Remembered | None,
    ) -> SatelliteSession:
        keys = AuthenticationPool(self.store, self.peer, purpose=f"pass {parameters.pass_id}")
        return SatelliteSession(parameters, keys, transmitter, self._randbytes, kept, remembered=remembered)

    def _rate_bit_s(self) -> float:
        return self.contact.satellite.lasercom.rate_bit_s

    def _handle(self, event: Event, now_s: float) -> None:
        """The satellite's session tells nothing but what is stored."""

    def _work(self, now_s: float) -> None:
        """The source runs by itself; its settings are asked for when slots are announced."""


def _keyed(transmitter: Transmitter, parameters: Parameters) -> Transmitter:
    """Answers for no slot of a public header, where there is one."""
    if parameters.header is None:
        return transmitter
    # Here, because the clock of a pass is a station's business but for this.
    from satqkd.mission.clock import KeyedSlots

    return KeyedSlots(transmitter, parameters.header)
