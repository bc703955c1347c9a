"""The door to hardware and who answers it: the digital twin, or what a pass left on record.

Importing this loads no numba and no h5py; making a `TwinReceiver`, or opening a file, does.
`docs/design/twin.md` says what is modelled, `docs/recorded-pass.md` what the files hold.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:
    from satqkd.doors import opened_when_used

    __getattr__ = opened_when_used(
        __name__,
        {
            "BiasReadings": "door",
            "EveAccount": "eve_account",
            "EveBlock": "eve_account",
            "EveSpec": "eve_spec",
            "Monitored": "door",
            "NewSatelliteFile": "recording",
            "NewStationFile": "recording",
            "Receiver": "door",
            "RecordHeader": "recording",
            "RecordedCoins": "recorded",
            "RecordedCourse": "recording",
            "RecordedReceiver": "recorded",
            "RecordedTransmitter": "recorded",
            "RecordingReceiver": "recorded",
            "RecordingTransmitter": "recorded",
            "SatelliteFile": "recorded_files",
            "Skips": "door",
            "StationFile": "recorded_files",
            "Stretch": "recorded",
            "Transmitter": "door",
            "TurnsPlate": "door",
            "TwinReceiver": "twin",
            "TwinTransmitter": "twin",
            "header_of": "nature",
            "parse_eve": "eve_spec",
            "settings_of": "dice",
            "tag_record": "recorded",
            "text_id": "recording",
        },
    )

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
