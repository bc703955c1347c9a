"""What a plan may choose from: each pass with the sky of its own station and moment, counted once."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from planning import network
from test_plan_schedule import made_up, made_up_network

from satqkd.plan.clear_sky_table import COLUMNS
from satqkd.plan.network import Network
from satqkd.plan.planner import Offer, make_plan, offer_of

NORTH = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5, 0.1, 0.1]
SOUTH = [0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.6, 0.9, 0.9]


def under_two_skies(folder: Path) -> Network:
    """October and some of November, in which the north has a fifth of the clear sky it had."""
    tables: dict[str, Any] = {"duration_days": 40, "pair": [], "objective": "total"}
    rows = [",".join(COLUMNS)]
    for ground, clear in zip(network(**tables).stations, (NORTH, SOUTH), strict=True):
        place = np.degrees([ground.latitude_rad, ground.longitude_rad]).tolist()
        rows.append(",".join([ground.name, *map(str, [*place, *clear]), "assumed", "made up"]))
    (folder / "sky.csv").write_text("\n".join(rows) + "\n")
    return network(folder, weather={"table": "sky.csv", "nearest_km": 50}, **tables)


def test_each_pass_is_worth_its_key_times_the_sky_of_its_station_and_moment(tmp_path: Path) -> None:
    found = under_two_skies(tmp_path)
    offer = offer_of(found)
    assert found.sky is not None and len(offer.passes) > 50
    for row in range(len(offer.passes)):
        moment = found.start + timedelta(seconds=float(offer.passes.culmination_s[row]))
        clear = found.sky.availability(moment, [0.0])[int(offer.passes.station[row]), 0]
        assert offer.clear[row] == pytest.approx(clear, abs=1e-9)
    north = offer.clear[offer.passes.station == 0]
    assert north.max() > 2 * north.min()


@pytest.mark.parametrize("method", ["exact", "greedy", "longest-path"])
def test_weather_counts_once_in_what_a_plan_is_worth(tmp_path: Path, method: str) -> None:
    plan = make_plan(under_two_skies(tmp_path), method=method)
    expected = sum(each.key_bits * each.clear_probability for each in plan.contacts)
    assert plan.objective == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", ["exact", "greedy", "longest-path"])
def test_of_two_passes_the_one_with_more_key_under_its_sky_is_flown(method: str) -> None:
    offer = Offer(
        passes=made_up([(0, 0, 0, 100), (0, 1, 50, 150)]),
        key_bits=np.array([1e6, 5e5]),
        clear=np.array([0.1, 0.9]),
    )
    with mock.patch("satqkd.plan.planner.offer_of", return_value=offer):
        [contact] = make_plan(made_up_network([], objective="total"), method=method).contacts
    assert contact.station == "stellenbosch"
