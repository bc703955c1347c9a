"""The map: stations, arcs and colours as given; no name over another; lines cut at the date line."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from plan_cases import BEIJING, GRAZ, PLACES, by_gid, crowd, empty_view, figure_of, pair, view, words

from satqkd.errors import DataFormatError
from satqkd.show import plan_map
from satqkd.show.coast import lakes, land
from satqkd.show.plan_map import MOST_CIRCLES, WORLD, Extent, close_extent, draw_map, map_picture
from satqkd.show.plan_parts import Coverage, GroundTrack, Place
from satqkd.show.plan_sphere import circle, cut, great_circle
from satqkd.show.plan_view import PlanView

LATITUDES = st.floats(-1.5, 1.5)
LONGITUDES = st.floats(-3.14, 3.14)
PLACE = st.builds(lambda a, b: Place(name="p", latitude_rad=a, longitude_rad=b), LATITUDES, LONGITUDES)


def drawn(told: PlanView, extent: Extent = WORLD) -> Figure:
    return figure_of(lambda figure: draw_map(figure, told, extent))


def away_rad(a: Place, b: Place) -> float:
    """By the haversine formula."""
    return float(angles_rad(a, np.array([b.longitude_rad]), np.array([b.latitude_rad]))[0])


def angles_rad(a: Place, longitude_rad: np.ndarray, latitude_rad: np.ndarray) -> np.ndarray:
    h = np.sin((latitude_rad - a.latitude_rad) / 2) ** 2
    h += np.cos(a.latitude_rad) * np.cos(latitude_rad) * np.sin((longitude_rad - a.longitude_rad) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def track(satellite: str = "s-1", reach_rad: float = 0.2) -> GroundTrack:
    t = np.linspace(0, 20, 200)
    return GroundTrack(
        satellite=satellite, latitude_rad=1.2 * np.sin(t), longitude_rad=0.9 * t, reach_rad=reach_rad
    )


def coverage(**changes: np.ndarray) -> Coverage:
    grid = {
        "latitude_rad": np.radians([-60.0, 0.0, 60.0]),
        "longitude_rad": np.radians([-135.0, -45.0, 45.0, 135.0]),
        "day_bits": 1e5 * np.arange(12.0).reshape(3, 4),
    }
    return Coverage(**(grid | changes), detail="one kind of terminal")


def test_stations_stand_at_their_places() -> None:
    figure = drawn(view())
    (points,) = by_gid(figure, "stations")
    np.testing.assert_allclose(points.get_xdata(), [116.3, 15.5, 18.5, 139.7])
    np.testing.assert_allclose(points.get_ydata(), [40.0, 47.1, -33.9, 35.7])
    assert {place.name for place in PLACES} <= set(words(figure).split())
    assert figure.axes[0].get_xlabel() == "longitude, degrees east"
    assert figure.axes[0].get_ylabel() == "latitude, degrees north"


def test_an_arc_is_as_wide_as_its_key_and_joins_its_ends() -> None:
    figure = drawn(view())
    arcs = {arc.get_gid(): arc for arc in by_gid(figure, "pair")}
    wide, middle, none = (arcs[f"pair {name}"] for name in ("beijing-graz", "graz-cape", "tokyo-cape"))
    lowest = none.get_linewidth()
    assert (middle.get_linewidth() - lowest) / (wide.get_linewidth() - lowest) == pytest.approx(1 / 4)
    ends = np.column_stack([wide.get_xdata(), wide.get_ydata()])[[0, -1]]
    np.testing.assert_allclose(ends, [[116.3, 40.0], [15.5, 47.1]])
    assert none.get_color() != wide.get_color(), "a pair without key looks other than one with little"
    assert "4 Mbit in 2 days (beijing-graz)" in words(figure)


def test_colours_are_the_coverage_at_its_place() -> None:
    given_bits = coverage().day_bits
    given_bits[0, 0] = np.nan
    figure = drawn(view(coverage=coverage(day_bits=given_bits)))
    (mesh,) = [each for each in figure.axes[0].collections if each.get_array() is not None]
    np.testing.assert_allclose(mesh.get_array().filled(-1).ravel(), [-1.0, *(0.1 * np.arange(1, 12))])
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [-180, -90, 0, 90, 180])
    np.testing.assert_allclose(corners[:, 0, 1], [-90, -30, 30, 90])
    assert mesh.get_clim() == (0.0, pytest.approx(1.1))
    assert figure.axes[1].get_ylabel() == "key per day of one station there, Mbit"
    assert "one kind of terminal" in words(figure)


@pytest.mark.parametrize("worth", [0.0, np.nan])
def test_a_coverage_of_nothing_is_drawn_too(worth: float) -> None:
    assert (
        drawn(view(coverage=coverage(day_bits=np.full((3, 4), worth)))).axes[1].get_ylabel().endswith("bit")
    )


def test_a_coverage_of_another_shape_is_refused() -> None:
    with pytest.raises(DataFormatError, match=r"shape \(3, 4\)"):
        coverage(day_bits=np.zeros((4, 3)))
    with pytest.raises(DataFormatError, match="increasing"):
        coverage(latitude_rad=np.array([1.0, 0.0, -1.0]))


def test_tracks_and_circles_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = view(tracks=[track("s-1", 0.1), track("s-2", 0.2)])
    figure = drawn(told)
    assert len(by_gid(figure, "track")) == 1
    assert len(by_gid(figure, "circle")) == len(PLACES)
    assert "under s-1, not under 1 more" in words(figure)
    assert "where satellites are above the mask" in words(figure)
    ring = by_gid(figure, "circle")[0]
    rim = angles_rad(BEIJING, np.radians(ring.get_xdata()), np.radians(ring.get_ydata()))
    np.testing.assert_allclose(rim, 0.2, atol=1e-9)
    monkeypatch.setattr(plan_map, "MOST_CIRCLES", 3)
    assert MOST_CIRCLES > 3 and not by_gid(drawn(told), "circle")
    assert not by_gid(drawn(view(tracks=[track(reach_rad=0.0)])), "circle")


def label_boxes(figure: Figure, names: list[str]) -> dict[str, object]:
    """Of the text alone, without its line."""
    from matplotlib.text import Text

    texts = [each for each in figure.axes[0].texts if each.get_text() in names]
    return {each.get_text(): Text.get_window_extent(each) for each in texts}


@pytest.mark.parametrize("count", [1, 10, 60])
def test_no_name_covers_another_or_a_station(count: int) -> None:
    places = crowd(count)
    figure = drawn(view(places=places, contacts=[], pairs=[]))
    axes = figure.axes[0]
    boxes = label_boxes(figure, [each.name for each in places])
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if meets(boxes[a], boxes[b])]
    (points,) = by_gid(figure, "stations")
    pixels = dict(
        zip((each.name for each in places), axes.transData.transform(points.get_xydata()), strict=True)
    )
    for name, box in boxes.items():
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
        covered = [other for other, (x, y) in pixels.items() if box.x0 < x < box.x1 and box.y0 < y < box.y1]
        assert not covered, f"{name} covers {covered}"
    missing = count - len(boxes)
    assert (f"no room for {missing} of {count} names" in words(figure)) == (missing > 0)
    assert len(boxes) > count / 3


def meets(a, b) -> bool:
    """More than touching: drawing rounds to pixels."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


@pytest.mark.parametrize("told", [view(), view(coverage=coverage())], ids=["bare", "coverage"])
def test_nothing_runs_out_of_the_picture(told: PlanView) -> None:
    figure = drawn(told)
    box = figure.axes[0].get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 1200 and box.y1 <= 700
    assert max(text.get_window_extent().x1 for text in figure.texts) <= 1200


def test_long_names_make_headings_of_more_lines() -> None:
    long = "-".join(["name"] * 12)
    places = (Place(name=long, latitude_rad=0.1, longitude_rad=0.1), BEIJING)
    told = view(name=long, places=places, contacts=[], pairs=[pair(long, "beijing", 1.0)])
    figure = drawn(told)
    assert max(text.get_window_extent().x1 for text in figure.texts) <= 1200
    box = figure.axes[0].get_tightbbox()
    assert min(text.get_window_extent().y0 for text in figure.texts) >= box.y1


def test_stations_near_each_other_are_drawn_closer() -> None:
    near = close_extent(view(places=(GRAZ, BEIJING), contacts=[], pairs=[]))
    assert near is not None
    assert near.south_deg < 40.0 and near.north_deg > 47.1
    assert near.west_deg < 15.5 and near.east_deg > 116.3
    assert near.east_deg - near.west_deg == pytest.approx(2 * (near.north_deg - near.south_deg))
    far = (BEIJING, Place(name="lima", latitude_rad=-0.2, longitude_rad=-1.3))
    assert close_extent(view(places=far, contacts=[], pairs=[])) is None
    assert close_extent(empty_view()) is None
    pole = close_extent(
        view(places=(Place(name="n", latitude_rad=1.57, longitude_rad=0),), contacts=[], pairs=[])
    )
    assert pole is not None and pole.north_deg == pytest.approx(90.0)


def test_a_closer_map_shows_that_part() -> None:
    extent = Extent(0.0, 40.0, 30.0, 50.0)
    figure = drawn(view(), extent)
    assert figure.axes[0].get_xlim() == (0.0, 40.0) and figure.axes[0].get_ylim() == (30.0, 50.0)
    names = {text.get_text() for text in figure.axes[0].texts}
    assert "graz" in names and "beijing" not in names
    assert "no room" not in words(figure), "who is outside is not missed"


def test_an_empty_plan_is_a_map_that_says_so(tmp_path) -> None:
    assert "no station" in words(drawn(empty_view()))
    assert map_picture(tmp_path / "m.png", empty_view()).read_bytes().startswith(b"\x89PNG")


@given(PLACE, PLACE)
def test_a_great_circle_is_the_shortest_way(a: Place, b: Place) -> None:
    line = great_circle(a, b)
    seen = np.isfinite(line.longitude_deg)
    along = angles_rad(a, np.radians(line.longitude_deg[seen]), np.radians(line.latitude_deg[seen]))
    beyond = angles_rad(b, np.radians(line.longitude_deg[seen]), np.radians(line.latitude_deg[seen]))
    np.testing.assert_allclose(along + beyond, away_rad(a, b), atol=2e-6)


@given(PLACE, st.floats(0.01, 1.0))
def test_a_circle_is_everywhere_as_far(place: Place, radius_rad: float) -> None:
    line = circle(place, radius_rad)
    seen = np.isfinite(line.longitude_deg)
    away = angles_rad(place, np.radians(line.longitude_deg[seen]), np.radians(line.latitude_deg[seen]))
    np.testing.assert_allclose(away, radius_rad, atol=1e-6)


@given(st.lists(st.tuples(st.floats(-20, 20), LATITUDES), min_size=2, max_size=30))
def test_no_line_runs_across_the_map_at_the_date_line(points: list[tuple[float, float]]) -> None:
    line = cut(np.array([x for x, _ in points]), np.array([y for _, y in points]))
    steps = np.abs(np.diff(line.longitude_deg))
    assert not (steps > 180).any()
    assert (np.abs(line.longitude_deg[np.isfinite(line.longitude_deg)]) <= 180).all()
    assert np.isfinite(line.latitude_deg).sum() == len(points)


def on_land(longitude_deg: float, latitude_deg: float) -> bool:
    at = (longitude_deg, latitude_deg)
    inside = any(Outline(each).contains_point(at) for each in land())
    return inside and not any(Outline(each).contains_point(at) for each in lakes())


@pytest.mark.parametrize(
    ("longitude_deg", "latitude_deg"),
    [
        (116.3, 40.0), (97.7, 37.4), (15.5, 47.1), (36.8, 55.7), (19.5, -33.0), (114.3, 30.5),
        (139.4, 36.2), (-47.9, -15.8), (-105.0, 39.7), (-75.7, 45.4), (133.9, -23.7), (78.5, 17.4),
        (32.6, 0.3), (-3.7, 40.4), (-1.5, 52.5), (-42.0, 72.0), (0.0, -80.0), (-63.0, -17.8),
        (90.0, 60.0), (45.0, 24.0),
    ],
)  # fmt: skip
def test_cities_inland_are_on_land(longitude_deg: float, latitude_deg: float) -> None:
    assert on_land(longitude_deg, latitude_deg)


@pytest.mark.parametrize(
    ("longitude_deg", "latitude_deg"),
    [
        (-30, 30), (-140, 0), (70, -20), (0, 0), (18, 35), (-90, 25), (3, 56), (35, 43.5), (50.5, 40),
        (38, 20), (170, 40), (-20, -40), (90, 10), (115, 15), (0, 75), (-85, 60), (160, -40), (-70, 15),
    ],
)  # fmt: skip
def test_seas_are_not(longitude_deg: float, latitude_deg: float) -> None:
    assert not on_land(longitude_deg, latitude_deg)
