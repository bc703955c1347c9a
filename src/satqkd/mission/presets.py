"""Presets into objects: a name or the path of a TOML file to a checked satellite or station.

Names are those of the shipped presets and of a folder of the user's own, which the environment variable
SATQKD_PRESETS names (`satellites/` and `stations/` below it); the user's hides a shipped one of its name.
A file may begin with `preset = "name"`: then it overrides that preset, table by table. Every number of a
shipped preset carries its evidence. An orbit that names a file of elements, beside the TOML file, becomes
plain elements here, so that nothing else needs that file. Reads files and that one variable, nothing else.
"""

import os
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from satqkd.config import Evidence, Loaded, Satellite, Station, load, read_toml
from satqkd.errors import ConfigError, nearest
from satqkd.sky import Elements, format_utc, parse_utc, read_elements, select_elements

T = TypeVar("T", Satellite, Station)
Table = dict[str, Any]

FOLDER_VARIABLE: Final = "SATQKD_PRESETS"
SHIPPED: Final = "shipped"

_FOLDERS: Final = {Satellite: "satellites", Station: "stations"}
_OF_SATELLITES: Final = (
    "orbit",
    "source",
    "transmitter",
    "beacon",
    "header",
    "reference_epoch_utc",
    "sunlit_magnitude",
)
"""Keys that only a satellite has."""


def satellite(name: str) -> Satellite:
    """The satellite of a preset's name or a TOML file's path. Raises ConfigError."""
    return load_preset(name, Satellite).value


def station(name: str) -> Station:
    """The station of a preset's name or a TOML file's path. Raises ConfigError."""
    return load_preset(name, Station).value


def names(kind: type[T]) -> list[str]:
    """Names of the presets of a kind, shipped and the user's, sorted. Raises ConfigError."""
    return sorted({path.stem for folder in _folders(kind) for path in folder.glob("*.toml")})


def origin(name: str, kind: type[T]) -> str:
    """Where a preset comes from: `shipped`, or the path of the user's file. Raises ConfigError."""
    path = Path(name) if _is_path(name) else _path(name, kind)
    return SHIPPED if path.parent == _shipped(kind) else str(path)


def kind_of(name: str) -> type[Satellite] | type[Station]:
    """Whether a preset's name or a TOML file's path is of a satellite or a station. Raises ConfigError."""
    if _is_path(name):
        return _kind_of_file(Path(name), ())
    satellites, stations = names(Satellite), names(Station)
    if name in satellites:
        return Satellite
    if name in stations:
        return Station
    raise ConfigError(f"unknown preset {name!r}; {_hint(name, [*satellites, *stations])}")


def _kind_of_file(path: Path, above: tuple[Path, ...]) -> type[Satellite] | type[Station]:
    table, chain = read_toml(path), (*above, path.absolute())
    base = table.get("preset")
    if any(key in table for key in _OF_SATELLITES):
        return Satellite
    if not isinstance(base, str):
        return Station
    return _kind_of_file(_beside(path, base, chain), chain) if _is_path(base) else kind_of(base)


def _beside(path: Path, base: str, chain: tuple[Path, ...]) -> Path:
    """The file that a file builds on, by its place beside it. Raises ConfigError for a loop."""
    other = path.parent / base
    if other.absolute() in chain:
        raise ConfigError(
            f"{path}: preset: expected a preset or file that does not build on this one, got {base!r}, "
            "a loop; name another"
        )
    return other


def load_preset(name: str, kind: type[T]) -> Loaded[T]:
    """A preset or file with its evidence. Raises ConfigError naming the nearest preset."""
    path = Path(name) if _is_path(name) else _path(name, kind)
    return _load_file(path, kind, ())


def _is_path(name: str) -> bool:
    return name.endswith(".toml")


def _load_file(path: Path, kind: type[T], above: tuple[Path, ...]) -> Loaded[T]:
    """One file over the preset that it begins with; `above` are the files that build on it."""
    where = f"preset {path.stem}" if path.parent == _shipped(kind) else str(path)
    table = read_toml(path)
    chain = (*above, path.absolute())
    base = table.pop("preset", None)
    below = None if base is None else _below(path, base, kind, where, chain)
    orbit = table.get("orbit")
    if kind is Satellite and isinstance(orbit, dict) and "elements_file" in orbit:
        epoch_utc = table.get("reference_epoch_utc", (below or {}).get("reference_epoch_utc"))
        table["orbit"] = _orbit_of_file(orbit, path.parent, where, epoch_utc)
        if below is not None:
            below.pop("orbit")
    return load(table, kind, where, over=below)


def _below(path: Path, base: Any, kind: type[T], where: str, chain: tuple[Path, ...]) -> Table:
    """The preset or file `base` that a file builds on, as a table in SI units, its evidence with it."""
    if not isinstance(base, str):
        raise ConfigError(f"{where}: preset: expected a preset's name in quotes, got {base!r}")
    below = _beside(path, base, chain) if _is_path(base) else _path(base, kind, hidden=chain)
    loaded = _load_file(below, kind, chain)
    evidence = {each.path: each for each in loaded.evidence}
    return _with_evidence(msgspec.to_builtins(loaded.value), evidence, "")


def _with_evidence(settings: Table, evidence: dict[str, Evidence], path: str) -> Table:
    """Settings as a file would give them; what is None is left out."""
    table: Table = {}
    for key, value in settings.items():
        known = evidence.get(path + key)
        if isinstance(value, dict):
            table[key] = _with_evidence(value, evidence, f"{path}{key}.")
        elif value is not None:
            table[key] = value if known is None else _marked(value, known.mark, known.source)
    return table


def _marked(value: Any, mark: Any, source: Any) -> Table:
    return {"value": value, "evidence": mark, "source": source}


def _orbit_of_file(orbit: Table, folder: Path, where: str, epoch_utc: Any) -> Table:
    """Plain elements for `elements_file`; of several sets of one satellite that nearest to the epoch.

    The evidence that the file gives with `elements_file` holds for each number; without, the set is named.
    """
    beside = sorted(set(orbit) - {"elements_file", "catalogue_number"})
    if beside:
        raise ConfigError(
            f"{where}: orbit: expected elements_file and catalogue_number alone, got {', '.join(beside)} "
            "besides; keep one description of the orbit"
        )
    named, number = orbit["elements_file"], _plain(orbit.get("catalogue_number"))
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise ConfigError(f"{where}: orbit.catalogue_number: expected a whole number, got {number!r}")
    path = folder / str(_plain(named))
    found = read_elements(_content(path, where), where=str(path))
    try:
        at = None if epoch_utc is None else parse_utc(str(_plain(epoch_utc)))
        chosen = select_elements(found, catalogue_number=number, at=at)
    except ConfigError as problem:
        raise ConfigError(f"{where}, with {path}: {problem}") from None
    told = named if isinstance(named, dict) else {}
    mark, source = told.get("evidence", "published"), told.get("source", _name_of(chosen, path))
    elements = msgspec.to_builtins(chosen.orbit)
    return {key: _marked(value, mark, source) for key, value in elements.items() if value is not None}


def _content(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ConfigError(
            f"{where}: orbit.elements_file: {path} cannot be read ({problem.strerror}); give a path from the "
            "folder of the TOML file, or an absolute one"
        ) from None


def _name_of(chosen: Elements, path: Path) -> str:
    name = f"{chosen.name}, " if chosen.name else ""
    return (
        f"element set of {name}satellite {chosen.catalogue_number}, epoch {format_utc(chosen.epoch)}, in "
        f"{path.name}"
    )


def _plain(value: Any) -> Any:
    """A value without its evidence."""
    return value.get("value") if isinstance(value, dict) else value


def _path(name: str, kind: type[T], hidden: tuple[Path, ...] = ()) -> Path:
    """The file behind a name: the user's first, but none that is `hidden`."""
    what, known = kind.__name__.lower(), names(kind)
    if name not in known:
        raise ConfigError(f"unknown {what} {name!r}; {_hint(name, known)} (or give the path of a .toml file)")
    found = [path for folder in _folders(kind) if (path := folder / f"{name}.toml").is_file()]
    for path in found:
        if path.absolute() not in hidden:
            return path
    raise ConfigError(
        f"{hidden[-1]}: preset: expected one that does not build on this file, got {name!r}, which does "
        f"({found[0]}); name another, or give all values"
    )


def _hint(name: str, known: list[str]) -> str:
    return nearest(name, known) or f"known: {', '.join(sorted(known))}"


def _folders(kind: type[T]) -> list[Path]:
    """Where presets of a kind lie, the user's folder first."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if not chosen:
        return [_shipped(kind)]
    if not Path(chosen).is_dir():
        raise ConfigError(
            f"{FOLDER_VARIABLE}: expected a folder with satellites/ and stations/ in it, got {chosen}, which "
            "is none; make it, or unset the variable"
        )
    return [Path(chosen) / _FOLDERS[kind], _shipped(kind)]


def _shipped(kind: type[T]) -> Path:
    return Path(str(resources.files("satqkd"))) / "presets" / _FOLDERS[kind]
