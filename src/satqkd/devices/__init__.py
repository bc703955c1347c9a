"""The door to hardware and who answers it: the digital twin, or what a pass left on record.

Importing this loads no numba and no h5py; making a `TwinReceiver`, or opening a file, does.
`docs/design/twin.md` says what is modelled, `docs/recorded-pass.md` what the files hold.
"""

from satqkd.devices.dice import settings_of
from satqkd.devices.door import Receiver, Transmitter
from satqkd.devices.recorded import (
    RecordedCoins,
    RecordedReceiver,
    RecordedTransmitter,
    RecordingReceiver,
    RecordingTransmitter,
    Stretch,
)
from satqkd.devices.recorded_files import SatelliteFile, StationFile
from satqkd.devices.recording import Course, NewSatelliteFile, NewStationFile, RecordHeader, text_id
from satqkd.devices.twin import TwinReceiver, TwinTransmitter

__all__ = [
    "Course",
    "NewSatelliteFile",
    "NewStationFile",
    "Receiver",
    "RecordHeader",
    "RecordedCoins",
    "RecordedReceiver",
    "RecordedTransmitter",
    "RecordingReceiver",
    "RecordingTransmitter",
    "SatelliteFile",
    "StationFile",
    "Stretch",
    "Transmitter",
    "TwinReceiver",
    "TwinTransmitter",
    "settings_of",
    "text_id",
]
