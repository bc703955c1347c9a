"""The panels of the budget's picture that run in pass time: one function a panel, given the axes to fill.

A column that is missing, or that holds no number, is told in a sentence instead of a curve. Lines are means
of the model but for the fading. Knows the budget's view; no contact and no file.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from satqkd.constants import SPEED_OF_LIGHT_M_S
from satqkd.show.artists import (
    Array,
    EdgeName,
    largest,
    log_ticks,
    name_at_edge,
    note,
    note_extreme,
    remark,
    say,
    shade_after,
    smallest,
)
from satqkd.show.budget_view import BudgetView, FadingView
from satqkd.show.style import BLUE, INK, MUTED, OCHRE, PALE_BLUE, PALE_RED, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from satqkd.lasercom import FrameLoss

_LEAST_LOSS: Final = 1e-6
"""Frame losses below this are drawn as this."""
_MEAN_OVER_S: Final = 1.0


def draw_elevation(axes: "Axes", view: BudgetView) -> None:
    """Elevation, and the mask of the quantum link."""
    h = view.columns.array("elevation_deg")
    _curve(axes, view, h, "elevation, deg")
    axes.set_ylim(0, 109)
    axes.set_yticks([0, 30, 60, 90])
    axes.axhline(view.track.mask_deg, color=MUTED, lw=0.9, ls=(0, (4, 3)))
    note_extreme(axes, view.columns.array("t_s"), h, "{:.1f}°", highest=True, color=BLUE)


def draw_range(axes: "Axes", view: BudgetView) -> None:
    """Slant range."""
    R = view.columns.array("range_km")
    _curve(axes, view, R, "range, km")
    axes.margins(y=0.2)
    note_extreme(axes, view.columns.array("t_s"), R, "{:.0f} km", highest=False, color=BLUE)


def draw_doppler(axes: "Axes", view: BudgetView) -> None:
    """Doppler shift of the wavelength, its ends in GHz as well; at the right the range rate behind it."""
    t_s, shift_pm = view.columns.array("t_s"), view.columns.array("doppler_pm")
    _curve(axes, view, shift_pm, "Doppler shift, pm")
    axes.axhline(0, color=MUTED, lw=0.8)
    if not np.isfinite(shift_pm).any():
        return
    most = largest(np.abs(shift_pm), 1.0)
    axes.set_ylim(-1.6 * most, 1.6 * most)
    pm_of_km_s = 1e15 * view.wavelength_m / SPEED_OF_LIGHT_M_S
    rate = axes.secondary_yaxis("right", functions=(_times(1 / pm_of_km_s), _times(pm_of_km_s)))
    rate.set_ylabel("range rate, km/s")
    rate.spines["right"].set_visible(True)
    for row in np.flatnonzero(np.isfinite(shift_pm))[[0, -1]]:
        shift_ghz = -1e-21 * SPEED_OF_LIGHT_M_S * shift_pm[row] / view.wavelength_m**2
        text = f"{shift_pm[row]:+.1f} pm = {shift_ghz:+.2f} GHz".replace("-", "\u2212")
        note(axes, t_s[row], shift_pm[row], text, color=BLUE, under=bool(shift_pm[row] < 0))


def draw_noise(axes: "Axes", view: BudgetView) -> None:
    """Counts a second that no photon of the source makes, all four detectors together, before the gate."""
    t_s = view.columns.array("t_s")
    sources = (
        ("dark counts", np.full_like(t_s, view.dark_rate_hz), MUTED),
        ("background", view.columns.array("background_hz"), BLUE),
        ("crosstalk", view.columns.array("crosstalk_hz"), OCHRE),
    )
    drawn = [(name, rate_hz, color) for name, rate_hz, color in sources if largest(rate_hz, 0.0) > 0]
    _time(axes, view)
    axes.set_yscale("log")
    axes.set_ylabel("counts of all four detectors, Hz")
    total_hz = np.nansum([rate_hz for _, rate_hz, _ in sources], axis=0)
    for _, rate_hz, color in drawn:
        axes.plot(t_s, np.where(rate_hz > 0, rate_hz, np.nan), color=color)
    if len(drawn) > 1:
        drawn.append(("all", total_hz, INK))
        axes.plot(t_s, total_hz, color=INK, lw=1.2, ls=(0, (4, 2)))
    lit = [rate_hz[rate_hz > 0] for _, rate_hz, _ in drawn]
    low = min((smallest(each, 1.0) for each in lit), default=1.0)
    axes.set_ylim(max(0.5 * low, 1e-6 * largest(total_hz, 1.0)), 4 * max(largest(total_hz, 1.0), low))
    names = [EdgeName(f"{name}  {_hertz(rate_hz)}", _last(rate_hz), color) for name, rate_hz, color in drawn]
    log_ticks(axes)
    name_at_edge(axes, [each for each in names if each.value > 0], gap=0.068)
    absent = [name for name, rate_hz, _ in sources if not largest(rate_hz, 0.0) > 0]
    share = view.gate_s * view.pulse_rate_hz
    none = f"; no {' and no '.join(absent)}" if absent else ""
    remark(axes, f"the gate of {1e9 * view.gate_s:.3g} ns lets {100 * share:.3g} % pass{none}")


def draw_rates(axes: "Axes", view: BudgetView) -> None:
    """Expected detections and sifted bits a second, and the sifted bits of the whole pass."""
    t_s, sifted_hz = view.columns.array("t_s"), view.columns.array("expected_sifted_hz")
    detected_hz = view.columns.array("expected_detection_hz")
    _time(axes, view)
    bits = float(np.trapezoid(np.nan_to_num(sifted_hz), t_s))
    axes.plot(t_s, detected_hz / 1e3, color=PALE_BLUE, label="detections, kHz")
    axes.plot(t_s, sifted_hz / 1e3, color=BLUE, label=f"sifted, kbit/s ({bits / 1e6:.3g} Mbit in all)")
    axes.set_ylabel("rate, kHz or kbit/s")
    axes.set_ylim(0, 1.3e-3 * max(largest(detected_hz, 0.0), largest(sifted_hz, 1.0)))
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def draw_qber(axes: "Axes", view: BudgetView) -> None:
    """Expected error rates of signals and decoys."""
    t_s = view.columns.array("t_s")
    signal, decoy = (100 * view.columns.array(name) for name in ("expected_qber", "expected_decoy_qber"))
    _time(axes, view)
    axes.plot(t_s, decoy, color=PALE_RED, label="decoys")
    least = f", at least {smallest(signal, 0.0):.2f} %" if np.isfinite(signal).any() else ""
    axes.plot(t_s, signal, color=RED, label=f"signals{least}")
    axes.set_ylabel("expected QBER, %")
    axes.set_ylim(0, 1.3 * max(largest(decoy, 0.0), largest(signal, 0.1)))
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def draw_frame(axes: "Axes", view: BudgetView) -> None:
    """How the satellite's polarisation axes turn in the station's."""
    angle = view.columns.array("frame_angle_deg")
    _curve(axes, view, angle, "frame angle, deg")
    if np.isfinite(angle).any():
        remark(axes, f"turns by {np.ptp(angle[np.isfinite(angle)]):.0f}° during the pass")
    axes.margins(y=0.18)


def draw_residual(axes: "Axes", view: BudgetView) -> None:
    """What compensation leaves of it."""
    angle = view.columns.array("residual_angle_deg")
    _curve(axes, view, angle, "residual, deg", lw=0.9)
    most = largest(np.abs(angle), 0.0)
    if np.isfinite(angle).any():
        remark(axes, f"{view.compensation}: at most {most:.3g}°")
    axes.set_ylim(-1.15 * max(most, 0.1), 1.6 * max(most, 0.1))


def draw_fading(axes: "Axes", view: BudgetView) -> None:
    """Instantaneous transmittance of the quantum beam, and its mean."""
    fading = view.fading
    scale = 10.0 ** np.floor(np.log10(max(largest(fading.mean, 1.0), 1e-30)))
    axes.plot(fading.t_s, fading.transmittance / scale, color=BLUE, lw=0.7, label="instantaneous")
    axes.plot(fading.t_s, fading.mean / scale, color=INK, lw=1.3, ls=(0, (4, 2)), label="mean")
    axes.set_xlim(fading.t_s[0], fading.t_s[-1])
    axes.set_ylim(0, 1.35 * largest(np.append(fading.transmittance, fading.mean), 1.0) / scale)
    axes.set_ylabel(f"transmittance, 1e{np.log10(scale):.0f}")
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    if fading.causes:
        remark(axes, f"by {' and '.join(fading.causes)}")
    else:
        remark(axes, "no turbulence and no pointing in time is set")


def draw_loss_sample(axes: "Axes", view: BudgetView) -> None:
    """Probability that a frame of the laser link is lost, over the same seconds."""
    t_s = view.fading.t_s
    _draw_links(axes, view.fading, lambda loss: (t_s, loss.along(t_s)), lw=0.9)
    axes.set_xlim(t_s[0], t_s[-1])


def draw_laser_loss(axes: "Axes", view: BudgetView) -> None:
    """The same along the whole pass, means of a second."""
    edges_s = np.arange(0.0, max(view.link_end_s, _MEAN_OVER_S) + _MEAN_OVER_S / 2, _MEAN_OVER_S)
    middle_s = (edges_s[:-1] + edges_s[1:]) / 2
    _draw_links(axes, view.fading, lambda loss: (middle_s, frame_loss_means(loss, edges_s)), lw=1.3)
    axes.set_xlim(0.0, view.link_end_s)
    shade_after(axes, view.scene.duration_s, view.link_end_s, "")
    fixed = all(_is_fixed(loss) for loss in (view.fading.down, view.fading.up))
    how = "one number set" if fixed else "means of 1 s"
    remark(axes, f"{how}; grey: after the quantum link")


def frame_loss_means(loss: "FrameLoss", edges_s: Array) -> Array:
    """Mean probability between each two edges, which increase; shape one less than that of edges_s."""
    steps = max(int(np.ceil((edges_s[1] - edges_s[0]) / min(loss.step_s, 1.0))), 1)
    places = edges_s[:-1, None] + np.diff(edges_s)[:, None] * (np.arange(steps) + 0.5) / steps
    return np.asarray(loss.along(places).mean(axis=1))


def _draw_links(
    axes: "Axes", fading: FadingView, curve: Callable[["FrameLoss"], tuple[Array, Array]], *, lw: float
) -> None:
    """Both directions on a logarithmic axis; dashes where one number is set, so that both can be seen."""
    for name, loss, color in (("up", fading.up, RED), ("down", fading.down, BLUE)):
        t_s, probability = curve(loss)
        fixed = _is_fixed(loss)
        axes.plot(
            t_s,
            np.maximum(probability, _LEAST_LOSS),
            color=color,
            lw=lw,
            ls=(0 if name == "up" else 4, (4, 4)) if fixed else "-",
            label=f"{name}, fixed" if fixed else name,
        )
    _loss_axis(axes)


def _is_fixed(loss: "FrameLoss") -> bool:
    """Whether the light has no part in it."""
    return loss.probability.size == 1


def _loss_axis(axes: "Axes") -> None:
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_LOSS / 3, 30)
    axes.set_yticks([_LEAST_LOSS, 1e-4, 1e-2, 1], ["≤ 1e-6", "1e-4", "0.01", "1"])
    axes.minorticks_off()
    axes.set_ylabel("frame loss")
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def _curve(axes: "Axes", view: BudgetView, values: Array, label: str, *, lw: float = 1.8) -> None:
    axes.plot(view.columns.array("t_s"), values, color=BLUE, lw=lw)
    axes.set_ylabel(label)
    _time(axes, view)
    if not np.isfinite(values).any():
        say(axes, "not among the columns")


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * factor


def _time(axes: "Axes", view: BudgetView) -> None:
    axes.set_xlim(view.columns.t_s[0], view.columns.t_s[-1])


def _last(values: Array) -> float:
    """Last value that is one, 0 where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else 0.0


def _hertz(rate_hz: Array) -> str:
    """Least and most."""
    least, most = smallest(rate_hz, 0.0), largest(rate_hz, 0.0)
    low, high = (f"{each:.0f}" if each >= 99.5 else f"{each:.2g}" for each in (least, most))
    return f"{high} Hz" if low == high else f"{low}–{high} Hz"
