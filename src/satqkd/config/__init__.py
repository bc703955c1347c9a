"""Settings: TOML in the user's units to checked structs in SI, with the evidence for each number."""

from satqkd.config.base import DETECTORS, Settings
from satqkd.config.lasercom import Beacon, Impairments, Laser, Lasercom, LaserReceiver, Outage
from satqkd.config.loader import Evidence, Loaded, config_id, load, read_toml
from satqkd.config.monitors import BrightLight, Monitors
from satqkd.config.network import KeyNetwork, PairPolicy, RelayQuota
from satqkd.config.orbit import Orbit
from satqkd.config.protocol import Protocol
from satqkd.config.satellite import Header, Satellite, Source, Transmitter
from satqkd.config.scenario import (
    PairDemand,
    SatelliteGroup,
    Scenario,
    Service,
    StationGroup,
    User,
    Waypoint,
    YieldRules,
)
from satqkd.config.station import (
    Clock,
    Cloud,
    Detector,
    Isolation,
    Limits,
    Polarisation,
    Receiver,
    Station,
    Tagger,
    Turbulence,
)
from satqkd.config.traffic import Traffic
from satqkd.config.weather import Weather

__all__ = [
    "DETECTORS",
    "Beacon",
    "BrightLight",
    "Clock",
    "Cloud",
    "Detector",
    "Evidence",
    "Header",
    "Impairments",
    "Isolation",
    "KeyNetwork",
    "Laser",
    "LaserReceiver",
    "Lasercom",
    "Limits",
    "Loaded",
    "Monitors",
    "Orbit",
    "Outage",
    "PairDemand",
    "PairPolicy",
    "Polarisation",
    "Protocol",
    "Receiver",
    "RelayQuota",
    "Satellite",
    "SatelliteGroup",
    "Scenario",
    "Service",
    "Settings",
    "Source",
    "Station",
    "StationGroup",
    "Tagger",
    "Traffic",
    "Transmitter",
    "Turbulence",
    "User",
    "Waypoint",
    "Weather",
    "YieldRules",
    "config_id",
    "load",
    "read_toml",
]
