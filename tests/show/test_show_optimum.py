"""The optimiser's picture: every sweep and table has its panel, and the best is marked where it is."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from satqkd.errors import ConfigError
from satqkd.mission.optimum import (
    Closing,
    ElevationCut,
    LossRow,
    PlannedPass,
    SourceOptimum,
    Sweep,
)
from satqkd.security.channel import SourceSettings
from satqkd.show import plot_optimum
from satqkd.show.optimum_picture import COLUMNS, draw_optimum

SETTINGS = SourceSettings((0.6, 0.1, 0.0), (0.9, 0.07, 0.03), 0.5, 0.5)


def optimum(**changes: object) -> SourceOptimum:
    """An answer with easy numbers: 5000 bits at best, at a signal of 0.6 and 20 degrees."""
    values = tuple(np.linspace(0.2, 1.0, 9).tolist())
    found = SourceOptimum(
        satellite="craft",
        station="roof",
        bound="variable-sharp",
        keyed_bases=("Z", "X"),
        keyed_classes=("signal",),
        loss_spread_db=3.0,
        fixed=(),
        before=SETTINGS,
        before_bits=2000.0,
        after=SETTINGS,
        after_bits=5000.0,
        evaluations=10,
        passes=(PlannedPass("2024-10-03T21:34:14.506Z", 400.0, 80.0, 1.0, 2000.0, 5000.0),),
        losses=tuple(
            LossRow(loss, w, 2e3 - 100 * loss, 5e3 - 100 * loss) for loss, w in ((-3.0, 0.5), (3.0, 0.5))
        ),
        elevation_cuts=tuple(
            ElevationCut(h, bits, 1e5, 0.01) for h, bits in ((10.0, 4e3), (20.0, 5e3), (30.0, 3e3))
        ),
        best_elevation_deg=20.0,
        closings=tuple(Closing(t, t, 300 - t, 300.0) for t in (100.0, 200.0, 300.0)),
        sweeps=tuple(
            Sweep(name, values, tuple((5e3 - 4e3 * abs(np.array(values) - 0.6)).tolist()))
            for name in ("signal intensity", "decoy probability")
        ),
    )
    return msgspec.structs.replace(found, **changes)


def drawn(found: SourceOptimum) -> Figure:
    figure = Figure(figsize=(12, 9))
    FigureCanvasAgg(figure)
    draw_optimum(figure, found)
    figure.canvas.draw()
    return figure


def test_every_sweep_and_table_has_a_panel() -> None:
    labels = [axes.get_xlabel() for axes in drawn(optimum()).axes if axes.axison]
    assert labels[:2] == ["signal intensity", "decoy probability"]
    assert [word for word in ("elevation", "closed", "loss") if any(word in each for each in labels)] == [
        "elevation",
        "closed",
        "loss",
    ]
    assert len(drawn(optimum()).axes) % COLUMNS == 0
    sure = drawn(optimum(losses=(LossRow(0.0, 1.0, 2e3, 5e3),)))
    assert not any("loss" in axes.get_xlabel() for axes in sure.axes)


def test_the_best_is_marked_where_it_is() -> None:
    by_label = {axes.get_xlabel(): axes for axes in drawn(optimum()).axes}
    texts = [text.get_text() for text in by_label["signal intensity"].texts]
    assert texts == ["0.6"]
    cuts = next(axes for label, axes in by_label.items() if "elevation" in label)
    assert [text.get_text() for text in cuts.texts] == ["20°"]
    assert cuts.lines[-1].get_xdata() == [20.0] and cuts.lines[-1].get_ydata() == [5.0]


def test_units_follow_the_size_and_the_heading_says_what_it_is() -> None:
    figure = drawn(optimum())
    assert "kbit" in figure.axes[0].get_ylabel()
    told = " ".join(text.get_text() for text in figure.texts)
    for part in ("variable-sharp", "5 kbit", "2 kbit", "uncertain by 3 dB", "none measured"):
        assert part in told
    assert "preset" not in " ".join(
        text.get_text() for text in drawn(optimum(before_bits=None, losses=())).texts
    )


def test_the_file_is_png_or_nothing(tmp_path: Path) -> None:
    path = plot_optimum(tmp_path / "best.png", optimum())
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="png"):
        plot_optimum(tmp_path / "best.pdf", optimum())
    assert list(tmp_path.iterdir()) == [path]
