"""Plans three days of six satellites over ten stations: prints who gets key, saves the coverage map.

python examples/plan_pictures.py [MAP.png [CONTACTS.png [REPORT_FOLDER]]]

`view_of` shows what a plan is put together with to be drawn.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from satqkd.config import Station
from satqkd.plan.network import DAY_S, Network, read_scenario
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.planner import make_plan
from satqkd.plan.result import Plan
from satqkd.plan.yields import fast_yields
from satqkd.show.plan_map import map_picture
from satqkd.show.plan_nights import night_pictures
from satqkd.show.plan_parts import Coverage, GroundTrack, Place, StationSky
from satqkd.show.plan_report import write_plan_report
from satqkd.show.plan_view import PlanView, view_of_plan
from satqkd.sky import Constellation, orbit_of

SCENARIO = Path(__file__).parent / "scenarios" / "six-satellites.toml"
ROW_DEG, COLUMN_DEG = 15.0, 30.0
TRACK_STEP_S = 60.0


def main(paths: list[Path]) -> None:
    network = read_scenario(SCENARIO)
    plan = make_plan(network)
    told = view_of(network, plan)
    print("pair                  expected key in three days (kbit)")
    for pair in plan.pairs:
        print(f"{pair.pair:20s}  {pair.key_bits / 1e3:12.0f}")
    print(f"{len(plan.contacts)} of {plan.passes} passes are flown")
    for path in (map_picture(paths[0], told), *night_pictures(paths[1:2], told)):
        make_small(path)
        print(f"figure: {path}")
    for folder in paths[2:3]:
        print(f"report: {write_plan_report(folder, told)[-1]}")


def view_of(network: Network, plan: Plan) -> PlanView:
    """The plan with what its pictures need beside it."""
    return view_of_plan(
        msgspec.to_builtins(plan),
        duration_s=network.duration_s,
        stations=[
            Place(name=each.name, latitude_rad=each.latitude_rad, longitude_rad=each.longitude_rad)
            for each in network.stations
        ],
        satellites=[each.name for each in network.satellites],
        tracks=tracks_of(network),
        coverage=coverage_of(network),
        skies=skies_of(network),
        assumed=["Weather: a made-up probability where the table of places has none."],
    )


def tracks_of(network: Network) -> list[GroundTrack]:
    """Points under each satellite in the first day, and how far from them it stands above the masks."""
    t_s = np.arange(0.0, min(DAY_S, network.duration_s), TRACK_STEP_S)
    orbits = [orbit_of(each.orbit) for each in network.satellites]
    x, y, z = np.moveaxis(Constellation(orbits).positions(network.start, t_s).position_m, -1, 0)
    radius_m = np.sqrt(x**2 + y**2 + z**2)
    mask_rad = np.mean([each.minimum_elevation_rad for each in network.stations])
    ground_m = radius_m.mean(axis=1) / 6_371_008.8
    reach_rad = np.arccos(np.cos(mask_rad) / ground_m) - mask_rad
    return [
        GroundTrack(
            satellite=craft.name,
            latitude_rad=np.arcsin(z[k] / radius_m[k]),
            longitude_rad=np.arctan2(y[k], x[k]),
            reach_rad=float(reach_rad[k]),
        )
        for k, craft in enumerate(network.satellites)
    ]


def coverage_of(network: Network) -> Coverage:
    """Key of a station like the first at each place of a grid, in the first day, under a clear sky."""
    latitude_rad = np.radians(np.arange(-90 + ROW_DEG / 2, 90, ROW_DEG))
    longitude_rad = np.radians(np.arange(-180 + COLUMN_DEG / 2, 180, COLUMN_DEG))
    grid = [(a, b) for a in latitude_rad for b in longitude_rad]
    model = network.stations[0]
    stations = tuple(_moved(model, f"g{k}", float(a), float(b)) for k, (a, b) in enumerate(grid))
    there = msgspec.structs.replace(
        network,
        duration_s=min(DAY_S, network.duration_s),
        stations=stations,
        tracks=((),) * len(stations),
        pairs=(),
        sky=None,
    )
    passes = find_opportunities(there)
    bits = np.bincount(passes.station, weights=fast_yields(there, passes), minlength=len(grid))
    return Coverage(
        latitude_rad=latitude_rad,
        longitude_rad=longitude_rad,
        day_bits=bits.reshape(latitude_rad.size, longitude_rad.size) * DAY_S / there.duration_s,
        detail=f"{model.name}'s terminal, clear sky, first day",
    )


def _moved(station: Station, name: str, latitude_rad: float, longitude_rad: float) -> Station:
    return msgspec.structs.replace(
        station, name=name, latitude_rad=latitude_rad, longitude_rad=longitude_rad, altitude_m=0.0
    )


def skies_of(network: Network) -> list[StationSky] | None:
    """How likely each sky is clear, the mean over the time of the plan."""
    if network.sky is None:
        return None
    clear = network.sky.availability(network.start, np.arange(0.0, network.duration_s, 3600.0)).mean(axis=1)
    return [
        StationSky(station=name, clear=float(p), source="no row: the default" if row is None else row.name)
        for name, p, row in zip(network.sky.names, clear, network.sky.rows, strict=True)
    ]


def make_small(path: Path) -> None:
    """Fewer bytes, by a palette: the 128 commonest colours, and 128 that are near to all others."""
    drawn = Image.open(path).convert("RGB")
    common = sorted(drawn.getcolors(drawn.width * drawn.height), reverse=True)[:128]
    others = drawn.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, color in common for part in color] + others.getpalette()[: 3 * 128])
    drawn.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]] or [Path("plan-map.png")])
