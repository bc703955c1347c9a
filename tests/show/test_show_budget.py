"""The budget's picture: each panel draws what columns, sky and fading hold, and says what is missing."""

import itertools
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_show_pictures import size_of

from satqkd import cli
from satqkd.config import Cloud, Isolation, Laser, LaserReceiver, Polarisation, Turbulence
from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.lasercom import FrameLoss
from satqkd.mission import Contact, Fading, contact_of, link_budget, presets
from satqkd.mission.planning import LOSS_COLUMNS
from satqkd.show import Columns, plot_budget
from satqkd.show.budget_panels import frame_loss_means
from satqkd.show.budget_picture import BUDGET_PX, draw_budget
from satqkd.show.budget_view import SAMPLE_S, Body, BudgetView, budget_view
from satqkd.show.loss import LOSS_PARTS
from satqkd.show.style import DPI, SETTINGS, write_png
from toy_pass import AT_UTC, replaced, toy_satellite, toy_station

SEED = 3
RECEIVER = LaserReceiver(
    aperture_diameter_m=0.2,
    optics_transmittance=0.3,
    quantum_efficiency=0.7,
    gain=50,
    ionisation_ratio=0.02,
    amplifier_noise_a_sqrt_hz=2e-12,
)
LASER = Laser(
    wavelength_m=810e-9,
    power_w=1e-4,
    extinction=0.1,
    divergence_rad=40e-6,
    pointing_jitter_rad=2e-6,
    pointing_correlation_s=0.02,
)


def equipped(**changes: Any) -> Contact:
    """The toy pass with everything that a panel can show; eight seconds."""
    above = replaced(LASER, pointing_jitter_rad=0.0, pointing_correlation_s=None)
    satellite = toy_satellite(
        transmitter__pointing_correlation_s=0.02,
        lasercom__laser=above,
        lasercom__receiver=RECEIVER,
        beacon__laser=replaced(above, extinction=0.0),
    )
    settings = {
        "turbulence": Turbulence(ground_cn2_m23=1.7e-14, high_wind_m_s=21.0, ground_wind_m_s=3.0),
        "clouds": (Cloud(from_s=5.0, to_s=100.0, loss_db=2.5),),
        "receiver__polarisation": Polarisation(compensation="waveplate", update_s=1.0),
        "receiver__isolation": Isolation(beacon_db=60.0),
        "lasercom__laser": LASER,
        "lasercom__receiver": RECEIVER,
    }
    return contact_of(satellite, toy_station(**(settings | changes)), AT_UTC)


@pytest.fixture(scope="module")
def contact() -> Contact:
    return equipped()


@pytest.fixture(scope="module")
def view(contact: Contact) -> BudgetView:
    return budget_view(contact, seed=SEED)


@pytest.fixture(scope="module")
def columns(contact: Contact) -> dict[str, Any]:
    return link_budget(contact, step_s=contact.step_s)


def texts_drawn(canvas: FigureCanvasAgg) -> list[tuple[str, Bbox]]:
    """Draw, and keep every text that reaches the canvas with the pixels it takes, its arrow left out."""
    kept, draw = [], Text.draw

    def keep(text: Text, renderer: Any, *words: Any, **options: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            kept.append((text.get_text(), Text.get_window_extent(text, renderer)))
        draw(text, renderer, *words, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", keep)
        canvas.draw()
    return kept


class Picture:
    """A drawn figure; panels by the beginning of their y label."""

    def __init__(self, view: BudgetView) -> None:
        with matplotlib.rc_context(SETTINGS):
            width, height = BUDGET_PX
            self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
            canvas = FigureCanvasAgg(self.figure)
            draw_budget(self.figure, view)
            self.boxes = texts_drawn(canvas)

    def panel(self, label: str, nth: int = 0) -> Axes:
        found = [axes for axes in self.figure.axes if axes.get_ylabel().startswith(label)]
        return found[nth]

    @property
    def sky(self) -> Any:
        (found,) = (axes for axes in self.figure.axes if axes.name == "polar")
        return found

    def texts(self, axes: Axes) -> str:
        return "\n".join(text.get_text() for text in axes.findobj(Text))


def curves(axes: Axes) -> list[np.ndarray]:
    """Curves of more than two points, as they were given."""
    return [np.asarray(line.get_ydata()) for line in axes.get_lines() if len(line.get_ydata()) > 2]


def named(axes: Axes, beginning: str) -> Any:
    (line,) = (line for line in axes.get_lines() if str(line.get_label()).startswith(beginning))
    return line


@pytest.fixture(scope="module")
def picture(view: BudgetView) -> Picture:
    return Picture(view)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("elevation, deg", "elevation_deg"),
        ("range, km", "range_km"),
        ("Doppler shift, pm", "doppler_pm"),
        ("frame angle, deg", "frame_angle_deg"),
        ("residual, deg", "residual_angle_deg"),
    ],
)
def test_a_curve_is_its_column(picture: Picture, columns: dict[str, Any], label: str, name: str):
    axes = picture.panel(label)
    (curve,) = curves(axes)
    np.testing.assert_array_equal(curve, columns[name])
    line = next(line for line in axes.get_lines() if len(line.get_ydata()) > 2)
    np.testing.assert_array_equal(line.get_xdata(), columns["t_s"])
    assert np.ptp(curve) > 0, "a flat column would prove nothing"


def test_range_rate_and_gigahertz_belong_to_the_shift(picture: Picture, columns, contact: Contact):
    axes = picture.panel("Doppler shift")
    (rate,) = axes.child_axes
    assert rate.get_ylabel() == "range rate, km/s"
    low, high = axes.get_ylim()
    km_s = rate.get_ylim()[1] * columns["doppler_pm"] / high
    np.testing.assert_allclose(km_s, columns["range_rate_m_s"] / 1e3, rtol=1e-9)
    assert low < columns["doppler_pm"].min() and columns["doppler_pm"].max() < high
    source = contact.satellite.source
    for row in (0, -1):
        nu = SPEED_OF_LIGHT_M_S / source.wavelength_m
        shifted = SPEED_OF_LIGHT_M_S / (source.wavelength_m + 1e-12 * columns["doppler_pm"][row])
        text = f"{columns['doppler_pm'][row]:+.1f} pm = {(shifted - nu) / 1e9:+.2f} GHz"
        assert text.replace("-", "\u2212") in picture.texts(axes)


def test_losses_are_stacked_up_to_their_sum_and_named(picture: Picture, columns: dict[str, Any]):
    axes = picture.panel("loss, dB")
    bands = [each for each in axes.collections if isinstance(each, PolyCollection)]
    assert len(bands) == len(LOSS_PARTS)
    assert [*(f"{part}_db" for part in LOSS_PARTS), "total_db"] == list(LOSS_COLUMNS)
    inside = columns["t_s"] <= columns["t_s"][-1]
    for part, band in zip(LOSS_PARTS, bands, strict=True):
        corners = band.get_paths()[0].vertices
        at_end = corners[np.isclose(corners[:, 0], columns["t_s"][inside][-1], atol=0.051), 1]
        assert np.ptp(at_end) == pytest.approx(columns[f"{part}_db"][-1], abs=0.01), part
    np.testing.assert_array_equal(curves(axes)[0], columns["total_db"])
    said = picture.texts(axes)
    assert "cloud  0.0–2.5 dB" in said and "diffraction" in said
    assert "calibration" not in said, "a part that costs nothing is not named"


def test_noise_is_background_crosstalk_and_dark_counts(picture: Picture, columns, contact: Contact):
    axes = picture.panel("counts of all four detectors")
    dark_hz = sum(contact.station.receiver.detector.dark_rate_hz)
    wanted = [np.full_like(columns["t_s"], dark_hz), columns["background_hz"], columns["crosstalk_hz"]]
    wanted.append(np.sum(wanted, axis=0))
    for got, want in zip(curves(axes), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    assert axes.get_yscale() == "log" and columns["crosstalk_hz"].min() > 0
    low, high = axes.get_ylim()
    assert low < min(each.min() for each in wanted) and wanted[-1].max() < high
    assert "lets 2 % pass" in picture.texts(axes), "2 ns of 100 ns"


def test_rates_and_errors_are_those_expected(picture: Picture, columns: dict[str, Any]):
    rates, errors = picture.panel("rate, kHz"), picture.panel("expected QBER, %")
    for axes, label, name, scale in (
        (rates, "detections", "expected_detection_hz", 1e-3),
        (rates, "sifted", "expected_sifted_hz", 1e-3),
        (errors, "decoys", "expected_decoy_qber", 100),
        (errors, "signals", "expected_qber", 100),
    ):
        np.testing.assert_allclose(named(axes, label).get_ydata(), scale * columns[name], rtol=1e-12)
    bits = np.mean(columns["expected_sifted_hz"]) * columns["t_s"][-1]
    text = str(named(rates, "sifted").get_label())
    assert float(text.split("(")[1].split()[0]) == pytest.approx(bits / 1e6, rel=0.01)


def test_the_fading_is_that_of_the_seed(view: BudgetView, picture: Picture, contact: Contact):
    series = Fading(contact, SEED).series()
    grid_s = np.linspace(series.t_s[0], series.t_s[-1], series.fading.size)
    at_s = view.fading.t_s
    assert at_s[-1] - at_s[0] == pytest.approx(SAMPLE_S, abs=0.01)
    top_s = series.t_s[np.argmax(contact.look.elevation_rad[contact.quantum_rows])]
    assert at_s[0] <= top_s <= at_s[-1]
    want = np.interp(at_s, grid_s, series.fading) * np.interp(at_s, series.t_s, series.transmittance)
    axes = picture.panel("transmittance, 1e")
    scale = float(axes.get_ylabel().split()[-1])
    np.testing.assert_allclose(named(axes, "instantaneous").get_ydata() * scale, want, rtol=1e-9)
    np.testing.assert_allclose(named(axes, "mean").get_ydata() * scale, view.fading.mean, rtol=1e-12)
    assert np.std(want) > 0.05 * np.mean(want)
    other = budget_view(contact, seed=SEED + 1).fading
    assert not np.allclose(other.transmittance, view.fading.transmittance)
    np.testing.assert_array_equal(other.mean, view.fading.mean)


def test_frame_loss_is_that_of_the_emulated_link(view: BudgetView, picture: Picture, contact: Contact):
    fading = Fading(contact, SEED)
    sample, along = picture.panel("frame loss", 0), picture.panel("frame loss", 1)
    for name, loss in (("down", fading.downlink()), ("up", fading.uplink())):
        want = [max(loss.at(t), 1e-6) for t in view.fading.t_s]
        np.testing.assert_allclose(named(sample, name).get_ydata(), want, rtol=1e-9)
        means = named(along, name)
        assert means.get_xdata()[0] == 0.5 and means.get_xdata()[-1] <= contact.look.t_s[-1] + 0.5
        first = np.mean([loss.at(t) for t in (np.arange(1000) + 0.5) / 1000])
        assert means.get_ydata()[0] == pytest.approx(max(first, 1e-6), rel=0.01)


def test_means_of_frame_loss_keep_what_is_short():
    probability = np.zeros(5001)
    probability[2500:2600] = 1.0
    loss = FrameLoss(start_s=0.0, step_s=1e-3, probability=probability)
    means = frame_loss_means(loss, np.arange(0.0, 5.5))
    np.testing.assert_allclose(means, [0, 0, 0.1, 0, 0], atol=1e-3)
    assert loss.along(np.array([2.0, 3.0])).max() == 0.0, "points alone would miss it"


def test_without_laser_budget_and_turbulence_it_is_said(contact: Contact):
    plain = contact_of(
        replaced(toy_satellite(), transmitter__pointing_correlation_s=None, lasercom__laser=None),
        toy_station(turbulence=None, lasercom__laser=None),
        AT_UTC,
    )
    picture = Picture(budget_view(plain, seed=SEED))
    lit = named(picture.panel("transmittance"), "instantaneous").get_ydata()
    np.testing.assert_allclose(lit, named(picture.panel("transmittance"), "mean").get_ydata())
    assert "no turbulence and no pointing in time is set" in picture.texts(picture.panel("transmittance"))
    for nth in (0, 1):
        for name in ("down", "up"):
            line = named(picture.panel("frame loss", nth), f"{name}, fixed")
            np.testing.assert_allclose(line.get_ydata(), plain.satellite.lasercom.frame_loss)


def test_the_track_is_drawn_as_on_a_map(view: BudgetView, picture: Picture, contact: Contact):
    sky, track = picture.sky, view.track
    assert sky.get_theta_direction() == -1 and sky.get_theta_offset() == pytest.approx(np.pi / 2)
    line = named(sky, "quantum link")
    inside = (track.t_s >= 0) & (track.t_s <= contact.quantum_end_s)
    np.testing.assert_allclose(np.degrees(line.get_xdata()), track.azimuth_deg[inside])
    np.testing.assert_allclose(line.get_ydata(), 90 - track.elevation_deg[inside])
    for name, column in (("azimuth_deg", "azimuth_rad"), ("elevation_deg", "elevation_rad")):
        along = np.interp(track.t_s[inside], contact.look.t_s, np.degrees(getattr(contact.look, column)))
        np.testing.assert_allclose(getattr(track, name)[inside], along, atol=1e-3)
    lowest = np.degrees(contact.station.lasercom_minimum_elevation_rad)
    assert track.elevation_deg.min() >= lowest and track.elevation_deg[[0, -1]].max() < lowest + 0.2
    assert named(sky, "masks").get_ydata()[0] == pytest.approx(90 - 15.0)


def test_rise_culmination_and_set_are_the_passes(view: BudgetView, picture: Picture, contact: Contact):
    pass_ = contact.pass_
    azimuths = (pass_.start_azimuth_rad, pass_.culmination_azimuth_rad, pass_.end_azimuth_rad)
    moments = (pass_.start, pass_.culmination, pass_.end)
    assert [event.name for event in view.track.events] == ["rise", "culmination", "set"]
    for event, azimuth_rad, moment in zip(view.track.events, azimuths, moments, strict=True):
        assert event.azimuth_deg == pytest.approx(np.degrees(azimuth_rad), abs=0.01)
        assert abs(int(event.utc[-2:]) - moment.second - moment.microsecond / 1e6) <= 0.51
        line = named(picture.sky, f"{event.name} {event.utc} UTC")
        np.testing.assert_allclose(line.get_xdata(), [np.radians(event.azimuth_deg)])
        np.testing.assert_allclose(line.get_ydata(), [90 - event.elevation_deg])
    assert view.track.events[1].elevation_deg == pytest.approx(np.degrees(pass_.max_elevation_rad), abs=1e-3)


def test_arrows_point_where_the_satellite_goes(view: BudgetView, picture: Picture):
    arrows = [text for text in picture.sky.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 2
    for arrow in arrows:
        (head, _), (tail, _) = arrow.xy, arrow.get_position()
        rows = [int(np.argmin(abs(np.radians(view.track.azimuth_deg) - each))) for each in (tail, head)]
        assert rows[0] < rows[1]


def separation_deg(one: Body, azimuth_deg: float, elevation_deg: float) -> float:
    e1, e2, turn = np.radians([one.elevation_deg, elevation_deg, one.azimuth_deg - azimuth_deg])
    return float(np.degrees(np.arccos(np.sin(e1) * np.sin(e2) + np.cos(e1) * np.cos(e2) * np.cos(turn))))


def test_sun_and_moon_stand_where_the_background_has_them(view: BudgetView, contact: Contact):
    _, top, _ = view.track.events
    top_s = (contact.pass_.culmination - contact.epoch).total_seconds()
    for body, name in ((view.track.sun, "sun"), (view.track.moon, "moon")):
        for got, column in (
            (body.elevation_deg, f"{name}_elevation_rad"),
            (separation_deg(body, top.azimuth_deg, top.elevation_deg), f"{name}_separation_rad"),
        ):
            rows = np.degrees(getattr(contact.course.around, column))
            assert got == pytest.approx(np.interp(top_s, contact.look.t_s, rows), abs=0.02), column
    assert 0 < view.track.sun.azimuth_deg < 40, "an hour after midnight the Sun is a little east of north"
    assert view.track.moon.lit_percent == 63


def test_a_body_is_marked_only_above_the_horizon(view: BudgetView, picture: Picture):
    assert len(named(picture.sky, "Moon").get_xdata()) == 1
    assert len(named(picture.sky, "Sun 71° below the horizon").get_xdata()) == 0
    up, down = Body(azimuth_deg=210.0, elevation_deg=33.0), Body(azimuth_deg=0.0, elevation_deg=-3.0)
    track = msgspec.structs.replace(view.track, sun=up, moon=down)
    sky = Picture(msgspec.structs.replace(view, track=track)).sky
    sun = named(sky, "Sun: azimuth 210°, elevation 33°")
    np.testing.assert_allclose([sun.get_xdata()[0], sun.get_ydata()[0]], [np.radians(210), 57])
    assert len(named(sky, "Moon 3° below").get_xdata()) == 0


def test_the_heading_says_who_when_and_that_it_is_a_model(picture: Picture, contact: Contact):
    said = "\n".join(text.get_text() for text in picture.figure.findobj(Text))
    for part in (
        "toy-satellite over toy-station",
        "first pulse 2016-12-19T16:5",
        "values of the model",
        "seed 3",
    ):
        assert part in said


def test_columns_that_are_missing_are_told(view: BudgetView):
    required = [name for name in Columns.__struct_fields__ if name not in OPTIONAL]
    bare = Columns(**{name: getattr(view.columns, name) for name in required})
    picture = Picture(msgspec.structs.replace(view, columns=bare))
    for label in ("Doppler shift", "frame angle", "residual"):
        assert "not among the columns" in picture.texts(picture.panel(label))
    assert "no background and no crosstalk" in picture.texts(picture.panel("counts of all"))
    assert "cloud" not in picture.texts(picture.panel("loss, dB"))
    empty = {name: (None,) * len(bare.t_s) for name in required if name not in ("t_s",)}
    Picture(msgspec.structs.replace(view, columns=msgspec.structs.replace(bare, **empty)))


OPTIONAL = (
    "cloud_db",
    "background_hz",
    "crosstalk_hz",
    "expected_detection_hz",
    "azimuth_deg",
    "range_rate_m_s",
    "doppler_pm",
    "frame_angle_deg",
    "residual_angle_deg",
    "scintillation_index",
)


@pytest.mark.parametrize("which", ["toy", "micius"])
def test_no_text_lies_on_another_or_outside(which: str, picture: Picture):
    if which == "micius":
        whole = contact_of(presets.satellite("micius"), presets.station("xinglong"), AT_UTC)
        picture = Picture(budget_view(whole, seed=SEED))
    boxes = [(text, box) for text, box in picture.boxes if not text.endswith("\n")]  # the heading's space
    assert len(boxes) > 100
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = min(a.x1, b.x1) - max(a.x0, b.x0) < 2 or min(a.y1, b.y1) - max(a.y0, b.y0) < 2
        assert apart, (one, other)
    width, height = BUDGET_PX
    assert all(a.x0 >= 0 and a.y0 >= 0 and a.x1 <= width and a.y1 <= height for _, a in boxes)


def test_the_picture_has_its_size_and_repeats(contact: Contact, tmp_path: Path):
    path = plot_budget(tmp_path / "budget.png", contact, seed=SEED)
    assert size_of(path) == BUDGET_PX
    again = plot_budget(tmp_path / "again", contact, seed=SEED)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again", "budget.png"]


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`satqkd budget` of a pass of eight seconds; exit code, stdout, stderr."""
    station = tmp_path / "near.toml"
    station.write_text('preset = "xinglong"\nname = "near"\nmaximum_range_km = 646\n')

    def run(*words: str) -> tuple[int, str, str]:
        line = ["satqkd", "budget", "micius", str(station), "--at", AT_UTC, "--step", "2", *words]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


def test_the_command_draws_and_prints_rows(command: Command, tmp_path: Path):
    path = tmp_path / "b.png"
    code, out, err = command("--plot", str(path), "--seed", "5", "--json")
    assert code == 0 and size_of(path) == BUDGET_PX and "seed 5" in err
    other = tmp_path / "other.png"
    command("--plot", str(other), "--seed", "6")
    assert path.read_bytes() != other.read_bytes()
    rows = json.loads(out)
    wanted = (
        "t_s elevation_deg range_km range_rate_m_s diffraction_db pointing_db atmosphere_db cloud_db "
        "receiver_db calibration_db detector_db total_db background_hz crosstalk_hz expected_detection_hz "
        "expected_sifted_hz expected_qber expected_decoy_qber azimuth_deg light_time_s point_ahead_urad "
        "doppler_pm frame_angle_deg residual_angle_deg scintillation_index sun_elevation_deg "
        "moon_elevation_deg"
    )
    assert len(rows) == 4 and all(set(wanted.split()) <= set(row) for row in rows)


def test_the_table_fits_a_terminal_and_drops_no_loss(command: Command):
    code, out, err = command()
    assert code == 0 and err == ""
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100
    _, rows, _ = command("--json")
    row = json.loads(rows)[0]
    steady = out.split("steady losses, dB: ")[1].splitlines()[0].strip()
    told = sum(float(part.split()[1]) for part in steady.split(", "))
    first = next(line.split() for line in out.splitlines() if line.split()[:1] == ["0.0"])
    assert told + float(first[3]) + float(first[4]) == pytest.approx(float(first[5]), abs=0.4)
    assert float(first[5]) == pytest.approx(row["total_db"], abs=0.05)
    assert float(first[-1]) == pytest.approx(100 * row["expected_qber"], abs=0.005)


@pytest.mark.parametrize("name", ["nowhere/b.png", "near.toml/b.png", ".", "b.pdf"])
def test_a_place_that_cannot_take_the_picture(command: Command, tmp_path: Path, name: str):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = command("--plot", str(tmp_path / name))
    assert (code, out) == (2, "") and len(err.strip().splitlines()) == 1 and err.startswith("satqkd: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(Exception, match="No space left on device"):
        write_png(path, lambda figure: None)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_pipe_takes_a_picture_and_stays_a_pipe(tmp_path: Path):
    pipe, taken = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: taken.append(pipe.read_bytes()))
    reader.start()
    write_png(pipe, lambda figure: None, width_px=300, height_px=200)
    reader.join(timeout=30)
    assert taken[0].startswith(b"\x89PNG") and pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_link_leads_to_the_picture_and_stays_a_link(tmp_path: Path):
    link, target = tmp_path / "link.png", tmp_path / "target.png"
    link.symlink_to(target)
    for _ in range(2):
        write_png(link, lambda figure: None, width_px=300, height_px=200)
        assert link.is_symlink() and size_of(target) == (300, 200)
