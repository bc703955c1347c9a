"""What an eavesdropper does to the light of a pass, as one line of text says it.

    NAME[:VALUE][,shift_ns=VALUE][,way=both|late|early][,from=SECONDS][,to=SECONDS]

    intercept-resend:0.2                     share of the pulses; default 1
    photon-number-splitting:0.5              share of the single photons that are blocked; default 1
    blinding:1e-6                            bright light on each detector, W; default 1e-6
    time-shift:0.5,shift_ns=0.4,way=late     share of the pulses; default 1, half a gate, both ways
    jamming:2e5  jamming:1e-12W              counts a second of all detectors, or light at them, W

`from` and `to` are pass times of emission; left out, from the first slot to the last. Here is only text and
its meaning: what the light then does is `satqkd.devices.eve`.
"""

import math
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import msgspec

from satqkd.errors import ConfigError, nearest

Attack = Literal["intercept-resend", "photon-number-splitting", "blinding", "time-shift", "jamming"]
Way = Literal["both", "late", "early"]

DEFAULT_BLINDING_W: Final = 1e-6
MAXIMUM_JAMMING_HZ: Final = 2e7
"""Beyond it detectors are dead nearly always; each event of it is drawn."""
MAXIMUM_SHIFT_S: Final = 1e-8
FORM: Final = "NAME[:VALUE][,KEY=VALUE...], as in intercept-resend:0.2,from=10,to=60"
_KEYS: Final = ("from", "to", "shift_ns", "way")


class EveSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One attacker on the quantum link."""

    text: str
    """As it was given."""
    attack: Attack
    share: float = 1.0
    """Of pulses, or of single photons, that are attacked; in [0, 1]."""
    bright_w: float = DEFAULT_BLINDING_W
    """Of blinding, on each detector."""
    jamming_hz: float = 0.0
    """Counts of all detectors together; 0 where the power is given."""
    jamming_w: float = 0.0
    """Of light at all detectors together; 0 where counts are given."""
    shift_s: float | None = None
    """Of a time shift; None: half of the receiver's gate."""
    way: Way = "both"
    """Of a time shift: late, early, or each by the toss of a coin."""
    from_s: float = -math.inf
    to_s: float = math.inf


def parse_eve(text: str) -> EveSpec:
    """What a line says. Raises ConfigError that says what was expected, got, and where."""
    head, *pairs = (part.strip() for part in text.split(","))
    name, has_value, value = (part.strip() for part in head.partition(":"))
    if name not in get_args(Attack):
        near = nearest(name, get_args(Attack))
        raise _wrong(text, f"one of {', '.join(get_args(Attack))}", repr(name), near or f"write {FORM}")
    fields = _VALUES[name](text, value) if has_value else {}
    if name == "jamming" and not has_value:
        raise _wrong(text, "a rate or a power", "none", "write jamming:2e5 (Hz) or jamming:1e-12W")
    fields |= _options(text, name, pairs)
    spec = EveSpec(text=text, attack=name, **fields)  # type: ignore[arg-type]
    if not spec.from_s < spec.to_s:
        raise _wrong(text, "from before to", f"{spec.from_s:g} and {spec.to_s:g}", "give pass times in s")
    return spec


def _options(text: str, name: str, pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        allowed = _KEYS if name == "time-shift" else _KEYS[:2]
        if not equals or key not in allowed:
            known = ", ".join(f"{each}=" for each in allowed)
            raise _wrong(text, f"{known} after the commas", repr(pair), f"write {FORM}")
        field, read = _READERS[key]
        if field in fields:
            raise _wrong(text, f"{key} once", "it twice", "keep one")
        fields[field] = read(text, value)
    return fields


def _number(text: str, what: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise _wrong(text, f"{what} in [{low:g}, {high:g}]", repr(value), "give a number in that range")
    return number


def _share(text: str, value: str) -> dict[str, Any]:
    return {"share": _number(text, "a share", value, 0.0, 1.0)}


def _bright(text: str, value: str) -> dict[str, Any]:
    return {"bright_w": _number(text, "a power in W", value.removesuffix("W"), 1e-15, 1.0)}


def _noise(text: str, value: str) -> dict[str, Any]:
    if value.endswith("W"):
        return {"jamming_w": _number(text, "a power in W", value.removesuffix("W"), 1e-20, 1e-9)}
    rate = value.removesuffix("Hz")
    return {"jamming_hz": _number(text, "a rate in Hz", rate, 1e-3, MAXIMUM_JAMMING_HZ)}


def _way(text: str, value: str) -> str:
    if value not in get_args(Way):
        raise _wrong(text, "way=both, late or early", repr(value), "leave it out for both")
    return value


def _seconds(text: str, value: str) -> float:
    return _number(text, "a pass time in s", value, -1e6, 1e6)


def _shift_s(text: str, value: str) -> float:
    return 1e-9 * _number(text, "a shift in ns", value, 0.0, MAXIMUM_SHIFT_S * 1e9)


_VALUES: Final[dict[str, Callable[[str, str], dict[str, Any]]]] = {
    "intercept-resend": _share,
    "photon-number-splitting": _share,
    "blinding": _bright,
    "time-shift": _share,
    "jamming": _noise,
}
_READERS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "from": ("from_s", _seconds),
    "to": ("to_s", _seconds),
    "shift_ns": ("shift_s", _shift_s),
    "way": ("way", _way),
}


def _wrong(text: str, expected: str, got: str, what_to_do: str) -> ConfigError:
    return ConfigError(f"--eve {text}: expected {expected}, got {got}; {what_to_do}")
