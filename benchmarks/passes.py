"""A year of passes over ten stations, against Skyfield in the same run; looks a second of a constellation.

Both search the same orbit with UT1 = UTC and the mask at 15 degrees; Skyfield one station after another.
Prints one line a station, then the CPU seconds of all threads and their ratio. Skyfield ends its search
within half a second of an edge, so edges differ by that; `tests/sky` hold ours against its elevations.

    python benchmarks/passes.py [DAYS]
"""

import sys
import time
from datetime import datetime, timedelta

import numpy as np

import satqkd
from satqkd.config import Orbit
from satqkd.sky import Constellation, OrbitModel, Site, find_passes_of_sites, orbit_of, parse_utc

try:
    from skyfield.api import EarthSatellite, load, wgs84
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"benchmarks/passes.py: {missing.name} is missing, which passes are compared with; install the tools "
        'for developers: pip install "satqkd[dev]"'
    ) from None

START = parse_utc("2024-10-01T00:00:00Z")
MASK_DEG = 15.0
DAY_S = 86_400.0
PLACES = {
    "Xinglong": (40.396, 117.577, 893),
    "Nanshan": (43.475, 87.177, 2080),
    "Delingha": (37.38, 97.73, 3153),
    "Jinan": (36.67, 117.13, 50),
    "Shanghai": (31.13, 121.54, 10),
    "Stellenbosch": (-33.93, 18.86, 120),
    "Graz": (47.067, 15.494, 480),
    "Zvenigorod": (55.699, 36.759, 200),
    "Kiruna": (67.86, 20.96, 390),
    "Quito": (-0.2, -78.5, 2850),
}
"""Latitude and longitude in degrees, altitude in m."""


def main() -> None:
    days = float(sys.argv[1]) if len(sys.argv) > 1 else 365.0
    orbit = orbit_of(
        Orbit(
            epoch_utc="2024-10-01T00:00:00Z",
            altitude_m=500e3,
            local_time_of_ascending_node_s=81_000.0,
        )
    )
    print(f"satqkd {satqkd.__version__}: {days:g} days of passes above {MASK_DEG:g} degrees, 500 km")
    ours, our_s = _ours(orbit, days)
    theirs, their_s = _theirs(orbit, days)
    print(f"{'station':14s} {'satqkd':>8s} {'skyfield':>9s} {'both':>8s} {'rise, set differ by, ms':>24s}")
    for place in PLACES:
        both, off_ms = _common(ours[place], theirs[place])
        print(f"{place:14s} {len(ours[place]):8d} {len(theirs[place]):9d} {both:8d} {off_ms:24.0f}")
    print(f"CPU: satqkd {our_s:.2f} s, skyfield {their_s:.2f} s, ratio {their_s / our_s:.1f}x")
    _constellation()


def _site(latitude_deg: float, longitude_deg: float, altitude_m: float) -> Site:
    return Site(
        latitude_rad=float(np.radians(latitude_deg)),
        longitude_rad=float(np.radians(longitude_deg)),
        altitude_m=altitude_m,
    )


def _ours(orbit: OrbitModel, days: float) -> tuple[dict[str, np.ndarray], float]:
    """Rise and set of each pass in seconds after the start, shape (n, 2); least of three runs."""
    sites, mask = [_site(*place) for place in PLACES.values()], float(np.radians(MASK_DEG))
    costs = []
    for _ in range(3):
        began = time.process_time()
        found = find_passes_of_sites(orbit, sites, START, duration_s=days * DAY_S, minimum_elevation_rad=mask)
        costs.append(time.process_time() - began)
    seconds = [
        np.array([[(t - START).total_seconds() for t in (each.start, each.end)] for each in passes]).reshape(
            -1, 2
        )
        for passes in found
    ]
    return dict(zip(PLACES, seconds, strict=True)), min(costs)


def _theirs(orbit: OrbitModel, days: float) -> tuple[dict[str, np.ndarray], float]:
    ts = load.timescale(builtin=True, delta_t=32.184 + 37)
    satellite = EarthSatellite.from_satrec(orbit.satrec, ts)
    begin, end = (_skyfield_time(ts, START + timedelta(days=each)) for each in (0.0, days))
    events, began = {}, time.process_time()
    for name, (latitude, longitude, altitude) in PLACES.items():
        place = wgs84.latlon(latitude, longitude, elevation_m=altitude)
        events[name] = satellite.find_events(place, begin, end, altitude_degrees=MASK_DEG)
    cpu_s = time.process_time() - began
    return {name: _rise_and_set(*found) for name, found in events.items()}, cpu_s


def _skyfield_time(ts, moment: datetime):  # type: ignore[no-untyped-def]
    return ts.utc(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


def _rise_and_set(times, kinds: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Passes that Skyfield has whole: rows (rise, set)."""
    t_s = np.array([(each - START).total_seconds() for each in times.utc_datetime()])
    rises, sets = t_s[kinds == 0], t_s[kinds == 2]
    sets = sets[sets > rises[0]]
    return np.stack([rises[: sets.size], sets], axis=1)


def _common(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, float]:
    """Passes that overlap, and the largest difference of their edges in ms."""
    middle = theirs.mean(axis=1)
    index = np.clip(np.searchsorted(ours[:, 0], middle) - 1, 0, None)
    inside = (ours[index, 0] < middle) & (middle < ours[index, 1])
    return int(inside.sum()), 1e3 * float(np.abs(ours[index] - theirs)[inside].max())


def _constellation() -> None:
    rng = np.random.default_rng(1)
    orbits = [
        orbit_of(
            Orbit(
                epoch_utc="2024-10-01T00:00:00Z",
                altitude_m=altitude,
                inclination_rad=inclination,
                right_ascension_rad=node,
                mean_anomaly_rad=anomaly,
            )
        )
        for altitude, inclination, node, anomaly in zip(
            rng.uniform(4e5, 1.2e6, 1000),
            rng.uniform(0.5, 1.8, 1000),
            *rng.uniform(0, 6.28, (2, 1000)),
            strict=True,
        )
    ]
    sites, t_s = [_site(*place) for place in PLACES.values()], np.arange(0, 6000, 60.0)
    many = Constellation(orbits)
    for columns in (["elevation_rad"], ["range_m", "range_rate_m_s", "azimuth_rad", "elevation_rad"]):
        began = time.process_time()
        seen = many.looks(sites, START, t_s, columns=columns)  # type: ignore[arg-type]
        cpu_s = time.process_time() - began
        looks = seen.error.size * len(sites)
        print(f"{looks:,d} looks, {' '.join(columns)}: {looks / cpu_s / 1e6:.1f} million a second")


if __name__ == "__main__":
    main()
