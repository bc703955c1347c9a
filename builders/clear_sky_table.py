"""Builds `src/satqkd/plan/clear_sky.csv`: annual means of places, with the season of a climate put on.

The annual mean of a place is 1 less the probability of liquid cloud where that was computed (itur 0.4.0,
`itu840.lognormal_approximation_coefficient(latitude, longitude)`, third value, at the coordinates below),
else a guess beside such places. The twelve departures of a climate are guesses throughout. Liquid cloud
leaves cirrus out, and makes no difference between night and day: an optimistic bound.

    python builders/clear_sky_table.py > src/satqkd/plan/clear_sky.csv
"""

import csv
import io
import sys
from typing import Final, NamedTuple

DAYS: Final = (31, 28.2425, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

DEPARTURES: Final = {
    "north-china": (12, 8, 5, 3, 0, -8, -22, -15, -2, 6, 8, 10),
    "yangtze": (-2, -7, -7, -3, -2, -12, 2, 7, 4, 10, 8, 7),
    "south-china": (-2, -12, -16, -14, -8, -6, 2, 2, 8, 16, 16, 12),
    "south-west-china": (28, 26, 20, 10, -3, -28, -35, -30, -20, 2, 20, 27),
    "plateau": (6, 3, 0, -2, -5, -8, -10, -6, -2, 7, 9, 8),
    "xinjiang": (-4, -5, -5, -2, 0, 0, 2, 5, 8, 7, 0, -5),
    "japan": (14, 8, 1, -2, -6, -18, -10, -3, -10, -2, 10, 17),
    "maritime": (-6, -3, 0, 4, 5, 4, 3, 2, 2, -2, -4, -6),
    "continental": (-14, -9, 0, 5, 8, 9, 12, 13, 7, 0, -14, -17),
    "nordic": (-16, -10, 2, 9, 13, 13, 12, 8, 0, -8, -18, -20),
    "mediterranean": (-14, -12, -8, -5, 2, 12, 22, 20, 8, -2, -10, -14),
    "canary": (-4, -3, -3, -3, 0, 5, 9, 7, 2, -2, -4, -5),
    "cape": (14, 14, 9, 0, -9, -13, -12, -10, -5, 0, 6, 11),
    "highveld": (-16, -13, -9, 0, 12, 18, 19, 16, 8, -6, -14, -16),
    "inland-australia": (2, -1, 4, 6, 0, -6, -3, 2, 2, 0, -3, -1),
    "equatorial": (-4, 4, 2, 0, 2, 4, 4, 2, 0, -2, -7, -8),
    "great-lakes": (-18, -12, -3, 2, 7, 12, 16, 13, 8, 0, -12, -17),
}  # fmt: skip
"""Hundredths of a probability from the annual mean; their own mean is taken off. Assumed."""


class Entry(NamedTuple):
    """A place, its annual mean in per cent, and the climate that gives the season."""

    name: str
    latitude_deg: float
    longitude_deg: float
    clear: int
    climate: str
    computed: bool = False
    """Whether `clear` is 100 less a computed probability of liquid cloud, or a guess."""


PLACES: Final = (
    Entry("beijing", 40.0, 116.3, 80, "north-china", True),
    Entry("delingha", 37.379, 97.727, 86, "plateau", True),
    Entry("graz", 47.067, 15.493, 53, "continental", True),
    Entry("hefei", 31.83, 117.15, 50, "yangtze", True),
    Entry("jinan", 36.68, 117.13, 73, "north-china", True),
    Entry("nanshan", 43.475, 87.177, 75, "xinjiang", True),
    Entry("shanghai", 31.13, 121.54, 48, "yangtze", True),
    Entry("stellenbosch", -33.93, 18.86, 78, "cape", True),
    Entry("wuhan", 30.54, 114.36, 41, "yangtze", True),
    Entry("xinglong", 40.396, 117.577, 78, "north-china"),
    Entry("zvenigorod", 55.7, 36.76, 43, "nordic"),
    Entry("athens", 37.98, 23.73, 70, "mediterranean"),
    Entry("belfast", 54.6, -5.93, 43, "maritime"),
    Entry("berlin", 52.52, 13.4, 48, "continental"),
    Entry("bristol", 51.45, -2.59, 47, "maritime"),
    Entry("calern", 43.754, 6.921, 68, "mediterranean"),
    Entry("cambridge", 52.2, 0.12, 50, "maritime"),
    Entry("canberra", -35.28, 149.13, 62, "inland-australia"),
    Entry("cape-town", -33.92, 18.42, 76, "cape"),
    Entry("cork", 51.9, -8.47, 44, "maritime"),
    Entry("dublin", 53.35, -6.26, 45, "maritime"),
    Entry("galway", 53.27, -9.05, 41, "maritime"),
    Entry("glasgow", 55.86, -4.25, 41, "maritime", True),
    Entry("guangzhou", 23.13, 113.26, 45, "south-china"),
    Entry("helsinki", 60.17, 24.94, 45, "nordic"),
    Entry("johannesburg", -26.2, 28.05, 70, "highveld"),
    Entry("lijiang", 26.69, 100.03, 42, "south-west-china", True),
    Entry("london", 51.51, -0.13, 50, "maritime", True),
    Entry("madrid", 40.42, -3.7, 68, "mediterranean"),
    Entry("matera", 40.65, 16.7, 70, "mediterranean", True),
    Entry("ngari", 32.33, 80.03, 71, "plateau", True),
    Entry("oberpfaffenhofen", 48.08, 11.28, 50, "continental"),
    Entry("paris", 48.86, 2.35, 49, "continental"),
    Entry("rome", 41.9, 12.5, 67, "mediterranean"),
    Entry("singapore", 1.35, 103.82, 40, "equatorial"),
    Entry("tenerife", 28.3, -16.51, 78, "canary", True),
    Entry("thurso", 58.59, -3.52, 42, "maritime", True),
    Entry("tokyo", 35.68, 139.77, 54, "japan"),
    Entry("urumqi", 43.83, 87.62, 80, "xinjiang", True),
    Entry("vienna", 48.21, 16.37, 52, "continental"),
    Entry("warsaw", 52.23, 21.01, 48, "continental"),
    Entry("waterloo", 43.47, -80.54, 48, "great-lakes"),
)  # fmt: skip

HEAD: Final = (
    "# Probability of a clear sky by month, night and day alike. Examples of builders/clear_sky_table.py:\n"
    "# liquid cloud only (no cirrus), so optimistic. Replace them by records of the site (docs/weather.md).\n"
)


def probabilities(entry: Entry) -> list[float]:
    """Twelve, in hundredths, whose mean over the days of a year is the entry's own to half a hundredth."""
    shape = DEPARTURES[entry.climate]
    middle = sum(d * s for d, s in zip(DAYS, shape, strict=True)) / sum(DAYS)
    months = [round(entry.clear + s - middle) / 100 for s in shape]
    mean = sum(d * p for d, p in zip(DAYS, months, strict=True)) / sum(DAYS)
    assert all(0 < p < 1 for p in months) and abs(mean - entry.clear / 100) < 0.005, entry
    return months


def source(entry: Entry) -> str:
    """Where the twelve numbers come from."""
    if not entry.computed:
        return f"guess beside computed places; season assumed ({entry.climate})"
    return (
        f"ITU-R P.840 annual liquid cloud probability {100 - entry.clear} % by itur 0.4.0, "
        f"season assumed ({entry.climate})"
    )


def table() -> str:
    """The whole file."""
    out = io.StringIO()
    out.write(HEAD)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "latitude_deg", "longitude_deg", *MONTHS, "evidence", "source"])
    for entry in PLACES:
        months = [f"{p:.2f}" for p in probabilities(entry)]
        mark = "inferred" if entry.computed else "assumed"
        writer.writerow([entry.name, entry.latitude_deg, entry.longitude_deg, *months, mark, source(entry)])
    return out.getvalue()


if __name__ == "__main__":
    sys.stdout.write(table())
