"""Result structs: frozen, checked when made, adding up where that has a meaning, plain in JSON.

One object per block or pass, never per photon. No key material is ever a field of these.
"""

from typing import Any

import msgspec
import numpy as np

from satqkd.errors import DataFormatError


class ClassCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Detections of one basis and one intensity class, both ends in that same basis."""

    basis: str
    """"Z" or "X"."""
    class_name: str = msgspec.field(name="class")
    """"signal", "decoy" or "vacuum"."""
    intensity: float
    """Mean photon number of the class."""
    probability: float
    """Probability with which the sender chose the class."""
    detections: int
    errors: int

    def __post_init__(self) -> None:
        if self.basis not in ("Z", "X"):
            raise DataFormatError(f"counts: expected basis Z or X, got {self.basis!r}")
        if not 0 <= self.errors <= self.detections:
            raise DataFormatError(
                f"counts {self.basis}/{self.class_name}: expected 0 <= errors <= detections, "
                f"got {self.errors} of {self.detections}"
            )
        if self.intensity < 0 or not 0 <= self.probability <= 1:
            raise DataFormatError(
                f"counts {self.basis}/{self.class_name}: expected intensity >= 0 and probability in [0, 1], "
                f"got {self.intensity} and {self.probability}"
            )

    def __add__(self, other: "ClassCounts") -> "ClassCounts":
        if (self.basis, self.class_name, self.intensity) != (other.basis, other.class_name, other.intensity):
            raise DataFormatError(
                f"counts of {self.basis}/{self.class_name} cannot be added to "
                f"{other.basis}/{other.class_name}"
            )
        return msgspec.structs.replace(
            self, detections=self.detections + other.detections, errors=self.errors + other.errors
        )


class KeyLength(msgspec.Struct, frozen=True):
    """How many bits are secret, and every term of the sum."""

    secret_bits: int
    bound: str
    terms: dict[str, Any]
    """Every intermediate value by name: bounds on photon numbers, epsilons, the terms of the length."""

    def __post_init__(self) -> None:
        if self.secret_bits < 0:
            raise DataFormatError(f"secret_bits: expected >= 0, got {self.secret_bits}")


def to_json(value: Any) -> bytes:
    """One JSON document; floats that are not finite become null, numpy scalars plain numbers."""
    return msgspec.json.format(
        msgspec.json.encode(_plain(msgspec.to_builtins(value, enc_hook=_numpy))), indent=2
    )


def _numpy(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
