"""What every setting is made of: numbers with their ranges, checked when a struct is made.

Numbers of hardware live in `presets/*.toml` with their evidence, not in these structs: a default is a
convention of the software, or an effect that is absent unless somebody gives its number.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Inside = Annotated[float, Meta(gt=0, lt=1)]
Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, keyword-only, unknown keys refused."""
