"""Sums of passes: nothing is lost in any of them, and a mask that is raised shortens what it leaves."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from planning import network

from documentation import REPOSITORY
from satqkd.mission.course import site_of
from satqkd.plan.network import Network, read_scenario
from satqkd.plan.opportunities import Opportunities, find_opportunities
from satqkd.plan.planner import clear_probability
from satqkd.plan.yields import fast_spread
from satqkd.plan.yields_groups import (
    GROUPS,
    NIGHT_CLASSES,
    cut_rows,
    group_rows,
    months,
    night_classes,
    pool_rows,
    pool_sums,
)
from satqkd.plan.yields_pools import pooled_yields
from satqkd.plan.yields_spread import KeySpread
from satqkd.sky import look, orbit_of

EXAMPLE: Path = REPOSITORY / "examples" / "scenarios" / "jinan-1-cities.toml"


@pytest.fixture(scope="module")
def example() -> tuple[Network, Opportunities, KeySpread]:
    found = read_scenario(EXAMPLE)
    passes = find_opportunities(found)
    return found, passes, fast_spread(found, passes)


@pytest.mark.parametrize("by", GROUPS)
def test_groups_hold_every_pass_once(by: str, example: tuple[Network, Opportunities, KeySpread]) -> None:
    found, passes, spread = example
    clear = clear_probability(found, passes)
    rows = group_rows(found, passes, spread, clear, by=by)
    assert sum(row["passes"] for row in rows) == len(passes)
    assert sum(row["key_bits"] for row in rows) == pytest.approx(spread.key_bits.sum())
    assert sum(row["expected_bits"] for row in rows) == pytest.approx((spread.key_bits * clear).sum())
    assert max(row["best_pass_bits"] for row in rows) == spread.key_bits.max()
    assert len({row[by] for row in rows}) == len(rows)


def test_a_pass_is_in_the_group_of_its_own_elevation_and_month(
    example: tuple[Network, Opportunities, KeySpread],
) -> None:
    found, passes, spread = example
    highest_deg = np.degrees(passes.max_elevation_rad)
    for row in group_rows(found, passes, spread, np.ones(len(passes)), by="elevation"):
        low, high = map(float, row["elevation"].split("-"))
        assert row["passes"] == ((highest_deg >= low) & (highest_deg < high)).sum()
    across = network(start_utc="2024-10-30T12:00:00Z", duration_days=4)
    told = find_opportunities(across)
    assert months(across, told) == [
        f"{told.pass_of(k, across.start).culmination:%Y-%m}" for k in range(len(told))
    ]
    assert set(months(across, told)) == {"2024-10", "2024-11"}


@pytest.mark.parametrize(
    ("sun_deg", "name"),
    [
        (-40, "night"), (-18.01, "night"), (-17.99, "astronomical"), (-12.01, "astronomical"),
        (-11.99, "nautical"), (-6.01, "nautical"), (-5.99, "civil"), (-0.84, "civil"), (-0.82, "day"),
        (30, "day"),
    ],
)  # fmt: skip
def test_the_sun_says_what_night_it_is(
    sun_deg: float, name: str, example: tuple[Network, Opportunities, KeySpread]
) -> None:
    one = example[1].taken(np.array([0]))
    one = msgspec.structs.replace(one, sun_elevation_rad=np.radians([sun_deg]))
    assert night_classes(one) == [name]


def test_twilight_passes_come_when_the_service_allows_them() -> None:
    summer = {"start_utc": "2025-06-20T12:00:00Z", "duration_days": 5, "station": [{"presets": ["graz"]}]}
    found = network(**summer, service={"maximum_sun_elevation_deg": 60}, pair=[])
    passes = find_opportunities(found)
    rows = group_rows(found, passes, fast_spread(found, passes), np.ones(len(passes)), by="night_class")
    names = [row["night_class"] for row in rows]
    assert names == [each for each in NIGHT_CLASSES if each in names]
    assert {"astronomical", "day"} <= set(names)
    keys = {row["night_class"]: row["key_bits"] for row in rows}
    assert keys["astronomical"] > 0 == keys["day"]


def test_a_raised_mask_shortens_every_pass() -> None:
    found = network(duration_days=10, pair=[], station=[{"presets": ["beijing"]}])
    seen: list[Opportunities] = []

    def spread_of(raised: Network, passes: Opportunities) -> KeySpread:
        seen.append(passes)
        return fast_spread(raised, passes)

    rows = cut_rows(found, np.radians([5, 25, 40]).tolist(), spread_of)
    assert [row["cut_deg"] for row in rows] == [None, *map(pytest.approx, (5, 25, 40))]
    assert {name: value for name, value in rows[1].items() if name != "cut_deg"} == {
        name: value for name, value in rows[0].items() if name != "cut_deg"
    }  # below the station's own mask
    orbit, site = orbit_of(found.satellites[0].orbit), site_of(found.stations[0])
    edge = look(orbit, site, found.start, seen[3].start_s).elevation_rad
    assert np.degrees(edge) == pytest.approx(np.full(len(edge), 40.0), abs=0.01)
    whole = fast_spread(found, seen[0]).key_bits
    for row, cut_deg in zip(rows[2:], (25, 40), strict=True):
        naive = whole[np.degrees(seen[0].max_elevation_rad) >= cut_deg].sum()
        assert 0 < row["key_bits"] < 0.97 * naive
        assert row["share"] == pytest.approx(row["expected_bits"] / rows[0]["expected_bits"])
    assert rows[0]["share"] == 1.0


def test_rows_of_pools_say_what_the_columns_do() -> None:
    found = network(duration_days=6, pair=[], yields={"pool_days": 2})
    passes = find_opportunities(found)
    pools = pooled_yields(found, passes, fast_spread(found, passes).key_bits)
    rows, links = pool_rows(found, pools), pool_sums(found, pools)
    assert [row["pool"] for row in rows] == list(range(len(rows)))
    assert [link["station"] for link in links] == ["beijing", "stellenbosch"]
    for link in links:
        mine = [row for row in rows if row["station"] == link["station"]]
        assert (link["pools"], link["passes"]) == (len(mine), sum(row["passes"] for row in mine))
        assert link["pooled_bits"] == sum(row["pooled_bits"] for row in mine)
        assert link["apart_bits"] == sum(row["apart_bits"] for row in mine)
