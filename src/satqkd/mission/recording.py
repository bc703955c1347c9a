"""A pass on record: flown through recording doors, and distilled again from its files alone.

`record_pass` flies the twin and keeps what its devices gave and the coins both ends tossed.
`distill_recording` makes the key from the files with no dice in the process: settings and tags come from
disk, and no message is lost. Where the files hold the coins, the key is the live pass's, bit for bit; where
they do not, as from hardware, fresh coins are drawn and the key is the record's own.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from satqkd.config import Protocol, Satellite, Station
from satqkd.devices import (
    NewSatelliteFile,
    NewStationFile,
    RecordedCourse,
    RecordHeader,
    SatelliteFile,
    StationFile,
    text_id,
)
from satqkd.errors import ConfigError, DataFormatError, LocalProtocolError
from satqkd.keys import KeyStore
from satqkd.lasercom import FrameLoss
from satqkd.mission.contact import Contact
from satqkd.mission.edges import refuse_foretold_edges
from satqkd.mission.emulator import LaserLink, LinkEmulator
from satqkd.mission.files import write_pass_folder, write_pass_report
from satqkd.mission.pools import refuse_pooling
from satqkd.mission.recorded_contact import RecordedContact
from satqkd.mission.report import PassReport
from satqkd.mission.run_pass import Progress, fly_terminals, open_stores, station_terminal, twin_receiver
from satqkd.mission.satellite_end import satellite_terminal, twin_transmitter
from satqkd.mission.satellite_terminal import SatelliteTerminal
from satqkd.mission.station_terminal import StationTerminal
from satqkd.randomness import stream_bytes
from satqkd.sky import format_utc, parse_utc

SATELLITE_FILE: Final = "satellite.h5"
STATION_FILE: Final = "station.h5"
T = TypeVar("T")


class RecordedPass(msgspec.Struct, frozen=True, eq=False):
    """Both files of a pass, open and found whole."""

    folder: Path
    header: RecordHeader
    contact: RecordedContact
    protocol: Protocol
    satellite: SatelliteFile
    station: StationFile


def record_pass(
    contact: Contact, protocol: Protocol, folder: Path, *, seed: int, progress: Progress | None = None
) -> PassReport:
    """Fly a pass with the twin in memory and leave its files, stores and reports in the folder.

    Raises ResourceError when the folder holds a recording, KeyAlreadyUsed when its stores hold the pass.
    """
    header = header_of(contact, protocol, seed=seed)
    course = RecordedCourse(contact.look.t_s, contact.look.range_m, contact.look.elevation_rad)
    with (
        _nothing_left_after_failure(folder),
        NewSatelliteFile(folder / SATELLITE_FILE, header) as sent,
        NewStationFile(folder / STATION_FILE, header, course) as tagged,
        open_stores(folder, contact, protocol) as (above, below),
    ):
        satellite = satellite_terminal(
            contact,
            protocol,
            above,
            seed=seed,
            transmitter=sent.transmitter(twin_transmitter(contact, seed)),
            randbytes=sent.coins(secrets.token_bytes),
        )
        station = station_terminal(
            contact,
            protocol,
            below,
            seed=seed,
            receiver=tagged.receiver(twin_receiver(contact, seed)),
            tie_bits=tagged.coins(stream_bytes(seed, "station", "ties")),
        )
        link = LinkEmulator(contact, seed=seed)
        report = fly_terminals(satellite, station, link, folder, seed=seed, progress=progress)
        write_pass_folder(folder, contact, report)
    return report


def header_of(contact: Contact, protocol: Protocol, *, seed: int) -> RecordHeader:
    """What the files of a pass of the twin say of it. Raises ConfigError where the protocol pools."""
    refuse_pooling(protocol)
    refuse_foretold_edges(protocol)
    parameters = contact.parameters(protocol, seed=seed)
    satellite, station, rules = (
        msgspec.json.encode(each, order="deterministic").decode()
        for each in (contact.satellite, contact.station, protocol)
    )
    return RecordHeader(
        pass_id=parameters.pass_id,
        satellite=parameters.satellite,
        station=parameters.station,
        epoch_utc=format_utc(contact.epoch),
        origin="twin",
        pulse_rate_hz=contact.satellite.source.pulse_rate_hz,
        slots=contact.slots,
        expected_qber=parameters.expected_qber,
        link_start_s=contact.link_start_s,
        link_end_s=contact.link_end_s,
        satellite_settings=satellite,
        station_settings=station,
        protocol_settings=rules,
        satellite_config_id=text_id(satellite),
        station_config_id=text_id(station),
        protocol_config_id=text_id(rules),
        seed=seed,
        software=parameters.software,
    )


@contextmanager
def open_recording(folder: Path) -> Iterator[RecordedPass]:
    """Both files of a folder, checked from end to end. Raises DataFormatError, before anything is made."""
    with SatelliteFile(folder / SATELLITE_FILE) as sent, StationFile(folder / STATION_FILE) as tagged:
        header = sent.header
        for name, ours in msgspec.structs.asdict(header).items():
            theirs = getattr(tagged.header, name)
            if ours != theirs:
                raise DataFormatError(
                    f"{tagged.path}: attribute {name}: expected {_short(ours)} as in {sent.path.name}, got "
                    f"{_short(theirs)}: files of two passes; put both files of one pass into a folder"
                )
        satellite = _settings(sent, header.satellite_settings, Satellite)
        station = _settings(sent, header.station_settings, Station)
        protocol = _settings(sent, header.protocol_settings, Protocol)
        if station.receiver.label_swap == "none":
            tagged.require_labels_unswapped()
        _require_same(sent, "satellite", header.satellite, satellite.name)
        _require_same(sent, "station", header.station, station.name)
        _require_same(sent, "pulse_rate_hz", header.pulse_rate_hz, satellite.source.pulse_rate_hz)
        contact = _contact_of(sent, satellite, station, tagged.course())
        yield RecordedPass(folder, header, contact, protocol, sent, tagged)


def distill_recording(
    recording: RecordedPass, folder: Path, *, fresh_coins: bool = False, progress: Progress | None = None
) -> PassReport:
    """Distil a pass from its files into new stores of a folder; `pass.json` and both ends' reports too.

    The same files distilled twice give the same key if they hold the coins: one must not be used beside
    the other. fresh_coins: draw new ones although the pass's are on record; then the key is another.
    Raises KeyAlreadyUsed when the folder's stores hold the pass already, DataFormatError when the blocks
    need coins that the pass never tossed.
    """
    contact, protocol, header = recording.contact, recording.protocol, recording.header
    tossed = (None, None) if fresh_coins else (recording.satellite.coins(), recording.station.coins())
    seed, origin = header.seed or 0, header.origin
    parameters = contact.parameters(protocol, seed=seed)
    with (
        _nothing_left_after_failure(folder),
        open_stores(folder, contact, protocol) as (above, below),
    ):
        satellite = SatelliteTerminal(
            contact,
            parameters,
            store=above,
            transmitter=recording.satellite.transmitter(),
            origin=origin,
            randbytes=tossed[0] or secrets.token_bytes,
        )
        station = StationTerminal(
            contact,
            parameters,
            store=below,
            receiver=recording.station.receiver(),
            origin=origin,
            tie_bits=tossed[1] or secrets.token_bytes,
            live=False,
        )
        # What the live link did to frames is not on record: key does not depend on it.
        whole = FrameLoss.constant(0.0)
        link = LaserLink(contact, whole, whole, seed=seed)
        try:
            report = fly_terminals(
                satellite, station, link, folder, seed=seed, origin=origin, progress=progress
            )
        except LocalProtocolError as error:
            raise DataFormatError(f"{recording.folder}: {error}") from None
        write_pass_report(folder, report)
    return report


@contextmanager
def _nothing_left_after_failure(folder: Path) -> Iterator[None]:
    """Files that a failed or interrupted run made in the folder are taken away again."""
    before = set(folder.glob("*"))
    try:
        yield
    except BaseException:
        for made in set(folder.glob("*")) - before:
            made.unlink(missing_ok=True)
        raise


def equals_live(recording: RecordedPass, folder: Path) -> bool | None:
    """Whether a folder's stores hold the key of the live pass, both ends, compared in constant time.

    None where there is nothing to compare: it is the recording's own folder, that has no stores, their key
    is used in part (and wiped), or the coins are not on record, so that the key is another.
    """
    if not (recording.satellite.has_coins and recording.station.has_coins) or (
        folder.resolve() == recording.folder.resolve()
    ):
        return None
    answers = []
    for node in (recording.header.satellite, recording.header.station):
        live, distilled = recording.folder / f"{node}.sqlite", folder / f"{node}.sqlite"
        if not live.exists():
            return None
        with KeyStore.open(live, read_only=True) as one, KeyStore.open(distilled, read_only=True) as other:
            answers.append(_same_key(one, other, recording.header.pass_id))
    return None if None in answers else all(answers)


def _same_key(live: KeyStore, distilled: KeyStore, pass_id: str) -> bool | None:
    rows, others = (
        {
            row.block_id: row
            for row in store.list_blocks()
            if row.kind == "link" and row.block_id.startswith(f"{pass_id}.block")
        }
        for store in (live, distilled)
    )
    states, other_states = ({name: row.state for name, row in each.items()} for each in (rows, others))
    if states != other_states:
        return False
    if any(row.spent_bits for row in rows.values()):
        return None
    same = True
    for block_id in rows:
        with live.peek_for_check(block_id) as ours, distilled.peek_for_check(block_id) as theirs:
            same &= ours == theirs
    return same


def _contact_of(
    file: SatelliteFile, satellite: Satellite, station: Station, course: RecordedCourse
) -> RecordedContact:
    header = file.header
    return RecordedContact(
        satellite=satellite,
        station=station,
        epoch=_epoch(file),
        slots=header.slots,
        look=course,
        link_start_s=header.link_start_s,
        link_end_s=header.link_end_s,
        pass_id=header.pass_id,
        expected_qber=header.expected_qber,
    )


def _epoch(file: SatelliteFile) -> datetime:
    try:
        return parse_utc(file.header.epoch_utc)
    except ConfigError as error:
        raise DataFormatError(f"{file.path}: attribute epoch_utc: {error}") from None


def _settings(file: SatelliteFile, text: str, kind: type[T]) -> T:
    name = f"{kind.__name__.lower()}_settings"
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, ConfigError) as error:
        raise DataFormatError(
            f"{file.path}: attribute {name}: {error}; write the settings as `satqkd presets show --json` "
            "does, or read the file with the satqkd that wrote it"
        ) from None


def _require_same(file: SatelliteFile, name: str, told: object, settings: object) -> None:
    if told != settings:
        raise DataFormatError(
            f"{file.path}: attribute {name}: expected {settings} as in the settings, got {told}; write both "
            "alike"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
