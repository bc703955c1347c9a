"""What the three processes of a pass are told: one TOML file, read by each for its own part."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tomli_w
from msgspec import Meta

from satqkd.config import Protocol, load, read_toml
from satqkd.errors import ConfigError, ResourceError

Role = Literal["satellite", "station", "emulator"]


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
    port: Annotated[int, Meta(ge=1, le=65535)]
    patience_s: Annotated[float, Meta(gt=0)] = 120.0
    """Wall-clock silence after which a process takes the others for dead."""
    record_datagrams: bool = False
    """Keep every datagram in `datagrams.bin` (format in `docs/run-file.md`)."""
    eve: str | None = None
    """Who attacks the light, as `--eve` says it; told to the twin in the station's process alone."""
    protocol: Protocol = Protocol()

    @property
    def directory(self) -> Path:
        """`folder` as a path."""
        return Path(self.folder)

    @property
    def store_folder(self) -> Path:
        """Where the key stores are."""
        return Path(self.stores or self.folder)


def read_run_config(path: Path) -> RunConfig:
    """Read and check a run file. Raises ConfigError."""
    config = load(read_toml(path), RunConfig, str(path)).value
    if not config.directory.is_dir():
        raise ConfigError(f"{path}: folder {config.folder} does not exist; make it, or run `satqkd pass`")
    return config


def write_run_config(config: RunConfig, path: Path) -> None:
    """Write a run file as TOML. Raises ResourceError when the folder cannot be written."""
    table = {key: value for key, value in msgspec.to_builtins(config).items() if value is not None}
    try:
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
