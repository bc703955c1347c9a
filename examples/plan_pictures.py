"""Plans three days of six satellites over ten stations: prints who gets key, saves the coverage map.

python examples/plan_pictures.py [MAP.png [CONTACTS.png]]

`satqkd plan SCENARIO.toml --out FOLDER` draws the same pictures and more, into a report.
"""

import sys
from pathlib import Path

from PIL import Image

from satqkd.cli.plan_told import view_of_network
from satqkd.plan.network import read_scenario
from satqkd.plan.planner import make_plan
from satqkd.show.plan_map import map_picture
from satqkd.show.plan_nights import night_pictures

SCENARIO = Path(__file__).parent / "scenarios" / "six-satellites.toml"


def main(paths: list[Path]) -> None:
    network = read_scenario(SCENARIO)
    plan = make_plan(network)
    told = view_of_network(network, plan)
    print("pair                  expected key in three days (kbit)")
    for pair in plan.pairs:
        print(f"{pair.pair:20s}  {pair.key_bits / 1e3:12.0f}")
    print(f"{len(plan.contacts)} of {plan.passes} passes are flown")
    for path in (map_picture(paths[0], told), *night_pictures(paths[1:2], told)):
        make_small(path)
        print(f"figure: {path}")


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
