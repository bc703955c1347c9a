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

from satqkd.config import Protocol, Satellite, Station, Traffic
from satqkd.devices import (
    EveAccount,
    EveSpec,
    Receiver,
    TwinReceiver,
    parse_eve,
)
from satqkd.distill.authenticate import pass_key_bits
from satqkd.distill.parameters import Parameters
from satqkd.errors import KeyAlreadyUsed, LocalProtocolError
from satqkd.keys import Journal, KeyStore, provision
from satqkd.mission import presets
from satqkd.mission.contact import Contact, contact_of
from satqkd.mission.emulator import DOWN, UP, LaserLink, LinkEmulator
from satqkd.mission.fading import Fading
from satqkd.mission.files import open_store, write_node_report
from satqkd.mission.flown import FlownContact
from satqkd.mission.pace import Pace
from satqkd.mission.report import PassReport, pass_report, with_pace
from satqkd.mission.satellite_end import TWIN, satellite_terminal
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.mission.terminal import NO_TRAFFIC, TICKS_PER_S
from satqkd.randomness import RandBytes, key_words, stream_bytes
from satqkd.sky import format_utc

Progress = Callable[[float, float], None]
"""Called with pass time and its end once a second of pass time."""


def twin_receiver(contact: Contact, seed: int, eve: EveSpec | None = None) -> TwinReceiver:
    """The station's nature: the same dice, the link, the detectors; only time tags come out.

    eve: who attacks the light on its way.
    """
    return TwinReceiver(
        satellite=contact.satellite,
        station=contact.station,
        series=Fading(contact, seed).series(),
        key=key_words(seed, "twin", "dice"),
        seed=seed,
        slots=contact.slots,
        eve=eve,
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
    traffic: Traffic = NO_TRAFFIC,
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
        traffic=traffic,
        log=log,
    )


def nobody() -> None:
    """What tells of no attacker."""
    return


def twin_station(
    contact: Contact,
    protocol: Protocol,
    store: KeyStore,
    *,
    seed: int,
    eve: EveSpec | None = None,
    traffic: Traffic = NO_TRAFFIC,
    log: Callable[[dict[str, Any]], None] = lambda line: None,
) -> tuple[StationTerminal, Callable[[], EveAccount | None]]:
    """A station behind the twin's light, and what tells of the attacker when the pass is over.

    She hears what is announced, as anybody on the link; the station knows nothing of her.
    """
    receiver, ties = twin_receiver(contact, seed, eve), stream_bytes(seed, "station", "ties")
    station = station_terminal(
        contact, protocol, store, seed=seed, receiver=receiver, tie_bits=ties, traffic=traffic, log=log
    )
    eavesdropper = receiver.eavesdropper
    if eavesdropper is None:
        return station, nobody
    station.overheard = eavesdropper.hear
    edges = [station.parameters.first_slot(block) for block in range(protocol.blocks + 1)]
    return station, lambda: eavesdropper.account(edges, protocol.keyed_bases, protocol.keyed_classes)


def step_through(
    link: LaserLink,
    satellite: SatelliteTerminal,
    station: StationTerminal,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> None:
    """Advance both terminals tick by tick until both have finished or the laser link ends.

    A pass that was broken off goes on at the time at which it was.
    """
    first_tick = max(satellite.first_tick, station.first_tick)
    for tick in link.ticks:
        if tick < first_tick:
            continue
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
    eve: str | None = None,
    traffic: Traffic = NO_TRAFFIC,
    progress: Progress | None = None,
) -> PassReport:
    """Fly one pass with the digital twin and distil its key at both ends.

    satellite, station: presets' names, TOML paths, or settings. folder: where the stores are made or
    opened; None keeps them for the run only. eve: who attacks the light (`docs/eavesdroppers.md`). traffic:
    what both ends do for messages of users (`docs/traffic.md`).
    Raises ConfigError, NoPassError, KeyStoreError.
    """
    craft = presets.satellite(satellite) if isinstance(satellite, str) else satellite
    ground = presets.station(station) if isinstance(station, str) else station
    rules = Protocol() if protocol is None else protocol
    spec = None if eve is None else parse_eve(eve)
    contact = contact_of(craft, ground, at_utc)
    if folder is not None:
        return fly(contact, rules, folder, seed=seed, eve=spec, traffic=traffic, progress=progress)
    with TemporaryDirectory(prefix="satqkd-") as scratch:
        return fly(contact, rules, Path(scratch), seed=seed, eve=spec, traffic=traffic, progress=progress)


def fly(
    contact: Contact,
    protocol: Protocol,
    folder: Path,
    *,
    seed: int,
    eve: EveSpec | None = None,
    traffic: Traffic = NO_TRAFFIC,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> PassReport:
    """`run_pass` on a contact already chosen, with the stores of a folder."""
    with open_stores(folder, contact, protocol) as (above, below):
        satellite = satellite_terminal(contact, protocol, above, seed=seed, traffic=traffic)
        station, told_by_eve = twin_station(contact, protocol, below, seed=seed, eve=eve, traffic=traffic)
        link = LinkEmulator(contact, seed=seed)
        return fly_terminals(
            satellite,
            station,
            link,
            folder,
            seed=seed,
            told_by_eve=told_by_eve,
            progress=progress,
            pace=pace,
        )


def fly_terminals(
    satellite: SatelliteTerminal,
    station: StationTerminal,
    link: LaserLink,
    folder: Path,
    *,
    seed: int,
    origin: str = TWIN,
    told_by_eve: Callable[[], EveAccount | None] = nobody,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> PassReport:
    """Step two terminals through their pass; leaves each node's own report in the folder.

    told_by_eve: asked when the pass is over. Raises KeyAlreadyUsed for a pass that is in both stores to its
    end.
    """
    refuse_flown(satellite.store, station.store, satellite.parameters)
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
        eve=told_by_eve(),
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


def refuse_flown(satellite: KeyStore, station: KeyStore, parameters: Parameters) -> None:
    """A pass that came to its end in both stores is not flown into them again. Raises KeyAlreadyUsed."""
    known = (
        Journal(satellite, parameters.station).find(parameters.pass_id),
        Journal(station, parameters.satellite).find(parameters.pass_id),
    )
    if all(row is not None and row.state != "open" for row in known):
        raise KeyAlreadyUsed(
            f"pass {parameters.pass_id} is in the stores {satellite.path} and {station.path} already; take "
            f"another folder, pass or seed"
        )


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
