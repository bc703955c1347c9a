"""The satellite's end of a contact, made from its settings: source and terminal.

Apart from `run_pass`, which makes both ends, so that a satellite's process loads nothing of a station.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

from satqkd.config import Protocol, Traffic
from satqkd.devices import Transmitter, TwinTransmitter, header_of
from satqkd.keys import KeyStore
from satqkd.mission.contact import Contact
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.terminal import NO_TRAFFIC
from satqkd.randomness import RandBytes, key_words

TWIN: Final = "twin"


def twin_transmitter(contact: Contact, seed: int) -> TwinTransmitter:
    """The satellite's half of the twin's dice."""
    craft, memory_s = contact.satellite, contact.satellite.source_memory_s
    horizon_slots = None if memory_s is None else int(memory_s * craft.source.pulse_rate_hz)
    key = key_words(seed, "twin", "dice")
    return TwinTransmitter(craft.source, key, header_of(craft), horizon_slots=horizon_slots)


def satellite_terminal(
    contact: Contact,
    protocol: Protocol,
    store: KeyStore,
    *,
    seed: int,
    transmitter: Transmitter | None = None,
    origin: str = TWIN,
    randbytes: RandBytes = secrets.token_bytes,
    traffic: Traffic = NO_TRAFFIC,
    log: Callable[[dict[str, Any]], None] = lambda line: None,
) -> SatelliteTerminal:
    """A satellite whose source is the twin, or another transmitter with its own `origin`."""
    return SatelliteTerminal(
        contact,
        contact.parameters(protocol, seed=seed),
        transmitter=twin_transmitter(contact, seed) if transmitter is None else transmitter,
        store=store,
        origin=origin,
        randbytes=randbytes,
        traffic=traffic,
        log=log,
    )
