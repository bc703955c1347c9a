"""Stores in time, key of pairs, rows of campaigns: what is drawn is what was given."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from plan_cases import PLACES, by_gid, crowd, empty_view, figure_of, pair, view, words

from satqkd.constants import DAY_S
from satqkd.errors import DataFormatError
from satqkd.show.plan_curves import (
    MOST_SERIES,
    constellation_picture,
    cost_picture,
    draw_constellation,
    draw_costs,
    fit_power_law,
)
from satqkd.show.plan_levels import MOST_LINES, draw_levels, emptiest, levels_picture
from satqkd.show.plan_pairs import draw_matrix, matrix_picture, pair_matrix
from satqkd.show.plan_parts import Alarm, Series, StoreLevels

T_S = np.arange(5) * DAY_S


def levels(count: int = 2, **changes: object) -> StoreLevels:
    """Store k holds k, k + 1, ... Mbit."""
    fields = {
        "title": "stores of pairs",
        "names": tuple(f"p{k}" for k in range(count)),
        "t_s": T_S,
        "level_bits": 1e6 * (np.arange(count)[:, None] + np.arange(5.0)),
        "alarms": (Alarm(store="p1", start_s=DAY_S, end_s=3 * DAY_S),) if count > 1 else (),
    }
    return StoreLevels(**(fields | changes))


def test_a_store_is_a_line_of_steps_with_its_name() -> None:
    figure = figure_of(lambda each: draw_levels(each, [levels()]))
    (line,) = by_gid(figure, "p1")
    np.testing.assert_allclose(line.get_xdata(), np.arange(5))
    np.testing.assert_allclose(line.get_ydata(), 1 + np.arange(5))
    assert line.get_drawstyle() == "steps-post"
    assert {"p0", "p1"} <= {text.get_text() for text in figure.axes[0].texts}
    assert figure.axes[0].get_ylabel() == "key in store, Mbit"
    assert figure.axes[-1].get_xlabel() == "time since the start, days"


def test_alarms_are_bars_from_begin_to_end_below_the_levels_in_the_colour_of_their_store() -> None:
    figure = figure_of(lambda each: draw_levels(each, [levels()]))
    (bar,) = by_gid(figure, "alarm p1")
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((1.0, 3.0))
    (line,) = by_gid(figure, "p1")
    assert bar.get_facecolor() == to_rgba(line.get_color())
    lowest, _ = figure.axes[0].get_ylim()
    assert lowest < bar.get_y() and bar.get_y() + bar.get_height() <= 0
    assert all(each >= 0 for each in figure.axes[0].get_yticks())
    assert "bars: 1 alarm of p1" in words(figure)
    quiet = figure_of(lambda each: draw_levels(each, [levels(alarms=())]))
    assert not by_gid(quiet, "alarm") and "alarm" not in words(quiet)


def test_every_store_with_a_line_has_a_lane_and_the_rest_share_one() -> None:
    alarms = tuple(Alarm(store=f"p{k}", start_s=0.0, end_s=DAY_S) for k in (1, 2, 30, 31))
    figure = figure_of(lambda each: draw_levels(each, [levels(40, alarms=alarms)]))
    lanes = [by_gid(figure, f"alarm p{k}")[0].get_y() for k in (1, 2, 30, 31)]
    assert lanes[0] > lanes[1] > lanes[2] == lanes[3]


def test_of_many_stores_the_emptiest_have_lines_and_a_band_the_rest() -> None:
    held = 1e6 * np.arange(1, 41)[:, None] * np.ones(5)
    held[33, 2] = 0.0  # runs empty in the middle
    held[:, 0] = 0.0  # all begin with nothing, which tells of none
    held[20] = 0.0  # never gets anything
    many = levels(40, level_bits=held, alarms=())
    chosen = emptiest(many)
    assert len(chosen) == MOST_LINES and {20, 33, 0, 1, 2, 3} == set(chosen)
    figure = figure_of(lambda each: draw_levels(each, [many]))
    assert len(by_gid(figure, "p")) == MOST_LINES
    (band,) = by_gid(figure, "others")
    others = np.delete(held, chosen, axis=0) / 1e6
    assert band.get_facecolor()[0, 3] == 1.0
    at_end = band.get_paths()[0].vertices[:, 1]
    assert at_end.max() == pytest.approx(others.max())
    assert f"grey: where the other {40 - MOST_LINES} are" in words(figure)


def test_groups_of_stores_are_panels_on_one_axis_of_time(tmp_path) -> None:
    links = levels(3, title="link keys on board")
    figure = figure_of(lambda each: draw_levels(each, [levels(), links], about="seed 1"))
    assert [axes.get_title("left") for axes in figure.axes] == ["stores of pairs", "link keys on board"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (0.0, 4.0)
    assert "seed 1" in words(figure)
    assert levels_picture(tmp_path / "l.png", [levels(), links]).exists()


@pytest.mark.parametrize(
    "groups",
    [[], [levels(0)], [levels(t_s=np.zeros(0), level_bits=np.zeros((2, 0)), alarms=())]],
    ids=["no group", "no store", "no moment"],
)
def test_without_levels_the_picture_says_so(groups: list[StoreLevels]) -> None:
    said = words(figure_of(lambda each: draw_levels(each, groups)))
    assert "no levels of stores were given" in said or "stores of pairs: none" in said


def test_one_moment_and_empty_stores_can_be_drawn() -> None:
    one = levels(1, t_s=np.zeros(1), level_bits=np.zeros((1, 1)))
    assert "p0" in words(figure_of(lambda each: draw_levels(each, [one])))


def test_levels_of_another_shape_and_alarms_of_nobody_are_refused() -> None:
    with pytest.raises(DataFormatError, match=r"stores of pairs: expected levels of shape \(2, 5\)"):
        levels(level_bits=np.zeros((5, 2)))
    with pytest.raises(DataFormatError, match="alarms of stores named, got q"):
        levels(alarms=(Alarm(store="q", start_s=0.0, end_s=1.0),))


def test_the_matrix_holds_each_pair_both_ways() -> None:
    names, key_bits = pair_matrix(view())
    assert names == tuple(place.name for place in PLACES)
    known = {("beijing", "graz"): 4e6, ("graz", "cape"): 1e6, ("cape", "tokyo"): 0.0}
    for (row, a), (column, b) in [(i, j) for i in enumerate(names) for j in enumerate(names)]:
        want = known.get((a, b), known.get((b, a)))
        assert (want is None and np.isnan(key_bits[row, column])) or key_bits[row, column] == want


def test_pairs_of_users_at_the_same_stations_are_summed() -> None:
    pairs = [pair("graz", "cape", 1e6), pair("cape", "graz", 2e6, pair="bank-shop")]
    names, key_bits = pair_matrix(view(pairs=pairs))
    assert names == ("graz", "cape")
    assert key_bits[0, 1] == key_bits[1, 0] == 3e6


def test_fields_bear_their_numbers_and_a_pair_without_key_a_nought() -> None:
    figure = figure_of(lambda each: draw_matrix(each, view()))
    axes, bar = figure.axes
    fields = {
        (int(text.get_position()[0]), int(text.get_position()[1])): text.get_text() for text in axes.texts
    }
    assert fields == {(0, 1): "4", (1, 0): "4", (1, 2): "1", (2, 1): "1", (2, 3): "0", (3, 2): "0"}
    assert bar.get_ylabel() == "expected key in 2 days, Mbit"
    assert axes.get_xlabel() == "one end, station" and axes.get_ylabel() == "other end, station"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [place.name for place in PLACES]
    assert axes.yaxis_inverted(), "both axes run from the corner at the upper left"
    assert "1 of them without key" in words(figure)


def test_sixty_stations_have_a_matrix_without_numbers_and_names_apart() -> None:
    places = crowd(60)
    pairs = [pair(a.name, b.name, 1e6) for a, b in itertools.pairwise(places)]
    told = view(places=places, contacts=[], pairs=pairs)
    figure = figure_of(lambda each: draw_matrix(each, told), height_px=1080)
    assert not figure.axes[0].texts
    boxes = [tick.get_window_extent() for tick in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 60
    assert all(a.y0 >= b.y1 - 1 for a, b in itertools.pairwise(boxes))


def test_a_plan_without_pairs_says_so(tmp_path) -> None:
    assert "the plan has no pair" in words(figure_of(lambda each: draw_matrix(each, empty_view())))
    only = view(pairs=[pair("graz", "cape", 0.0)])
    assert matrix_picture(tmp_path / "p.png", only).read_bytes().startswith(b"\x89PNG")


def series(name: str = "ten stations") -> Series:
    """Three seeds at 1, 2 and 4 satellites, out of order."""
    sizes = np.array([4.0, 1, 2, 4, 1, 2, 4, 1, 2])
    return Series(name=name, sizes=sizes, values=1e6 * sizes * np.repeat([0.5, 1.0, 1.8], 3))


def test_runs_are_points_with_their_mean_and_their_spread() -> None:
    figure = figure_of(lambda each: draw_constellation(each, [series()], about="30 days"))
    (points,), (line,), (band,) = (by_gid(figure, f"{what} ten") for what in ("runs", "mean", "band"))
    assert len(points.get_xdata()) == 9
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 4])
    np.testing.assert_allclose(line.get_ydata(), np.array([1, 2, 4]) * 1.1)
    edge = {x: band.get_paths()[0].vertices for x in (1.0, 4.0)}
    for x, corners in edge.items():
        heights = corners[corners[:, 0] == x, 1]
        assert (heights.min(), heights.max()) == pytest.approx((0.5 * x, 1.8 * x))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "satellites" and axes.get_ylabel() == "key of the worst pair, Mbit"
    assert axes.get_ylim()[0] == 0.0
    assert "30 days; points: runs" in words(figure)


def test_computing_time_gets_the_power_law_that_made_it() -> None:
    size = np.array([1.0, 10, 100, 1000])
    timed = Series(name="exact", sizes=size, values=0.02 * size**1.5)
    figure = figure_of(lambda each: draw_costs(each, [series()], [timed], across="contacts"))
    left, right = figure.axes
    assert left.get_xlabel() == "contacts" and left.get_ylabel() == "key of a pair, Mbit"
    assert right.get_xlabel() == "satellites times days" and right.get_ylabel() == "computing time, s"
    assert right.get_xscale() == right.get_yscale() == "log"
    (law,) = by_gid(figure, "law exact")
    np.testing.assert_allclose(law.get_ydata(), [0.02, 0.02 * 1000**1.5], rtol=1e-9)
    assert "exact: slope 1.50, 0.02 s at 1" in words(figure)


@given(
    st.floats(1e-6, 1e6),
    st.floats(-3, 3),
    st.lists(st.floats(1e-3, 1e5), min_size=3, max_size=9, unique_by=lambda x: round(np.log(x), 1)),
)
def test_the_fit_finds_a_power_law(factor: float, slope: float, x: list[float]) -> None:
    law = fit_power_law(np.array(x), factor * np.array(x) ** slope)
    assert law is not None
    assert law.slope == pytest.approx(slope, abs=1e-6)
    assert np.log(law.factor) == pytest.approx(np.log(factor), abs=1e-5)
    assert law.spread == pytest.approx(0.0, abs=1e-6)


def test_the_fit_is_the_least_squares_of_logarithms() -> None:
    rng = np.random.default_rng(5)
    x = np.exp(rng.uniform(0, 6, 40))
    noise = rng.normal(0, 0.3, 40)
    law = fit_power_law(x, 2 * x**1.2 * np.exp(noise))
    assert law is not None
    columns = np.column_stack([np.ones(40), np.log(x)])
    found, rest, *_ = np.linalg.lstsq(columns, np.log(2) + 1.2 * np.log(x) + noise, rcond=None)
    assert (np.log(law.factor), law.slope) == pytest.approx(tuple(found))
    assert law.spread == pytest.approx(np.sqrt(rest[0] / 38))


def test_a_law_needs_two_sizes_and_numbers_above_nothing() -> None:
    assert fit_power_law(np.array([2.0, 2.0]), np.array([1.0, 3.0])) is None
    with pytest.raises(DataFormatError, match="above 0"):
        fit_power_law(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    same = Series(name="exact", sizes=np.array([6.0, 6.0, 0.0]), values=np.array([1.0, 2.0, 0.0]))
    assert "exact: one size, no slope" in words(figure_of(lambda each: draw_costs(each, [], [same])))


def test_without_runs_the_curves_say_so(tmp_path) -> None:
    none = Series(name="nobody", sizes=np.zeros(0), values=np.zeros(0))
    for given_series in ([], [none]):
        figure = figure_of(lambda each, rows=given_series: draw_costs(each, rows, rows))
        assert "no run was given" in words(figure) and "how long runs took was not given" in words(figure)
        figure = figure_of(lambda each, rows=given_series: draw_constellation(each, rows))
        assert "no run was given" in words(figure)
    assert constellation_picture(tmp_path / "c.png", [series()]).exists()
    assert cost_picture(tmp_path / "k.png", [series()], []).exists()


def test_more_series_than_colours_and_numbers_that_are_none_are_refused() -> None:
    many = [series(f"{k}") for k in range(MOST_SERIES + 1)]
    with pytest.raises(DataFormatError, match="at most 6 series, got 7"):
        figure_of(lambda each: draw_constellation(each, many))
    with pytest.raises(DataFormatError, match="as many sizes as values"):
        Series(name="s", sizes=np.zeros(2), values=np.zeros(3))
    with pytest.raises(DataFormatError, match="finite"):
        Series(name="s", sizes=np.zeros(1), values=np.array([np.nan]))


def test_names_of_series_do_not_cover_each_other() -> None:
    alike = [series(f"case number {k}") for k in range(MOST_SERIES)]
    figure = figure_of(lambda each: draw_constellation(each, alike))
    from matplotlib.text import Text

    boxes = sorted(
        (Text.get_window_extent(text) for text in figure.axes[0].texts if text.get_text().startswith("case")),
        key=lambda box: box.y0,
    )
    assert len(boxes) == MOST_SERIES
    assert all(a.y1 <= b.y0 + 1 for a, b in itertools.pairwise(boxes))
