"""What the three processes of a pass are told: one TOML file, read by each for its own part."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w
from msgspec import Meta

from satqkd.config import Protocol, Traffic, load, read_toml
from satqkd.errors import ConfigError, ResourceError
from satqkd.mission import presets
from satqkd.mission.contact import Contact, Window, contact_of
from satqkd.mission.pace import UNPACED, read_speed
from satqkd.node.faults import Fault

Role = Literal["satellite", "station", "emulator"]


Port = Annotated[int, Meta(ge=1, le=65535)]


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One pass in processes. Paths in `folder`: a store a node, a report and an event log a process."""

    satellite: str
    """Preset name or TOML path."""
    station: str
    at_utc: str | None = None
    """The pass that contains this instant, else the next by night; default the preset's epoch."""
    seed: Annotated[int, Meta(ge=0, lt=2**53)] = 1
    folder: str
    stores: str | None = None
    """Folder of the key stores; default `folder`."""
    host: str = "127.0.0.1"
    """Where the emulator listens; loopback unless a laboratory's network is trusted."""
    port: Port
    patience_s: Annotated[float, Meta(gt=0)] = 120.0
    """Wall-clock silence after which a process takes the others for dead."""
    record_datagrams: bool = False
    """Keep every datagram in `datagrams.bin` (format in `docs/run-file.md`)."""
    eve: str | None = None
    """Who attacks the light, as `--eve` says it; told to the twin in the station's process alone."""
    protocol: Protocol = Protocol()
    traffic: Traffic = Traffic()
    """What both nodes do for messages of users."""
    speed: str = UNPACED
    """Pass time against wall time: `max`, `realtime` or a factor."""
    grace_s: Annotated[float, Meta(gt=0)] = 2.0
    """Wall-clock silence of a node after which a paced pass goes on without it until it is heard again."""
    window: Window | None = None
    """The part of the contact that is flown."""
    local_port_satellite: Port | None = None
    """TCP port on loopback where the satellite's node tells its state; none: nowhere."""
    local_port_station: Port | None = None
    faults: tuple[Fault, ...] = ()
    """What is to go wrong, for trials."""

    def __post_init__(self) -> None:
        read_speed(self.speed)

    @property
    def directory(self) -> Path:
        """`folder` as a path."""
        return Path(self.folder)

    @property
    def store_folder(self) -> Path:
        """Where the key stores are."""
        return Path(self.stores or self.folder)

    def contact(self) -> Contact:
        """The contact of this pass. Raises ConfigError, NoPassError."""
        craft, ground = presets.satellite(self.satellite), presets.station(self.station)
        return contact_of(craft, ground, self.at_utc, window=self.window)

    def local_port(self, role: Role) -> int | None:
        """Where a node tells its state."""
        ports = {"satellite": self.local_port_satellite, "station": self.local_port_station}
        return ports.get(role)


def read_run_config(path: Path) -> RunConfig:
    """Read and check a run file. Raises ConfigError."""
    config = load(read_toml(path), RunConfig, str(path)).value
    if not config.directory.is_dir():
        raise ConfigError(f"{path}: folder {config.folder} does not exist; make it, or run `satqkd pass`")
    return config


def write_run_config(config: RunConfig, path: Path) -> None:
    """Write a run file as TOML. Raises ResourceError when the folder cannot be written."""
    table = without_none(msgspec.to_builtins(config))
    try:
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def without_none(value: Any) -> Any:
    """Tables without the keys that have no value: TOML knows no null."""
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [without_none(each) for each in value]
    return value
