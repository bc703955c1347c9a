"""Presets into objects: a name or the path of a TOML file to a checked satellite or station.

A file may begin with `preset = "name"`: then it overrides that preset, table by table. Every number of
a shipped preset carries its evidence. Reads files, nothing else.
"""

import difflib
from importlib import resources
from pathlib import Path
from typing import TypeVar

from satqkd.config import Loaded, Satellite, Station, load, read_toml
from satqkd.errors import ConfigError

T = TypeVar("T", Satellite, Station)

_FOLDERS = {Satellite: "satellites", Station: "stations"}


def satellite(name: str) -> Satellite:
    """The satellite of a preset's name or a TOML file's path. Raises ConfigError."""
    return load_preset(name, Satellite).value


def station(name: str) -> Station:
    """The station of a preset's name or a TOML file's path. Raises ConfigError."""
    return load_preset(name, Station).value


def names(kind: type[T]) -> list[str]:
    """Names of the shipped presets of a kind, sorted."""
    return sorted(path.stem for path in _folder(kind).glob("*.toml"))


def load_preset(name: str, kind: type[T]) -> Loaded[T]:
    """A preset or file with its evidence. Raises ConfigError naming the nearest preset."""
    if name.endswith(".toml"):
        table = read_toml(Path(name))
        base = table.pop("preset", None)
        return load(table, kind, name, over=None if base is None else read_toml(_path(str(base), kind)))
    return load(read_toml(_path(name, kind)), kind, f"preset {name}")


def _path(name: str, kind: type[T]) -> Path:
    known = names(kind)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise ConfigError(
            f"unknown {kind.__name__.lower()} {name!r}; {hint} (or give the path of a .toml file)"
        )
    return _folder(kind) / f"{name}.toml"


def _folder(kind: type[T]) -> Path:
    return Path(str(resources.files("satqkd"))) / "presets" / _FOLDERS[kind]
