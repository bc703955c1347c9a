"""Pictures: the right size, and they show the data they are given."""

import math
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from scipy import special

from satqkd.errors import DataFormatError, ResourceError
from satqkd.show import (
    PassFiles,
    as_noise,
    demo_image,
    geometry_picture,
    image_picture,
    loss_picture,
    rate_picture,
    read_pass,
)
from satqkd.show import pictures as show_pictures
from satqkd.show.bins import bin_profiles, merged, poisson_limits
from satqkd.show.files import Profile
from satqkd.show.pictures import FEWEST_REVEALED
from satqkd.show.style import spread, write_png


@pytest.fixture
def files(tmp_path: Path, samples: SimpleNamespace) -> PassFiles:
    return read_pass(samples.write_folder(tmp_path / "pass", samples.pass_dict()))


def size_of(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_geometry_and_loss_follow_the_course(files: PassFiles, tmp_path: Path):
    columns = files.course.columns
    for draw, changed in ((geometry_picture, "range_km"), (loss_picture, "atmosphere_db")):
        first = draw(tmp_path / "a.png", files.report.scene, columns)
        assert size_of(first) == (1200, 700)
        again = draw(tmp_path / "b.png", files.report.scene, columns)
        assert again.read_bytes() == first.read_bytes()
        longer = tuple(1.2 * value for value in getattr(columns, changed))
        other = msgspec.structs.replace(columns, **{changed: longer})
        assert draw(tmp_path / "c.png", files.report.scene, other).read_bytes() != first.read_bytes()


def test_rates_follow_the_counts(files: PassFiles, tmp_path: Path):
    scene, course = files.report.scene, files.course.columns
    first = rate_picture(tmp_path / "a.png", scene, files.profiles, course)
    assert size_of(first) == (1200, 700)
    (profile,) = files.profiles
    for name in ("sifted", "revealed", "errors"):
        more = tuple(value * 6 // 5 for value in getattr(profile, name))
        if name == "errors":
            more = tuple(min(pair) for pair in zip(profile.revealed, (n + 1 for n in more), strict=True))
        other = msgspec.structs.replace(profile, **{name: more})
        changed = rate_picture(tmp_path / "b.png", scene, [other], course)
        assert changed.read_bytes() != first.read_bytes(), name
    without = rate_picture(tmp_path / "c.png", scene, files.profiles, None)
    assert without.read_bytes() != first.read_bytes()


class Panel:
    """What a rate picture drew into its lower panel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, *words, **options) -> None:
        drawn = []

        def keep(path, draw, **size):
            return write_png(path, lambda figure: (draw(figure), drawn.append(figure)), **size)

        monkeypatch.setattr(show_pictures, "write_png", keep)
        rate_picture(path, *words, **options)
        axes = drawn[0].axes[1]
        self.y_label = axes.get_ylabel()
        self.lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        self.points = [container.lines[0].get_xydata() for container in axes.containers]
        self.texts = " ".join(text.get_text() for text in axes.texts)
        self.highest = axes.get_ylim()[1]


def test_the_lower_panel_is_of_revealed_decoys(files: PassFiles, tmp_path: Path, monkeypatch):
    scene, course = files.report.scene, files.course.columns
    panel = Panel(monkeypatch, tmp_path / "a.png", scene, files.profiles, course, qber=0.0105)
    bins = merged(bin_profiles(files.profiles, scene.duration_s), FEWEST_REVEALED)
    (points,) = panel.points
    np.testing.assert_allclose(points[:, 1], 100 * bins.errors / bins.revealed)
    assert not np.allclose(points[:, 1], 100 * bins.errors / bins.sifted), "keyed rounds are no divisor"
    assert panel.y_label == "QBER of revealed decoys, %"
    shown = course.array("t_s") <= scene.duration_s
    np.testing.assert_allclose(panel.lines["expected"], 100 * course.array("expected_decoy_qber")[shown])
    np.testing.assert_allclose(panel.lines["keyed rounds, whole pass: 1.05 %"], 1.05)
    assert "errors of keyed rounds" in panel.texts


def test_a_pass_without_revealed_decoys_says_so(files: PassFiles, tmp_path: Path, monkeypatch):
    scene, course = files.report.scene, files.course.columns
    none = (0,) * len(files.profiles[0].second)
    keyed = msgspec.structs.replace(files.profiles[0], revealed=none, errors=none)
    panel = Panel(monkeypatch, tmp_path / "a.png", scene, [keyed], course, qber=0.03)
    assert panel.points == [] and "expected" not in panel.lines
    assert "no decoy was revealed" in panel.texts
    assert panel.highest > 3.0
    bare = Panel(monkeypatch, tmp_path / "b.png", scene, [keyed], None)
    assert not any(label.startswith("keyed") for label in bare.lines)


def test_rates_of_a_pass_that_kept_nothing(files: PassFiles, tmp_path: Path):
    assert size_of(rate_picture(tmp_path / "a.png", files.report.scene, [], None)) == (1200, 700)


def test_a_course_with_nulls_is_drawn(files: PassFiles, tmp_path: Path):
    columns = files.course.columns
    rows = len(columns.t_s)
    empty = dict.fromkeys(("total_db", "atmosphere_db", "expected_decoy_qber"), (None,) * rows)
    hollow = msgspec.structs.replace(columns, **empty, pointing_db=(math.inf,) * rows)
    scene = files.report.scene
    assert size_of(loss_picture(tmp_path / "a.png", scene, hollow)) == (1200, 700)
    assert size_of(geometry_picture(tmp_path / "b.png", scene, hollow)) == (1200, 700)
    assert size_of(rate_picture(tmp_path / "c.png", scene, files.profiles, hollow)) == (1200, 700)


def test_the_image_picture_tells_a_difference(tmp_path: Path):
    image = demo_image()
    noise = as_noise(np.random.default_rng(1).bytes(image.size), image.shape)
    wrong = image.copy()
    wrong[0, 0, 0] ^= 1
    pictures = [
        image_picture(tmp_path / f"{k}.png", image, noise, after)
        for k, after in enumerate((image, wrong, image[::-1]))
    ]
    assert size_of(pictures[0])[0] == 1200
    assert len({picture.read_bytes() for picture in pictures}) == 3
    grey = image_picture(tmp_path / "grey.png", image[..., 0], noise[..., 0], image[..., 0])
    assert size_of(grey)[0] == 1200


def test_a_cloud_is_a_part_of_the_loss(files: PassFiles, tmp_path: Path):
    """Folders of earlier versions have no such column."""
    columns, scene = files.course.columns, files.report.scene
    before = loss_picture(tmp_path / "a.png", scene, columns).read_bytes()
    none = msgspec.structs.replace(columns, cloud_db=(0.0,) * len(columns.t_s))
    assert loss_picture(tmp_path / "b.png", scene, none).read_bytes() == before
    some = msgspec.structs.replace(columns, cloud_db=(3.0,) * len(columns.t_s))
    assert loss_picture(tmp_path / "c.png", scene, some).read_bytes() != before


def test_names_are_never_taken_for_formulas(files: PassFiles, tmp_path: Path):
    scene = msgspec.structs.replace(files.report.scene, station=r"$\frac{", detail=r"$\nonsense$ _^")
    assert loss_picture(tmp_path / "a.png", scene, files.course.columns).exists()


def test_a_folder_that_is_not_there(files: PassFiles, tmp_path: Path):
    with pytest.raises(ResourceError, match="cannot be written"):
        geometry_picture(tmp_path / "no" / "a.png", files.report.scene, files.course.columns)


@pytest.mark.parametrize("duration_s", [0.4, 5.0, 7.6, 14.0, 273.0, 352.4, 1200.0])
def test_bins_keep_every_count_and_second(duration_s: float):
    rng = np.random.default_rng(3)
    seconds = tuple(range(math.ceil(duration_s)))
    sifted = rng.poisson(200, len(seconds))
    revealed = rng.poisson(20, len(seconds))
    errors = rng.binomial(revealed, 0.05)
    columns = [tuple(column.tolist()) for column in (sifted, revealed, errors)]
    profiles = [Profile(block, seconds, *columns) for block in range(2)]
    binned = bin_profiles(profiles, duration_s)
    assert binned.sifted.sum() == 2 * sifted.sum() and binned.errors.sum() == 2 * errors.sum()
    assert binned.revealed.sum() == 2 * revealed.sum()
    assert binned.width_s.sum() == pytest.approx(duration_s)
    assert binned.width_s[:-1].min(initial=5) >= 5 and binned.start_s.size <= 60
    first = slice(0, math.ceil(binned.width_s[0]))
    assert binned.sifted[0] == 2 * sifted[first].sum()


def test_seconds_outside_the_pass_are_refused():
    with pytest.raises(DataFormatError, match="expected seconds from 0 to 300"):
        bin_profiles([Profile(0, (302,), (1,), (1,), (0,))], 300.0)


@pytest.mark.parametrize("per_second", [0.0, 0.05, 1.0, 7.0, 500.0])
def test_merged_bins_hold_enough_and_lose_nothing(per_second: float):
    rng = np.random.default_rng(4)
    seconds = tuple(range(300))
    revealed = rng.poisson(per_second, 300)
    errors = rng.binomial(revealed, 0.03)
    profile = Profile(0, seconds, (9,) * 300, tuple(revealed.tolist()), tuple(errors.tolist()))
    fine = bin_profiles([profile], 299.6)
    wide = merged(fine, 100)
    for name in ("width_s", "sifted", "revealed", "errors"):
        assert getattr(wide, name).sum() == pytest.approx(getattr(fine, name).sum())
    np.testing.assert_allclose(wide.start_s[1:], np.cumsum(wide.width_s)[:-1])
    assert (wide.revealed >= 100).all() or wide.start_s.size == 1
    assert per_second < 500 or wide.start_s.size == fine.start_s.size, "full bins stay as they are"


def test_poisson_limits_against_the_exact_ones():
    counts = np.array([0, 1, 2, 3, 10, 100, 10_000], dtype=np.float64)
    inside = special.ndtr(1.0)
    upper = special.gammaincinv(counts + 1, inside)
    lower = np.where(counts > 0, special.gammaincinv(np.maximum(counts, 1), 1 - inside), 0.0)
    got_lower, got_upper = poisson_limits(counts)
    np.testing.assert_allclose(got_upper, upper, rtol=0.01)
    np.testing.assert_allclose(got_lower, lower, rtol=0.01)
    assert not np.allclose(counts + np.sqrt(counts), upper, rtol=0.01), "the root of the count is no limit"


def test_labels_are_spread_as_little_as_needed():
    assert spread([1.0, 5.0, 9.0], 2.0) == [1.0, 5.0, 9.0]
    assert spread([4.0, 4.0, 4.0], 2.0) == [2.0, 4.0, 6.0]
    heights = spread([0.0, 0.5, 0.6, 3.0, 3.1], 1.0)
    assert np.diff(heights).min() >= 1 - 1e-12


def test_matplotlib_is_loaded_late_and_without_pyplot(tmp_path: Path):
    code = (
        "import sys, satqkd.show\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from pathlib import Path\n"
        "from satqkd.show.style import write_png\n"
        "write_png(Path(sys.argv[1]), lambda figure: None)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
