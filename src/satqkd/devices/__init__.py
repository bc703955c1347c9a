"""The door to hardware and who answers it: the digital twin, or what a pass left on record.

Importing this loads no numba and no h5py; making a `TwinReceiver`, or opening a file, does.
`docs/design/twin.md` says what is modelled, `docs/recorded-pass.md` what the files hold.
"""

from satqkd.devices.dice import settings_of
from satqkd.devices.door import BiasReadings, Monitored, Receiver, Skips, Transmitter, TurnsPlate
from satqkd.devices.eve_account import EveAccount, EveBlock
from satqkd.devices.eve_spec import EveSpec, parse_eve
from satqkd.devices.nature import header_of
from satqkd.devices.recorded import (
    RecordedCoins,
    RecordedReceiver,
    RecordedTransmitter,
    RecordingReceiver,
    RecordingTransmitter,
    Stretch,
    tag_record,
)
from satqkd.devices.recorded_files import SatelliteFile, StationFile
from satqkd.devices.recording import (
    NewSatelliteFile,
    NewStationFile,
    RecordedCourse,
    RecordHeader,
    text_id,
)
from satqkd.devices.twin import TwinReceiver, TwinTransmitter

__all__ = [
    "BiasReadings",
    "EveAccount",
    "EveBlock",
    "EveSpec",
    "Monitored",
    "NewSatelliteFile",
    "NewStationFile",
    "Receiver",
    "RecordHeader",
    "RecordedCoins",
    "RecordedCourse",
    "RecordedReceiver",
    "RecordedTransmitter",
    "RecordingReceiver",
    "RecordingTransmitter",
    "SatelliteFile",
    "Skips",
    "StationFile",
    "Stretch",
    "Transmitter",
    "TurnsPlate",
    "TwinReceiver",
    "TwinTransmitter",
    "header_of",
    "parse_eve",
    "settings_of",
    "tag_record",
    "text_id",
]
