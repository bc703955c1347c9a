"""The door to hardware and who answers it: the digital twin, or recorded tags.

Importing this loads no numba; making a `TwinReceiver` does. `docs/design/twin.md` says what is modelled.
"""

from satqkd.devices.dice import settings_of
from satqkd.devices.door import Receiver, Transmitter
from satqkd.devices.recorded import RecordedReceiver, RecordingReceiver, Stretch
from satqkd.devices.twin import TwinReceiver, TwinTransmitter

__all__ = [
    "Receiver",
    "RecordedReceiver",
    "RecordingReceiver",
    "Stretch",
    "Transmitter",
    "TwinReceiver",
    "TwinTransmitter",
    "settings_of",
]
