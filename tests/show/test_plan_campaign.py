"""Reports of campaigns: series by the axes that are not of size, every run in the table, words for others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_cases import figure_of, words
from test_plan_report import text_of
from test_show_report import HOSTILE, read

from satqkd.show import plan_campaign
from satqkd.show.plan_campaign import campaign_document, write_campaign_report
from satqkd.show.plan_campaign_view import (
    CampaignView,
    RunTold,
    cost_series,
    several_at_a_size,
    size_axes,
    size_series,
    time_series,
)
from satqkd.show.plan_curves import draw_constellation, draw_costs
from satqkd.show.plan_parts import Series

FLEETS = {"one": 1, "three": 3, "five": 5}


def run(fleet: str, height: float, seed: int = 1, **changes: Any) -> RunTold:
    """Key grows with satellites, falls with height, differs by seed."""
    satellites = changes.pop("satellites", FLEETS.get(fleet, 1))
    parts = {
        "value": 1e6 * satellites - height + seed,
        "each_bits": 2e6 * satellites - height,
        "cost": 10 * satellites,
        "took_s": 0.5 * satellites,
    } | changes
    return RunTold(
        labels={"satellite.0.altitude_km": height, "fleet": fleet},
        seed=seed,
        satellites=satellites,
        days=2.0,
        **parts,
    )


def campaign(*runs: RunTold, **changes: Any) -> CampaignView:
    """Three fleets at two heights with two seeds, or other runs."""
    grid = [run(fleet, height, seed) for fleet in FLEETS for height in (800.0, 400.0) for seed in (1, 2)]
    parts: dict[str, Any] = {
        "name": "heights",
        "task": "plan",
        "scenario": "net.toml",
        "axes": ("satellite.0.altitude_km", "fleet"),
        "runs": runs or tuple(grid),
        "points": 14,
        "failed": 1,
    }
    return CampaignView(**(parts | changes))


def test_a_series_holds_the_runs_that_differ_in_satellites_alone() -> None:
    view = campaign()
    assert size_axes(view) == ("fleet",)
    low, high = size_series(view)
    assert (low.name, high.name) == ("altitude_km 400", "altitude_km 800")
    np.testing.assert_array_equal(sorted(low.sizes), [1, 1, 3, 3, 5, 5])
    for each, height in ((low, 400), (high, 800)):
        np.testing.assert_array_equal(
            np.sort(each.values), np.sort([1e6 * n - height + seed for n in (1, 3, 5) for seed in (1, 2)])
        )
    (first, _) = cost_series(view)
    assert {*zip(first.sizes, first.values, strict=True)} == {(10.0 * n, 2e6 * n - 400) for n in (1, 3, 5)}
    (timed,) = time_series(view)
    assert {*zip(timed.sizes, timed.values, strict=True)} == {(2.0 * n, 0.5 * n) for n in (1, 3, 5)}


def test_an_axis_along_which_satellites_stay_is_none_of_size() -> None:
    view = campaign(run("one", 400.0), run("one", 800.0))
    assert size_axes(view) == ()
    (series,) = cost_series(view)
    assert series.name == "all runs" and series.sizes.size == 2
    diagonal = campaign(run("one", 400.0), run("three", 800.0))
    assert size_axes(diagonal) == (), "nothing tells which of the two axes it was"


def test_places_with_as_many_satellites_are_told() -> None:
    assert not several_at_a_size(campaign())
    view = campaign(run("one", 400.0), run("three", 400.0), run("trio", 400.0, satellites=3))
    assert several_at_a_size(view)


def test_every_run_reaches_the_reader(tmp_path: Path) -> None:
    files = write_campaign_report(tmp_path, campaign(), ["Nothing was flown."])
    assert [path.name for path in files] == ["campaign-size-01.png", "campaign-cost-01.png", "report.html"]
    text = text_of(files[-1])
    for fact in (
        "Campaign heights", "task plan of net.toml", "14 points: 12 done, 1 failed, 1 not run yet",
        "Key of the worst pair: 999 kbit (satellite.0.altitude_km 800, fleet one, seed 1) to 5 Mbit",
        "changes along fleet", "The first 12 of 12 runs", "400 five 2 5 2 4 999 602 9 999 600 50 2.50",
        "Nothing was flown.",
    ):  # fmt: skip
        assert fact in text, fact
    assert text.index("400 one 1") < text.index("400 one 2") < text.index("800 one 1")


def test_what_cannot_be_drawn_is_told_in_words(tmp_path: Path) -> None:
    lone = RunTold(labels={}, seed=1, satellites=2, days=1.0)
    view = campaign(lone, axes=(), points=1, failed=0)
    (path,) = write_campaign_report(tmp_path, view)
    text = text_of(path)
    assert "No axis changes the number of satellites: there is no curve against it." in text
    assert "How long runs took is not known in this folder" in text
    assert "net.toml 1 2 1 – – – –" in text
    nothing = campaign(lone, axes=(), runs=(), points=3, failed=3)
    assert "3 points: 0 done, 3 failed, 0 not run yet" in text_of(write_campaign_report(tmp_path, nothing)[0])
    numberless = campaign(run("one", 4.0, value=None), run("three", 4.0, value=None))
    assert "no number that could be drawn" in text_of(write_campaign_report(tmp_path, numberless)[-1])


def test_many_series_make_several_pictures_and_the_rest_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_campaign, "MOST_PICTURES", 2)
    view = campaign(*(run(fleet, float(height)) for fleet in FLEETS for height in range(15)))
    document = campaign_document(view)
    assert [each.name for each in document.pictures] == [
        "campaign-size-01.png",
        "campaign-size-02.png",
        "campaign-cost-01.png",
        "campaign-cost-02.png",
    ]
    assert "The first 12 series are drawn; 3 are left out." in str(document.sections[0].parts)


def test_shares_are_per_cent_and_key_of_stations_is_called_so() -> None:
    series = [Series(name="a", sizes=np.array([1.0, 2.0]), values=np.array([0.25, 0.5]))]
    figure = figure_of(lambda each: draw_constellation(each, series, what="demand met", unit="share"))
    (axes,) = figure.axes
    assert axes.get_ylabel() == "demand met, %"
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [25, 50])
    figure = figure_of(lambda each: draw_costs(each, series, [], across="passes", of="station"))
    assert "key of a station against passes" in words(figure)


def test_long_names_stand_under_the_picture_and_leave_its_panels_room() -> None:
    long = [
        Series(name=f"altitude_km {k}00, fleet three-planes", sizes=np.ones(1), values=np.ones(1))
        for k in range(6)
    ]
    figure = figure_of(lambda each: draw_costs(each, long, long[:1]))
    assert all(each.name in words(figure) for each in long)
    assert all(axes.get_position().width > 0.38 for axes in figure.axes)
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 < min(axes.get_tightbbox().y0 for axes in figure.axes) + 1


def test_axes_of_few_satellites_bear_whole_numbers_and_logarithmic_ones_two_or_more() -> None:
    series = [Series(name="a", sizes=np.array([1.0, 3.0]), values=np.array([1.0, 2.0]))]
    timed = Series(name="a", sizes=np.array([3.0, 9.0]), values=np.array([0.02, 0.17]))
    figure = figure_of(lambda each: draw_costs(each, series, [timed]))
    left, right = figure.axes
    assert all(tick == int(tick) for tick in left.get_xticks())
    for ticks, (low, high) in (
        (right.get_xticks(), right.get_xlim()),
        (right.get_yticks(), right.get_ylim()),
    ):
        assert sum(low <= tick <= high for tick in ticks) >= 2


def test_names_stay_text(tmp_path: Path) -> None:
    told = RunTold(labels={"a": HOSTILE}, seed=1, satellites=1, days=1.0)
    path = write_campaign_report(tmp_path, campaign(told, axes=("a",), name=HOSTILE, scenario=HOSTILE))[-1]
    assert "script" not in read(path).tags
