"""Contacts as bars: where and when they are, by satellite, paler under clouds, nights whole."""

import importlib.util
import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from PIL import Image
from plan_cases import (
    DAY_S,
    HOUR_S,
    START,
    by_gid,
    contact,
    crowd,
    empty_view,
    figure_of,
    view,
    words,
)

from satqkd.show.plan_nights import (
    MOST_ROWS,
    cut_of_day_s,
    draw_nights,
    night_pictures,
    opacity,
    sheets,
)
from satqkd.show.plan_style import OTHERS_COLOUR, PALETTE, colours_of
from satqkd.show.plan_view import PlanView

EXAMPLE = Path(__file__).parents[2] / "examples" / "plan_pictures.py"
MINUTES = st.integers(0, 3 * 1440)


def drawn(told: PlanView, number: int = 0):
    sheet = sheets(told)[number]
    return sheet, figure_of(lambda figure: draw_nights(figure, told, sheet), height_px=sheet.height_px)


def test_a_bar_stands_where_its_contact_is() -> None:
    told = view()
    sheet, figure = drawn(told)
    assert sheet.stations == ("beijing", "cape", "graz")  # tokyo has no contact; from east to west
    bars = {bar.get_gid(): bar for bar in by_gid(figure, "contact")}
    assert len(bars) == len(told.plan.contacts)
    first, second, third = (bars[f"contact {k}"] for k in range(3))
    assert (first.get_x(), first.get_width()) == pytest.approx((2 * HOUR_S, 400))
    assert third.get_width() == pytest.approx(600)
    middles = [round(bar.get_y() + bar.get_height() / 2) for bar in (first, second, third)]
    assert middles == [0, 2, 1]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["beijing", "cape", "graz"]


def test_colour_is_the_satellite_and_opacity_the_sky() -> None:
    _, figure = drawn(view())
    bars = {bar.get_gid(): bar for bar in by_gid(figure, "contact")}
    faces = [bars[f"contact {k}"].get_facecolor() for k in range(4)]
    assert [to_hex(face) for face in faces] == [PALETTE[0], PALETTE[1], PALETTE[0], PALETTE[1]]
    assert [face[3] for face in faces] == pytest.approx([opacity(p) for p in (1.0, 0.25, 0.5, 0.5)])
    assert opacity(1.0) == 1.0 and 0 < opacity(0.0) < opacity(0.25) < opacity(0.5)
    assert all(bar.get_edgecolor()[3] == 1.0 for bar in bars.values()), "a cloudy contact can still be seen"
    assert {"s-1", "s-2"} <= set(words(figure).split())


def test_time_is_told_in_utc_with_its_date() -> None:
    _, figure = drawn(view())
    axes = figure.axes[0]
    ticks = dict(zip(axes.get_xticks(), (each.get_text() for each in axes.get_xticklabels()), strict=True))
    assert ticks[2 * HOUR_S] == "14:00"  # the plan begins at 12:00
    assert figure.axes[-1].get_xlabel() == "time of day, UTC"
    assert axes.get_title("left") == "2025-01-15"
    assert figure.axes[1].get_title("left") == "2025-01-16"


def test_a_night_is_not_cut_where_the_date_changes() -> None:
    late = [contact("graz", "s-1", 11.9 * HOUR_S), contact("graz", "s-2", 12.1 * HOUR_S)]
    again = [contact("graz", "s-1", DAY_S + 11.9 * HOUR_S)]
    (sheet,) = sheets(view(contacts=late + again))
    assert [panel.contacts.tolist() for panel in sheet.panels] == [[0, 1], [2]]
    _, figure = drawn(view(contacts=late + again))
    assert figure.axes[0].get_title("left") == "2025-01-15 to 2025-01-16"


@given(st.lists(st.tuples(MINUTES, st.integers(1, 15)), min_size=1, max_size=12))
def test_the_cut_lies_in_no_contact_where_any_minute_is_free(spans: list[tuple[int, int]]) -> None:
    start_s = np.array([60.0 * begin for begin, _ in spans])
    end_s = np.array([60.0 * (begin + length) for begin, length in spans])
    cut_s = cut_of_day_s(start_s, end_s)
    into = (cut_s - start_s) % DAY_S
    assert (into > end_s - start_s).all()


def test_the_cut_is_in_the_middle_of_the_longest_gap() -> None:
    starts_s = np.array([18.0, 23.5, 24 + 4.0]) * HOUR_S
    assert cut_of_day_s(starts_s, starts_s + 600) == pytest.approx(11.1 * HOUR_S, abs=120)
    always = np.arange(0, DAY_S, 600)
    assert cut_of_day_s(always, always + 600) == 0.0


@given(st.lists(st.tuples(MINUTES, st.sampled_from(["beijing", "graz", "cape"])), min_size=1, max_size=20))
def test_every_contact_is_drawn_in_the_panel_in_which_it_begins(rows: list[tuple[int, str]]) -> None:
    told = view(contacts=[contact(station, "s-1", 60.0 * minute) for minute, station in rows])
    panels = [panel for sheet in sheets(told) for panel in sheet.panels]
    for k, (minute, _) in enumerate(rows):
        homes = [panel for panel in panels if panel.begin_s <= 60 * minute < panel.end_s]
        assert len({(panel.begin_s, panel.end_s) for panel in homes}) == 1
        assert all(k in panel.contacts for panel in homes)
    assert all(panel.end_s - panel.begin_s <= 14 * HOUR_S for panel in panels)


def test_sixty_stations_make_sheets_that_can_be_read() -> None:
    places = crowd(60)
    rng = np.random.default_rng(1)
    contacts = [
        contact(each.name, f"s-{k % 9}", float(rng.uniform(0, DAY_S))) for k, each in enumerate(places)
    ]
    told = view(places=places, satellites=tuple(f"s-{k}" for k in range(9)), contacts=contacts * 2, pairs=[])
    made = sheets(told)
    assert all(0 < len(sheet.stations) <= MOST_ROWS for sheet in made)
    seen = {
        told.plan.contacts[row].station for sheet in made for panel in sheet.panels for row in panel.contacts
    }
    assert seen == {each.name for each in places}
    bars = 0
    for number in range(len(made)):
        _, figure = drawn(told, number)
        bars += len(by_gid(figure, "contact"))
        assert not overlapping_rows(figure)
    assert bars >= len(told.plan.contacts)
    assert "4 others" in words(figure)


def overlapping_rows(figure) -> list[str]:
    boxes = [tick.get_window_extent() for tick in figure.axes[0].get_yticklabels()]
    return [str(a) for a, b in itertools.pairwise(boxes) if a.y0 < b.y1]


def test_the_most_used_satellites_have_colours_of_their_own() -> None:
    used = [f"s-{k}" for k in range(9) for _ in range(k + 1)]
    colours = colours_of(used)
    assert {name for name, color in colours.items() if color == OTHERS_COLOUR} == {"s-0", "s-1", "s-2", "s-3"}
    own = [color for color in colours.values() if color != OTHERS_COLOUR]
    assert len(own) == len(set(own)) == 5
    assert len(set(colours_of([*used[-8 * 9 :][:0], "a", "b", "c", "d", "e", "f"]).values())) == 6


def test_a_plan_without_contacts_says_so(tmp_path) -> None:
    _, figure = drawn(empty_view())
    assert "the plan flies no contact" in words(figure)
    assert night_pictures([tmp_path / "a.png", tmp_path / "b.png"], empty_view()) == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_examples_smaller_picture_keeps_every_colour_apart(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("plan_pictures", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    crafts = [f"s-{k}" for k in range(6)]
    flown = [contact("graz", craft, 3600.0 * k, clear=0.1 + 0.15 * k) for k, craft in enumerate(crafts)]
    (path,) = night_pictures([tmp_path / "n.png"], view(satellites=tuple(crafts), contacts=flown))
    before = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    bytes_before = path.stat().st_size
    example.make_small(path)
    after = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    assert np.abs(after - before).max() <= 10
    assert path.stat().st_size < bytes_before / 2


def test_a_plan_may_begin_at_any_time() -> None:
    later = msgspec.structs.replace(view().plan, start_utc=START.replace("12:00", "12:34"))
    told = msgspec.structs.replace(view(), plan=later)
    _, figure = drawn(told)
    labels = {each.get_text() for axes in figure.axes for each in axes.get_xticklabels()}
    assert all(label.endswith(":00") for label in labels)
