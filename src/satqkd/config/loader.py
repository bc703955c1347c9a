"""From TOML tables in the user's units to checked structs in SI units.

A struct field `wavelength_m` may be written `wavelength_nm = 850`, a field `latitude_rad` as
`latitude_deg`: the stem must match, the unit is converted once, here. A number may be bare or carry
its evidence: `{ value = 625, evidence = "inferred", source = "..." }`. Unknown keys are refused with
the nearest known name. Where a struct has alternatives (`ALTERNATIVES`, groups of fields), a table that
gives one of them hides the others of the table below. No file is read except by `read_toml`; nothing
here knows what the numbers mean.
"""

import hashlib
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from satqkd.config.base import DETECTORS
from satqkd.errors import ConfigError, nearest

T = TypeVar("T")
Table = dict[str, Any]

Mark = Literal["published", "inferred", "assumed", "calibrated", "measured"]

UNITS: Final[dict[str, dict[str, float]]] = {
    "m": {"m": 1.0, "km": 1e3, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12},
    "rad": {"rad": 1.0, "deg": math.pi / 180, "urad": 1e-6, "mrad": 1e-3},
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "days": 86_400.0},
    "hz": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "bit_s": {"bit_s": 1.0, "kbit_s": 1e3, "mbit_s": 1e6},
    "m_s": {"m_s": 1.0, "km_s": 1e3},
    "rad_s": {"rad_s": 1.0, "deg_s": math.pi / 180, "rev_day": 2 * math.pi / 86_400},
    "w": {"w": 1.0, "mw": 1e-3, "uw": 1e-6},
    "a": {"a": 1.0, "na": 1e-9},
    "a_sqrt_hz": {"a_sqrt_hz": 1.0, "pa_sqrt_hz": 1e-12},
}

_NONE: Final = "none"
"""Takes away what the table below gives, where a setting may be missing: TOML has no word for nothing."""


class Evidence(msgspec.Struct, frozen=True):
    """Where one number comes from."""

    path: str
    """Dotted path in SI names, `source.pulse_rate_hz`."""
    mark: Mark
    source: str


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """A checked struct and the evidence that its file gave for its numbers."""

    value: T
    evidence: tuple[Evidence, ...]


def read_toml(path: Path) -> Table:
    """Parse a TOML file; raises ConfigError with the place when it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a TOML file or a preset's name") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML, got {error}; mend the file there") from None


def merge(base: Table, override: Table) -> Table:
    """`base` with the values of `override` laid over it, table by table. Neither is changed."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def load(table: Table, struct: type[T], where: str, *, over: Table | None = None) -> Loaded[T]:
    """Check a TOML table against a struct type; `where` names the file in messages.

    over: a table below, whose values hold where `table` is silent; each may use its own units.
    Raises ConfigError naming the key path, the value and what is allowed.
    """
    evidence: list[Evidence] = []
    si_table = _to_si(table, struct, where, "", evidence)
    if over is not None:
        below: list[Evidence] = []
        lower = _without_alternatives(_to_si(over, struct, where, "", below), si_table, struct)
        silent = set(_leaves(lower)) - set(_leaves(si_table))
        si_table = merge(lower, si_table)
        evidence += [each for each in below if each.path in silent]
    try:
        value = msgspec.convert(si_table, struct)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_told(str(error), si_table)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return Loaded(value, tuple(evidence))


def config_id(value: Any) -> str:
    """SHA-256 of the effective settings, 64 hex digits: equal id, same settings."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _told(message: str, si_table: Table) -> str:
    """A checker's message with the place first, the value that came, and in the user's unit what it means."""
    found = re.fullmatch(r"(.*) - at `\$\.(.*)`", message)
    if found is None:
        return message
    wanted, path = found.groups()
    value: Any = si_table
    for name in re.findall(r"[^.\[\]]+", path):
        value = value[int(name)] if isinstance(value, list) else value.get(name)
    angle = path.endswith("_rad") and isinstance(value, int | float)
    degrees = f" ({math.degrees(value):g} degrees)" if angle else ""
    return (
        f"{path}: {wanted[0].lower()}{wanted[1:]}, got {value!r}{degrees}; see docs/settings.md for its range"
    )


def _without_alternatives(below: Table, above: Table, struct: type) -> Table:
    """`below` without the fields that go with none of the alternatives that `above` leaves open."""
    groups: tuple[tuple[str, ...], ...] = getattr(struct, "ALTERNATIVES", ())
    every = {name for group in groups for name in group}
    given = every & above.keys()
    still_open = [group for group in groups if given <= set(group)]
    gone = every - {name for group in still_open for name in group} if still_open else set()
    nested = {field: struct_of(hint) for field, hint in typing.get_type_hints(struct).items()}
    lower: Table = {}
    for name, value in below.items():
        inner = nested.get(name)
        if name in gone:
            continue
        both_tables = inner is not None and isinstance(value, dict) and isinstance(above.get(name), dict)
        lower[name] = _without_alternatives(value, above[name], inner) if inner and both_tables else value
    return lower


def _leaves(table: Table, path: str = "") -> Iterator[str]:
    """Dotted paths of the values of a table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield path + key


def _to_si(table: Table, struct: type, where: str, path: str, evidence: list[Evidence]) -> Table:
    names = accepted_names(struct)
    hints = typing.get_type_hints(struct)
    si_table: Table = {}
    for key, raw in table.items():
        if key not in names:
            raise ConfigError(f"{where}: unknown key {path}{key}{near_names(key, names)}")
        field, scale = names[key]
        if field in si_table:
            raise ConfigError(f"{where}: {path}{field} is given twice, in two units; keep one")
        value = raw
        if isinstance(raw, dict) and "value" in raw:
            value = _take_evidence(raw, where, path, field, evidence)
        _refuse_infinite(value, where, path + field)
        if value == _NONE and types.NoneType in typing.get_args(hints[field]):
            value = None
        nested = struct_of(hints[field])
        if nested is not None and isinstance(value, dict):
            value = _to_si(value, nested, where, f"{path}{field}.", evidence)
        elif nested is not None and isinstance(value, list):
            value = [
                _to_si(each, nested, where, f"{path}{field}[{index}].", evidence)
                if isinstance(each, dict)
                else each
                for index, each in enumerate(value)
            ]
        si_table[field] = _spread(_scaled(value, scale), hints[field])
    return si_table


def _take_evidence(raw: Table, where: str, path: str, field: str, evidence: list[Evidence]) -> Any:
    try:
        evidence.append(
            msgspec.convert(
                {"path": path + field, "mark": raw["evidence"], "source": raw["source"]}, Evidence
            )
        )
    except KeyError as missing:
        raise ConfigError(
            f"{where}: {path}{field} has a value but no {missing}; give evidence and source"
        ) from None
    except msgspec.ValidationError:
        raise ConfigError(
            f"{where}: {path}{field}: expected evidence to be one of {', '.join(typing.get_args(Mark))} and "
            f"source to be text, got {raw['evidence']!r} and {raw['source']!r}"
        ) from None
    extra = set(raw) - {"value", "evidence", "source"}
    if extra:
        raise ConfigError(f"{where}: {path}{field}: unknown {sorted(extra)} beside value, evidence, source")
    return raw["value"]


def accepted_names(struct: type) -> dict[str, tuple[str, float]]:
    """TOML key -> (field, factor to SI)."""
    names: dict[str, tuple[str, float]] = {}
    for field in msgspec.structs.fields(struct):
        names[field.encode_name] = (field.encode_name, 1.0)
        bases = [base for base in UNITS if field.name.endswith(f"_{base}")]
        if bases:
            base = max(bases, key=len)
            stem = field.name.removesuffix(base)
            names |= {stem + unit: (field.encode_name, factor) for unit, factor in UNITS[base].items()}
    return names


def near_names(key: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown key: the nearest known one, or all that are allowed."""
    near = nearest(key, names)
    return f"; {near}" if near else f"; allowed: {', '.join(sorted(names))}"


def struct_of(hint: Any) -> type | None:
    """The struct type inside `X`, `X | None` or `tuple[X, ...]`."""
    is_nested = isinstance(hint, types.UnionType) or typing.get_origin(hint) is tuple
    options = typing.get_args(hint) if is_nested else (hint,)
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


def _refuse_infinite(value: Any, where: str, path: str) -> None:
    numbers = value if isinstance(value, list) else [value]
    if any(isinstance(each, float) and not math.isfinite(each) for each in numbers):
        raise ConfigError(
            f"{where}: {path}: expected a finite number, got {value}; give one, or leave it out"
        )


def _spread(value: Any, hint: Any) -> Any:
    """One number where four are wanted, one a detector, holds for all."""
    of_four = typing.get_origin(hint) is tuple and len(typing.get_args(hint)) == DETECTORS
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] * DETECTORS if of_four and is_number else value


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, list):
        return [_scaled(each, scale) for each in value]
    if isinstance(value, bool) or scale == 1.0 or not isinstance(value, int | float):
        return value
    return value * scale
