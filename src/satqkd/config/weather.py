"""The weather of a plan: where probabilities of a clear sky come from, how long and how far a sky lasts.

No weather is in these defaults: they are conventions and assumptions of the software, marked so one by one.
The table that they need is `plan/clear_sky.csv` or one's own (`docs/weather.md`).
"""

from typing import Annotated

from msgspec import Meta

from satqkd.config.base import Fraction, Settings


class Weather(Settings, frozen=True, kw_only=True):
    """How likely stations have a clear sky, and how alike their skies are. A seed is no setting."""

    table: str | None = None
    """Path of a CSV file of one's own, whose rows go before those of the shipped table, by station's name."""
    nearest_m: Annotated[float, Meta(ge=0, le=2.1e7)] = 50_000.0
    """A row of a table holds for stations no farther away than this. Assumed."""
    default_clear: Fraction | None = None
    """Probability, all year, where no row holds; none: a station without a row is an error."""
    persistence_s: Annotated[float, Meta(gt=0, le=1e7)] = 43_200.0
    """Time in which the correlation of a station's sky with itself falls by e. Assumed: half a day."""
    correlation_m: Annotated[float, Meta(gt=0, le=1e8)] = 300_000.0
    """Distance in which the correlation of two stations falls by e, of the Gaussian copula. Assumed."""
