"""Plans with easy numbers, in the form that `satqkd plan --json` prints, and figures to look into."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from satqkd.constants import DAY_S
from satqkd.show.plan_parts import Place
from satqkd.show.plan_view import PlanView, view_of_plan
from satqkd.show.style import DPI, SETTINGS
from satqkd.sky import format_utc, parse_utc

START = "2025-01-15T12:00:00Z"
HOUR_S = 3600.0
BEIJING = Place(name="beijing", latitude_rad=np.radians(40.0), longitude_rad=np.radians(116.3))
GRAZ = Place(name="graz", latitude_rad=np.radians(47.1), longitude_rad=np.radians(15.5))
CAPE = Place(name="cape", latitude_rad=np.radians(-33.9), longitude_rad=np.radians(18.5))
TOKYO = Place(name="tokyo", latitude_rad=np.radians(35.7), longitude_rad=np.radians(139.7))
PLACES = (BEIJING, GRAZ, CAPE, TOKYO)


def contact(
    station: str, satellite: str, start_s: float, *, long_s: float = 400.0, clear: float = 0.5
) -> dict[str, Any]:
    """A contact that begins so long after START."""
    start = parse_utc(START) + timedelta(seconds=start_s)
    return {
        "satellite": satellite,
        "station": station,
        "start_utc": format_utc(start),
        "end_utc": format_utc(start + timedelta(seconds=long_s)),
        "max_elevation_rad": 1.0,
        "key_bits": 200_000.0,
        "clear_probability": clear,
        "period": 0,
    }


def pair(a: str, b: str, key_bits: float, **changes: Any) -> dict[str, Any]:
    """A pair of two stations."""
    return {
        "pair": f"{a}-{b}",
        "ends": [a, b],
        "key_bits": key_bits,
        "by_date_bits": key_bits,
        "demand_bits": None,
        "relayed_bits": {"s-1": key_bits} if key_bits else {},
    } | changes


CONTACTS = (
    contact("beijing", "s-1", 2 * HOUR_S, clear=1.0),
    contact("graz", "s-2", 8 * HOUR_S, clear=0.25),
    contact("cape", "s-1", 9 * HOUR_S, long_s=600.0),
    contact("beijing", "s-2", DAY_S + 3 * HOUR_S),
)
PAIRS = (pair("beijing", "graz", 4e6), pair("graz", "cape", 1e6), pair("tokyo", "cape", 0.0))


def plan_dict(**changes: Any) -> dict[str, Any]:
    """A plan as JSON."""
    return {
        "name": "easy",
        "objective_name": "max-min",
        "objective": 1_234_567.0,
        "bound": 1_300_000.0,
        "gap": 0.053,
        "method": "exact",
        "status": "optimal",
        "start_utc": START,
        "period_s": DAY_S,
        "contacts": list(CONTACTS),
        "relays": [],
        "pairs": list(PAIRS),
        "passes": 77,
        "time_s": 1.5,
    } | changes


def view(
    *, places: tuple[Place, ...] = PLACES, satellites: tuple[str, ...] = ("s-1", "s-2"), **changes: Any
) -> PlanView:
    """The view of `plan_dict`; keywords that the plan has change it, others go to the view."""
    parts = {name: changes.pop(name) for name in list(changes) if name not in plan_dict()}
    return view_of_plan(
        plan_dict(**changes), stations=places, satellites=satellites, **({"duration_s": 2 * DAY_S} | parts)
    )


def empty_view() -> PlanView:
    """A plan of nobody for nothing."""
    return view(places=(), satellites=(), contacts=[], pairs=[])


def crowd(count: int, seed: int = 3) -> tuple[Place, ...]:
    """Stations, two thirds of them in Europe."""
    rng = np.random.default_rng(seed)
    spread = [(48, 5, 8, 9) if k < 2 * count / 3 else (10, 25, 40, 60) for k in range(count)]
    degrees = [(rng.normal(a, b), rng.normal(c, d)) for a, b, c, d in spread]
    return tuple(
        Place(
            name=f"station-{k:02d}",
            latitude_rad=float(np.radians(np.clip(latitude, -85, 85))),
            longitude_rad=float(np.radians(np.clip(longitude, -175, 175))),
        )
        for k, (latitude, longitude) in enumerate(degrees)
    )


def figure_of(draw: Callable[[Figure], None], *, width_px: int = 1200, height_px: int = 700) -> Figure:
    """What a picture draws, laid out."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.canvas.draw()
    return figure


def words(figure: Figure) -> str:
    """All text of a figure."""
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "right")]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    legends += [t for axes in figure.axes if axes.get_legend() for t in axes.get_legend().get_texts()]
    said = [figure.get_suptitle(), *(t.get_text() for t in [*texts, *legends]), *titles]
    return " ".join(" ".join(said).split())


def by_gid(figure: Figure, start: str) -> list[Any]:
    """Artists whose name begins so."""
    return figure.findobj(lambda artist: (artist.get_gid() or "").startswith(start))
