"""The satellite during a pass: answers for what its source sent. See `terminal` for what both roles share."""

from satqkd.devices import Transmitter
from satqkd.distill.parameters import Parameters
from satqkd.distill.satellite_session import SatelliteSession
from satqkd.keys import AuthenticationPool, KeyStore
from satqkd.lasercom import Direction
from satqkd.mission.clock import KeyedSlots
from satqkd.mission.flown import FlownContact
from satqkd.mission.kept import KeptBlocks
from satqkd.mission.terminal import LogEvent, Terminal
from satqkd.randomness import RandBytes


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
        log: LogEvent = lambda line: None,
    ) -> None:
        keys = AuthenticationPool(store, parameters.station, purpose=f"pass {parameters.pass_id}")
        header = parameters.header
        keyed = transmitter if header is None else KeyedSlots(transmitter, header)
        kept = KeptBlocks(store, parameters.station, origin=origin)
        session = SatelliteSession(parameters, keys, keyed, randbytes, kept)
        super().__init__(contact, parameters, session, store, kept, origin, log)

    def _rate_bit_s(self) -> float:
        return self.contact.satellite.lasercom.rate_bit_s

    def _work(self, now_s: float) -> None:
        """The source runs by itself; its settings are asked for when slots are announced."""
