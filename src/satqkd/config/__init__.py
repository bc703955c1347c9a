"""Settings: TOML in the user's units to checked structs in SI, with the evidence for each number."""

from satqkd.config.loader import Evidence, Loaded, config_id, load, read_toml
from satqkd.config.structs import (
    Beacon,
    Clock,
    Detector,
    Lasercom,
    Orbit,
    Protocol,
    Receiver,
    Satellite,
    Source,
    Station,
    Transmitter,
)

__all__ = [
    "Beacon",
    "Clock",
    "Detector",
    "Evidence",
    "Lasercom",
    "Loaded",
    "Orbit",
    "Protocol",
    "Receiver",
    "Satellite",
    "Source",
    "Station",
    "Transmitter",
    "config_id",
    "load",
    "read_toml",
]
