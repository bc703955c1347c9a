"""A pass of eight seconds over a bright link: all of a real one in about a second, in memory.

Everything that a test wants to touch can be given: the receiver, the satellite's random bytes, a tap on the
laser link, settings of either end.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from satqkd.config import Detector, Polarisation, Protocol, Satellite, Station, Tagger, Traffic
from satqkd.devices import Receiver
from satqkd.keys import KeyStore
from satqkd.mission import Contact, PassReport, contact_of, ensure_authentication, open_store, presets
from satqkd.mission.contact import Window
from satqkd.mission.emulator import LinkEmulator
from satqkd.mission.report import pass_report
from satqkd.mission.run_pass import refuse_flown, station_terminal, step_through
from satqkd.mission.satellite_end import TWIN, satellite_terminal
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.mission.terminal import NO_TRAFFIC
from satqkd.randomness import stream_bytes

AT_UTC = "2016-12-19T16:52:13Z"
PROTOCOL = Protocol(frame_bits=65536)
REPEATABLE = (
    "pulses",
    "detections",
    "sifted_bits",
    "counts",
    "qber",
    "frames",
    "leaked_bits",
    "secret_bits",
    "outcome",
    "reason",
)
"""Fields that one seed gives again on any machine (DESIGN 3)."""
Datagram = tuple[str, float, bytes]
"""Direction "down" or "up", pass time, bytes."""


class Flight(NamedTuple):
    """A pass that was flown, with what a test may look into."""

    report: PassReport
    contact: Contact
    satellite: SatelliteTerminal
    station: StationTerminal
    keys: tuple[dict[str, bytes], dict[str, bytes]]
    """Link key by block id as each end's store holds it: satellite, station."""
    states: tuple[dict[str, str], dict[str, str]]
    datagrams: list[Datagram]


def replaced(struct: Any, **changes: Any) -> Any:
    """The struct with fields replaced; `a__b=x` replaces field b of field a."""
    flat = {name: value for name, value in changes.items() if "__" not in name}
    for path, value in changes.items():
        head, _, rest = path.partition("__")
        if rest:
            flat[head] = replaced(flat.get(head, getattr(struct, head)), **{rest: value})
    if isinstance(struct, Detector):
        flat = {name: (value,) * 4 if np.isscalar(value) else value for name, value in flat.items()}
    return msgspec.structs.replace(struct, **flat)


def toy_satellite(**changes: Any) -> Satellite:
    """Micius, slower and without frills, with a fast laser link and beacons that are never missed."""
    base = replaced(
        presets.satellite("micius"),
        name="toy-satellite",
        reference_epoch_utc=AT_UTC,
        source__pulse_rate_hz=1e7,
        beacon__rate_hz=2e3,
        beacon__code_shift_s=2.5e-5,
        beacon__detection_photons=None,
        beacon__laser=None,
        source__intensity_fluctuation=(0.0, 0.0, 0.0),
        source__polarisation_extinction_db=None,
        transmitter__pointing_correlation_s=None,
        lasercom__rate_bit_s=2e7,
    )
    return replaced(base, **changes)


def toy_station(**changes: Any) -> Station:
    """Xinglong with clear optics and plain detectors, only while the satellite is nearest."""
    base = replaced(
        presets.station("xinglong"),
        name="toy-station",
        maximum_range_m=646e3,
        calibration_loss_db=0.0,
        zenith_optical_depth=0.05,
        turbulence=None,
        receiver__optics_transmittance=0.9,
        receiver__optical_error=0.0105,
        receiver__polarisation=Polarisation(),
        receiver__tagger=Tagger(),
        receiver__detector__jitter_tail_fraction=0.0,
        receiver__detector__afterpulse_probability=0.0,
        lasercom__rate_bit_s=2e7,
    )
    return replaced(base, **changes)


def fly_toy(
    folder: Path,
    *,
    seed: int = 1,
    satellite: Satellite | None = None,
    station: Station | None = None,
    protocol: Protocol = PROTOCOL,
    receiver: Callable[[Contact], Receiver] | None = None,
    randbytes: Callable[[int], bytes] = secrets.token_bytes,
    before: Callable[[SatelliteTerminal, StationTerminal], None] = lambda one, other: None,
    lines: list[dict[str, Any]] | None = None,
    traffic: Traffic = NO_TRAFFIC,
    window: Window | None = None,
    on_the_way: Callable[[str, float, bytes], bytes | None] = lambda direction, now_s, data: data,
) -> Flight:
    """Fly; `before` may change the terminals first, `lines` takes both event logs.

    on_the_way: what becomes of a datagram that arrives; None loses it.
    """
    craft = toy_satellite() if satellite is None else satellite
    ground = toy_station() if station is None else station
    contact = contact_of(craft, ground, AT_UTC, window=window)
    datagrams: list[Datagram] = []
    log: list[dict[str, Any]] = [] if lines is None else lines
    with open_store(folder, craft.name) as above, open_store(folder, ground.name) as below:
        ensure_authentication(above, below, contact, protocol)
        one = satellite_terminal(
            contact, protocol, above, seed=seed, randbytes=randbytes, traffic=traffic, log=log.append
        )
        light = None if receiver is None else receiver(contact)
        other = station_terminal(
            contact,
            protocol,
            below,
            seed=seed,
            receiver=light,
            tie_bits=stream_bytes(seed, "station", "ties"),
            traffic=traffic,
            log=log.append,
        )
        before(one, other)
        link = LinkEmulator(contact, seed=seed, tap=lambda *datagram: datagrams.append(datagram))
        _let_through(link, on_the_way)
        refuse_flown(above, below, one.parameters)
        step_through(link, one, other)
        report = pass_report(
            contact,
            one.parameters,
            one.report(),
            other.report(),
            link.counts(),
            seed=seed,
            origin=TWIN,
            wall_s=0.0,
        )
        keys, states = zip(link_key(above), link_key(below), strict=True)
        return Flight(report, contact, one, other, keys, states, datagrams)


def _let_through(link: LinkEmulator, on_the_way: Callable[[str, float, bytes], bytes | None]) -> None:
    true = link.due

    def due(direction: str, now_s: float) -> list[bytes]:
        arrived = (on_the_way(direction, now_s, data) for data in true(direction, now_s))
        return [data for data in arrived if data is not None]

    link.due = due  # type: ignore[method-assign]


def link_key(store: KeyStore) -> tuple[dict[str, bytes], dict[str, str]]:
    """Bytes and states of a store's link key, by block id."""
    rows = [row for row in store.list_blocks() if row.kind == "link"]
    return (
        {row.block_id: bytes(store.peek_for_check(row.block_id).expose()) for row in rows},
        {row.block_id: row.state for row in rows},
    )


def repeatable(report: PassReport) -> dict[str, Any]:
    """The repeatable fields of a report."""
    return {name: getattr(report, name) for name in REPEATABLE}


def without_dice(*_: object, **__: object) -> Any:
    """Stands where the twin stood: whoever asks it fails."""
    raise AssertionError("the twin's dice were asked")
