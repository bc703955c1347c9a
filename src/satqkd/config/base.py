"""What every setting is made of: numbers with their ranges, checked when a struct is made.

Numbers of hardware live in `presets/*.toml` with their evidence, not in these structs: a default is a
convention of the software, or an effect that is absent unless somebody gives its number.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

DETECTORS: Final = 4
"""Of a receiver: H, V, +, -."""
Positive = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Inside = Annotated[float, Meta(gt=0, lt=1)]
Wavelength = Annotated[float, Meta(ge=1e-7, le=2e-5)]
Aperture = Annotated[float, Meta(gt=0, le=50)]
Shadow = Annotated[float, Meta(ge=0, lt=1)]
"""Diameter of a secondary mirror's shadow over that of the aperture."""
Divergence = Annotated[float, Meta(gt=0, le=0.5)]
Jitter = Annotated[float, Meta(ge=0, le=1e-3)]
"""Of pointing, in rad: more is no pointing."""
Decibels = Annotated[float, Meta(ge=0, le=400)]
"""A loss or an isolation; beyond it nothing is left that a computer tells from nothing."""
Power = Annotated[float, Meta(gt=0, le=1e5)]
Time = Annotated[float, Meta(gt=0, le=1e6)]
EventRate = Annotated[float, Meta(ge=0, le=1e9)]
Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, keyword-only, unknown keys refused."""
