"""V8: key of a portable station with Micius, over typical passes (Ren et al., arXiv:2205.13828).

The paper's stations stood at six places in China and gave about 50 kbit a pass on average; neither their
receivers' efficiency nor the passes are published. So the portable stations of the presets at six places
stand for them, under Micius' orbit and source, and the passes are all that culminate by night above 30
degrees within a week of the elements' epoch. The stations' loss is what the presets have, calibrated on
Jinan-1.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from satqkd.config import Satellite, Station
from satqkd.constants import DAY_S
from satqkd.mission import Contact, expected_key, make_contact, presets, site_of
from satqkd.mission.contact import PLANNING_GRID_S
from satqkd.sky import Pass, find_passes_of_sites, is_night, orbit_of, parse_utc
from satqkd.validation.rows import Row, factor, row

MEAN_KEY: Final = 50_000
STATIONS: Final = ("beijing", "hefei", "jinan", "nanshan", "shanghai", "wuhan")
TYPICAL_ELEVATION_RAD: Final = np.radians(30.0)
WEEK_S: Final = 7 * DAY_S


def rows(stations: Sequence[Station] | None = None) -> list[Row]:
    """The one row; stations: others than the presets."""
    below = [presets.station(name) for name in STATIONS] if stations is None else stations
    return [mean_key(list(typical_contacts(presets.satellite("micius"), below)))]


def typical_contacts(satellite: Satellite, stations: Sequence[Station]) -> Iterator[Contact]:
    """Night passes of a week that culminate above 30 degrees, station by station."""
    for station, each in night_passes(satellite, stations, WEEK_S):
        if each.max_elevation_rad >= TYPICAL_ELEVATION_RAD:
            yield make_contact(satellite, station, each, step_s=PLANNING_GRID_S)


def night_passes(
    satellite: Satellite, stations: Sequence[Station], duration_s: float
) -> list[tuple[Station, Pass]]:
    """Of a time after the satellite's reference epoch, station by station."""
    found = find_passes_of_sites(
        orbit_of(satellite.orbit),
        [site_of(station) for station in stations],
        parse_utc(satellite.reference_epoch_utc),
        duration_s=duration_s,
        minimum_elevation_rad=[station.minimum_elevation_rad for station in stations],
    )
    return [
        (station, each)
        for station, passes in zip(stations, found, strict=True)
        for each in passes
        if is_night(each)
    ]


def mean_key(contacts: Sequence[Contact]) -> Row:
    """V8: the mean of the expected keys."""
    keys = [expected_key(contact).secret_bits for contact in contacts]
    return row(
        "V8",
        f"mean final key of a portable station with Micius, {len(keys)} passes, bits",
        published=MEAN_KEY,
        computed=round(float(np.mean(keys))),
        tolerance=factor(MEAN_KEY, 3, why="receiver efficiency and passes are not published"),
        blind=False,
        source="Ren et al., arXiv:2205.13828: about 50 kbit a pass, six places; not published and so taken "
        "from the portable presets: efficiency and air; the choice of passes is ours",
        fitted="calibration loss of the portable presets, to V9a (not to this figure)",
    )
