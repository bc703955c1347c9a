"""Reports of operations: levels and alarms when they were, every number, the spread over seeds."""

from pathlib import Path

import numpy as np
import pytest
from operation_cases import operation, pair
from plan_cases import by_gid, figure_of, words
from test_plan_report import text_of

from satqkd.constants import DAY_S
from satqkd.errors import DataFormatError
from satqkd.show.plan_levels import draw_levels
from satqkd.show.plan_operation import write_operation_report
from satqkd.show.plan_operation_view import levels_of, view_of_operation
from satqkd.show.plan_spread import (
    MOST_PAIRS,
    Spread,
    draw_spread,
    spread_of,
    worst_first,
    write_spread_report,
)


def test_a_level_holds_from_the_end_of_its_period_and_stores_begin_empty() -> None:
    levels = levels_of(view_of_operation(operation()))
    np.testing.assert_array_equal(levels.t_s, np.array([0, 1, 2, 2.5]) * DAY_S)
    np.testing.assert_array_equal(levels.level_bits, [[0, 5000, 3, 700], [0, 0, 10, 0]])
    assert levels.names == ("graz-cape", "tokyo-cape")


def test_alarms_are_drawn_when_they_were_and_open_ones_to_the_end() -> None:
    levels = levels_of(view_of_operation(operation()))
    figure = figure_of(lambda each: draw_levels(each, [levels]))
    spans = {}
    for name in levels.names:
        (shade,) = by_gid(figure, f"alarm {name}")
        box = shade.get_extents().transformed(figure.axes[0].transData.inverted())
        spans[name] = (box.x0, box.x1)
    assert spans["graz-cape"] == pytest.approx((1.0, 2.0))
    assert spans["tokyo-cape"] == pytest.approx((2.0, 2.5))


def test_every_number_of_an_operation_reaches_the_reader(tmp_path: Path) -> None:
    files = write_operation_report(tmp_path, view_of_operation(operation()), ["Weather of mars: none."])
    assert [path.name for path in files] == ["operation-levels.png", "report.html"]
    text = text_of(files[-1])
    for fact in (
        "Operation of easy", "seed 7",
        "Of all demand 75.00 % was met, of the worst pair, tokyo-cape, 50.00 %",
        "8 contacts flown, 2 of them under clouds; 2 alarms", "100.00 %", "25.00 %", "1 500", "17",
        "321", "1 234",
        "987 654", "11 111", "22 222", "900 000", "53 778", "543", "2025-01-17T12:00:00Z",
        "lasted to the end", "Weather of mars: none.", "link key on board are not kept",
    ):  # fmt: skip
        assert fact in text, fact
    assert text.index("tokyo-cape 0.25") < text.index("graz-cape 0.25")


def test_an_operation_of_nobody_has_a_report_too(tmp_path: Path) -> None:
    empty = operation(pairs=[], links=[], satellites=[], alarms=[], levels=[], share=1.0, worst_share=1.0)
    text = text_of(write_operation_report(tmp_path, view_of_operation(empty))[-1])
    assert "0 contacts flown" in text and "Links: none." in text


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(DataFormatError, match=r"satqkd operate --json.*levels"):
        view_of_operation({name: value for name, value in operation().items() if name != "levels"})


def spread() -> Spread:
    """Three seeds."""
    rows = [(1, 1.0, 0.2), (2, 0.9, 0.6), (5, 0.5, 0.4)]
    return spread_of(
        [
            view_of_operation(
                operation(seed=seed, worst_share=b, pairs=[pair("graz-cape", a), pair("tokyo-cape", b)])
            )
            for seed, a, b in rows
        ]
    )


def test_a_spread_holds_each_pair_under_each_seed() -> None:
    told = spread()
    np.testing.assert_allclose(told.shares, [[1.0, 0.9, 0.5], [0.2, 0.6, 0.4]])
    np.testing.assert_allclose(told.periods, told.shares / 2)
    assert [each.seed for each in told.seeds] == [1, 2, 5]
    assert told.seeds[0].lost_bits == 33_333 and told.seeds[1].unmet_bits == 300 + 1200
    assert worst_first(told) == [1, 0]


def test_a_point_stands_at_each_share_and_the_bar_reaches_from_least_to_most() -> None:
    figure = figure_of(lambda each: draw_spread(each, spread()))
    (points,), (bar,) = by_gid(figure, "seeds tokyo-cape"), by_gid(figure, "band tokyo-cape")
    np.testing.assert_allclose(points.get_xdata(), [20, 60, 40])
    np.testing.assert_allclose(bar.get_xdata(), [20, 60])
    (axes,) = figure.axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["tokyo-cape", "graz-cape"] and labels[round(points.get_ydata()[0])] == "tokyo-cape"


def test_of_many_pairs_the_worst_are_drawn_and_the_rest_counted() -> None:
    pairs = [pair(f"a-{k}", k / 100) for k in range(MOST_PAIRS + 3)]
    told = spread_of([view_of_operation(operation(pairs=pairs, levels=[[0]] * len(pairs)))])
    figure = figure_of(lambda each: draw_spread(each, told), height_px=1600)
    assert len(by_gid(figure, "seeds ")) == MOST_PAIRS and not by_gid(figure, f"seeds a-{MOST_PAIRS}")
    assert "3 more are left out" in words(figure)


def test_a_spread_is_told_in_tables(tmp_path: Path) -> None:
    files = write_spread_report(tmp_path, spread(), ["Weather of mars: none."])
    assert [path.name for path in files] == ["operation-shares.png", "report.html"]
    text = text_of(files[-1])
    for fact in (
        "under 3 skies", "20.00 % to 60.00 % was met, 40.00 % in the mean of 3 seeds",
        "tokyo-cape 20.00 % 40.00 % 60.00 % 10.00 % 20.00 %", "The first 3 of 3 seeds",
        "Weather of mars: none.",
    ):  # fmt: skip
        assert fact in text, fact


def test_operations_of_other_pairs_are_no_spread() -> None:
    one = view_of_operation(operation())
    with pytest.raises(DataFormatError, match="same pairs"):
        spread_of([one, view_of_operation(operation(pairs=[pair("x-y", 1.0)]))])
    with pytest.raises(DataFormatError, match="got none"):
        spread_of([])


def test_the_fields_that_are_shown_are_the_operations_own() -> None:
    from satqkd.plan import operation_result as told
    from satqkd.show import plan_operation_view as shown

    for view, result in (
        (shown.OperationView, told.Operation),
        (shown.PairServed, told.PairService),
        (shown.LinkServed, told.LinkService),
        (shown.SatelliteFlown, told.SatelliteService),
        (shown.AlarmTold, told.Alarm),
    ):
        assert set(view.__struct_fields__) <= set(result.__struct_fields__) | {"share", "worst_share"}
