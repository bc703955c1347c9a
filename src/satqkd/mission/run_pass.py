"""One whole pass in memory: both terminals, the emulated laser link, the twin, virtual time.

The same terminals and the same ticks as in processes; here one loop steps both. The stores are real
files; the key that ends in them never crosses between the two sides but by the protocol.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from satqkd.config import Protocol, Satellite, Station
from satqkd.devices import Receiver, Transmitter, TwinReceiver, TwinTransmitter, header_of
from satqkd.distill.authenticate import pass_key_bits
from satqkd.errors import LocalProtocolError
from satqkd.keys import KeyStore, provision
from satqkd.mission import presets
from satqkd.mission.contact import Contact, contact_of
from satqkd.mission.emulator import DOWN, UP, LaserLink, LinkEmulator
from satqkd.mission.fading import Fading
from satqkd.mission.files import write_node_report
from satqkd.mission.flown import FlownContact
from satqkd.mission.pace import Pace
from satqkd.mission.report import PassReport, pass_report, with_pace
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.mission.terminal import TICKS_PER_S
from satqkd.randomness import RandBytes, key_words, stream_bytes
from satqkd.sky import format_utc

Progress = Callable[[float, float], None]
"""Called with pass time and its end once a second of pass time."""
TWIN = "twin"


def twin_transmitter(contact: Contact, seed: int) -> TwinTransmitter:
    """The satellite's half of the twin's dice."""
    craft = contact.satellite
    return TwinTransmitter(craft.source, key_words(seed, "twin", "dice"), header_of(craft))


def twin_receiver(contact: Contact, seed: int) -> TwinReceiver:
    """The station's nature: the same dice, the link, the detectors; only time tags come out."""
    return TwinReceiver(
        satellite=contact.satellite,
        station=contact.station,
        series=Fading(contact, seed).series(),
        key=key_words(seed, "twin", "dice"),
        seed=seed,
        slots=contact.slots,
    )


def satellite_terminal(
    contact: Contact,
    protocol: Protocol,
    store: KeyStore,
    *,
    seed: int,
    transmitter: Transmitter | None = None,
    origin: str = TWIN,
    randbytes: RandBytes = secrets.token_bytes,
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
        log=log,
    )


def station_terminal(
    contact: Contact,
    protocol: Protocol,
    store: KeyStore,
    *,
    seed: int,
    receiver: Receiver | None = None,
    origin: str = TWIN,
    tie_bits: RandBytes | None = None,
    log: Callable[[dict[str, Any]], None] = lambda line: None,
) -> StationTerminal:
    """A station behind the twin's light, or behind any other receiver.

    receiver: omitted, the twin's, whose ties between detectors are tossed by a named stream so that the
    pass repeats. Another one comes with its own `tie_bits` (fresh random bytes for hardware) and `origin`.
    Raises LocalProtocolError when it comes without.
    """
    if receiver is not None and tie_bits is None:
        raise LocalProtocolError("a receiver of one's own needs its own tie_bits: seeded coins are no secret")
    return StationTerminal(
        contact,
        contact.parameters(protocol, seed=seed),
        receiver=twin_receiver(contact, seed) if receiver is None else receiver,
        store=store,
        origin=origin,
        tie_bits=stream_bytes(seed, "station", "ties") if tie_bits is None else tie_bits,
        log=log,
    )


def step_through(
    link: LaserLink,
    satellite: SatelliteTerminal,
    station: StationTerminal,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> None:
    """Advance both terminals tick by tick until both have finished or the laser link ends."""
    for tick in link.ticks:
        if pace is not None:
            pace.wait(tick)
        now_s = tick / TICKS_PER_S
        from_satellite = satellite.step(now_s, link.due(UP, now_s))
        from_station = station.step(now_s, link.due(DOWN, now_s))
        link.submit(DOWN, from_satellite, now_s)
        link.submit(UP, from_station, now_s)
        if progress is not None and tick % TICKS_PER_S == 0:
            progress(now_s, link.ticks.stop / TICKS_PER_S)
        if satellite.finished and station.finished:
            return


def run_pass(
    satellite: str | Satellite,
    station: str | Station,
    *,
    at_utc: str | None = None,
    seed: int = 1,
    protocol: Protocol | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> PassReport:
    """Fly one pass with the digital twin and distil its key at both ends.

    satellite, station: presets' names, TOML paths, or settings. folder: where the stores are made or
    opened; None keeps them for the run only. Raises ConfigError, NoPassError, KeyStoreError.
    """
    craft = presets.satellite(satellite) if isinstance(satellite, str) else satellite
    ground = presets.station(station) if isinstance(station, str) else station
    rules = Protocol() if protocol is None else protocol
    contact = contact_of(craft, ground, at_utc)
    if folder is not None:
        return fly(contact, rules, folder, seed=seed, progress=progress)
    with TemporaryDirectory(prefix="satqkd-") as scratch:
        return fly(contact, rules, Path(scratch), seed=seed, progress=progress)


def fly(
    contact: Contact,
    protocol: Protocol,
    folder: Path,
    *,
    seed: int,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> PassReport:
    """`run_pass` on a contact already chosen, with the stores of a folder."""
    with open_stores(folder, contact, protocol) as (above, below):
        satellite = satellite_terminal(contact, protocol, above, seed=seed)
        station = station_terminal(contact, protocol, below, seed=seed)
        link = LinkEmulator(contact, seed=seed)
        return fly_terminals(satellite, station, link, folder, seed=seed, progress=progress, pace=pace)


def fly_terminals(
    satellite: SatelliteTerminal,
    station: StationTerminal,
    link: LaserLink,
    folder: Path,
    *,
    seed: int,
    origin: str = TWIN,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> PassReport:
    """Step two terminals through their pass; leaves each node's own report in the folder."""
    started_s = time.monotonic()
    kept = Pace() if pace is None else pace
    step_through(link, satellite, station, progress, kept)
    for each in (satellite, station):
        write_node_report(folder, each.report())
    report = pass_report(
        station.contact,
        satellite.parameters,
        satellite.report(),
        station.report(),
        link.counts(),
        seed=seed,
        origin=origin,
        wall_s=time.monotonic() - started_s,
    )
    return with_pace(report, kept.report())


@contextmanager
def open_stores(
    folder: Path, contact: FlownContact, protocol: Protocol
) -> Iterator[tuple[KeyStore, KeyStore]]:
    """Both ends' stores of a folder, with authentication key for this pass: satellite's, station's."""
    with (
        open_store(folder, contact.satellite.name) as above,
        open_store(folder, contact.station.name) as below,
    ):
        ensure_authentication(above, below, contact, protocol)
        yield above, below


def open_store(folder: Path, node: str) -> KeyStore:
    """The store of a node in a folder, made where there is none."""
    path = folder / f"{node}.sqlite"
    return KeyStore.open(path, node_id=node) if path.exists() else KeyStore.create(path, node)


def ensure_authentication(one: KeyStore, other: KeyStore, contact: FlownContact, protocol: Protocol) -> None:
    """Give both stores shared authentication key where they hold too little for this pass.

    Stands for the key that the two are given before launch; it is made on one machine, which only a twin
    may do.
    """
    needed = pass_key_bits(protocol.blocks)
    left = min(one.available_bits(other.node_id, "auth"), other.available_bits(one.node_id, "auth"))
    if left < needed:
        provision(
            one, other, bits=16 * needed, randbytes=secrets.token_bytes, now_utc=format_utc(contact.epoch)
        )
