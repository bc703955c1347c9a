"""From settings and a link series to the numbers the click kernels take: SI floats to picoseconds.

Checks here what the kernels trust. Knows no tags and no protocol, and loads no numba.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.beacon import beacon_code
from satqkd.config import Beacon, Clock, Receiver, Satellite, Source, Station
from satqkd.constants import FWHM_PER_SIGMA, PS_PER_S, SPEED_OF_LIGHT_M_S
from satqkd.devices.dice import threshold, thresholds
from satqkd.errors import DataFormatError
from satqkd.header import PublicHeader, public_header
from satqkd.kernels.click_inputs import NO_SWAP, Detection, Light, Path, Pieces, Plate, Pulses, Swap
from satqkd.kernels.clicks_plain import slot_ps
from satqkd.kernels.response_plain import Response
from satqkd.randomness import key_words, stream
from satqkd.records import LinkSeries

PIECE_PS: Final = PS_PER_S // 200
"""The largest click probability is taken anew each 5 ms: shorter than most fades, longer than many clicks."""
ABOVE_ROUNDING: Final = 1 + 1e-9
"""Factor that keeps a bound above every value interpolated under it."""

Floats = NDArray[np.float64]


def period_of(rate_hz: float) -> tuple[int, float]:
    """Whole picoseconds of a period, and the fraction left over, in [0, 1).

    625 MHz gives (1600, 0.0). Event i happens at i * whole + round(i * fraction) ps: exact when the
    fraction is 0, else the nearest picosecond, to 2e-4 ps for i below 10^12.
    """
    period_ps = Fraction(PS_PER_S) / Fraction(rate_hz)
    whole = math.floor(period_ps)
    return whole, float(period_ps - whole)


def header_of(satellite: Satellite) -> PublicHeader | None:
    """The public header that a satellite sends; None with a beacon."""
    header, rate_hz = satellite.header, satellite.source.pulse_rate_hz
    if header is None:
        return None
    return public_header(
        satellite.name,
        header_slots=header.header_slots(rate_hz),
        interval_slots=header.interval_slots(rate_hz),
    )


def pulses_of(source: Source, key: tuple[int, int], header: PublicHeader | None = None) -> Pulses:
    """The source as it really is, and its dice."""
    period_ps, fraction_ps = period_of(source.pulse_rate_hz)
    limits = thresholds(source)
    pulses = Pulses(
        period_ps=period_ps,
        period_fraction_ps=fraction_ps,
        intensities=np.array(source.true_intensities, np.float64),
        spread=math.sqrt(3) * np.array(source.intensity_fluctuation, np.float64),
        skew_ps=np.array(source.diode_skew_s, np.float64) * PS_PER_S,
        key_0=key[0],
        key_1=key[1],
        below_signal=limits.signal,
        below_decoy=limits.decoy,
        below_z=limits.basis_z,
    )
    if header is None:
        return pulses
    first_code, second_code = header.codes
    return pulses._replace(
        header_slots=header.header_slots,
        interval_slots=header.interval_slots,
        first_code=first_code,
        second_code=second_code,
    )


def detection_of(receiver: Receiver, source: Source, seed: int) -> Detection:
    """Where photons go. Pulse and detector spread a photon's tag, a detector alone a beacon's."""
    detector = receiver.detector
    jitter_s = detector.each("jitter_s")
    key_0, key_1 = key_words(seed, "twin", "nature")
    return Detection(
        below_z=threshold(receiver.basis_z_probability),
        passive=receiver.basis_choice == "passive",
        efficiency=detector.each("efficiency"),
        sigma_ps=np.hypot(jitter_s, source.pulse_width_s) / FWHM_PER_SIGMA * PS_PER_S,
        tail_fraction=detector.each("jitter_tail_fraction"),
        tail_ps=detector.each("jitter_tail_s") * PS_PER_S,
        lag_ps=detector.each("lag_s") * PS_PER_S,
        dark_hz=detector.each("dark_rate_hz"),
        beacon_sigma_ps=float(jitter_s[0]) / FWHM_PER_SIGMA * PS_PER_S,
        key_0=key_0,
        key_1=key_1,
        swap=swap_of(receiver, seed),
    )


def swap_of(receiver: Receiver, seed: int) -> Swap:
    """The modulator that swaps labels, its coins of the station's own key: no setting of the satellite's."""
    if receiver.label_swap == "none":
        return NO_SWAP
    return Swap(True, *key_words(seed, "station", "swap"))


def response_of(receiver: Receiver, seed: int) -> Response:
    """How detectors and tagger answer."""
    detector, tagger = receiver.detector, receiver.tagger
    key_0, key_1 = key_words(seed, "twin", "nature")
    return Response(
        dead_ps=_whole_ps(detector.each("dead_time_s")),
        recovery_ps=detector.each("recovery_s") * PS_PER_S,
        afterpulse=detector.each("afterpulse_probability"),
        decay_ps=detector.each("afterpulse_decay_s") * PS_PER_S,
        tagger_dead_ps=round(tagger.dead_time_s * PS_PER_S),
        resolution_ps=max(round(tagger.resolution_s * PS_PER_S), 1),
        key_0=key_0,
        key_1=key_1,
    )


def path_of(series: LinkSeries, station: Station, seed: int) -> Path:
    """Light time and the station's clock. Raises DataFormatError for what no link can be."""
    _check_physical(series)
    return Path(
        grid_ps=_whole_ps(series.t_s),
        steps_per_ps=1 / (series.step_s * PS_PER_S),
        delay_ps=series.range_m / SPEED_OF_LIGHT_M_S * PS_PER_S,
        delay_slope=series.range_rate_m_s / SPEED_OF_LIGHT_M_S,
        wander_ps=PS_PER_S * clock_wander_s(station.clock, series.t_s.size, series.step_s, seed=seed),
        offset_ps=station.clock.offset_s * PS_PER_S,
        drift=station.clock.drift,
    )


def light_of(series: LinkSeries) -> Light:
    """What arrives."""
    straight = np.zeros(series.t_s.size)
    return Light(
        transmittance=series.transmittance,
        background_hz=series.background_hz,
        error_z=series.error_z,
        error_x=series.error_x,
        crossed_z=straight if series.crossed_z is None else series.crossed_z,
        crossed_x=straight if series.crossed_x is None else series.crossed_x,
        fading=series.fading,
        beacon_seen=series.beacon_seen,
        fast_steps_per_ps=1 / (series.fast_step_s * PS_PER_S),
    )


def plate_of(settings_rad: Sequence[tuple[int, float]]) -> Plate:
    """The plate's settings: slots, increasing from 0, and by how much it turns light back from each on."""
    slots, angles_rad = zip(*settings_rad, strict=True)
    doubled_rad = 2 * np.array(angles_rad, np.float64)
    return Plate(np.array(slots, np.int64), np.cos(doubled_rad), np.sin(doubled_rad))


def clock_wander_s(clock: Clock, n: int, step_s: float, *, seed: int) -> Floats:
    r"""What a clock walks at random on an even grid, seconds, shape (n,), 0 at the first point.

    .. math:: x_{i+1} = x_i + y_i\,\Delta + a\sqrt{\Delta}\,g_i, \qquad
        y_{i+1} = y_i + b\sqrt{3\Delta}\,h_i

    with a, b the Allan deviations at 1 s of white and of random-walk frequency noise, g and h normal:
    :math:`\sigma_y^2(\tau) = a^2/\tau + b^2\tau` (IEEE 1139-2008, annex B).
    """
    rng = stream(seed, "twin", "clock")
    white, walk = rng.standard_normal((2, n))
    frequency = clock.random_walk_frequency_noise * math.sqrt(3 * step_s) * np.cumsum(walk)
    steps = clock.white_frequency_noise * math.sqrt(step_s) * white + frequency * step_s
    return np.concatenate([[0.0], np.cumsum(steps[:-1])])


def noise_hz_of(light: Light, detection: Detection, path: Path) -> Floats:
    """Dark and background counts of all detectors per second of *emission* time, on the path's grid.

    The factor is the Doppler of the axis: a detector counts in its own seconds.
    """
    return np.asarray((detection.dark_hz.sum() + light.background_hz) * (1 + path.delay_slope))


def pieces_of(slots: int, pulses: Pulses, light: Light, detection: Detection, path: Path) -> Pieces:
    """Slots 0..slots-1 in pieces of `PIECE_PS` from slot 0 on, the last one shorter."""
    end_ps = min(int(path.grid_ps[-1]), int(slot_ps(np.array([slots]), *_period(pulses))[0]))
    edges_ps = np.append(np.arange(0, max(end_ps, 0), PIECE_PS, dtype=np.int64), max(end_ps, 0))
    fast_ps = path.grid_ps[0] + np.arange(light.fading.size) / light.fast_steps_per_ps
    brightest = pulses.intensities * (1 + pulses.spread)
    bound = (
        float(brightest.max() * detection.efficiency.max())
        * _largest_between(edges_ps, path.grid_ps, light.transmittance)
        * _largest_between(edges_ps, fast_ps, light.fading)
    )
    first_slot = np.minimum(_first_slot_at(edges_ps, pulses), slots)
    first_slot[-1] = slots
    return Pieces(first_slot=first_slot, bound=bound * ABOVE_ROUNDING)


class Beacons:
    """The beacons of a pass, made stretch by stretch; one byte of code each is kept."""

    def __init__(self, beacon: Beacon | None, end_ps: int) -> None:
        """beacon: None for a satellite without."""
        if beacon is None:
            self._rate_hz, self._period, self._shift_ps = 0.0, (0, 0.0), 0
            self._code = beacon_code(0)
            return
        self._rate_hz = beacon.rate_hz
        self._period = period_of(beacon.rate_hz)
        self._shift_ps = round(beacon.code_shift_s * PS_PER_S)
        self._code = beacon_code(max(math.ceil(end_ps / PS_PER_S * beacon.rate_hz) + 2, 0))

    def near(self, low_ps: int, high_ps: int) -> tuple[int, NDArray[np.int64]]:
        """Number of the first, and emission times (int64 ps) of it and those after it: every beacon
        emitted in [low_ps, high_ps), and a few outside."""
        first = max(math.floor((low_ps - self._shift_ps) / PS_PER_S * self._rate_hz) - 1, 0)
        end = min(max(math.ceil(high_ps / PS_PER_S * self._rate_hz) + 1, first), self._code.size)
        number = np.arange(first, end, dtype=np.int64)
        return first, slot_ps(number, *self._period) + self._code[first:end].astype(np.int64) * self._shift_ps


def _whole_ps(seconds: Floats) -> NDArray[np.int64]:
    return np.rint(seconds * PS_PER_S).astype(np.int64)


def _period(pulses: Pulses) -> tuple[int, float]:
    return pulses.period_ps, pulses.period_fraction_ps


def _first_slot_at(edges_ps: NDArray[np.int64], pulses: Pulses) -> NDArray[np.int64]:
    """The first slot emitted at or after each edge (>= 0)."""
    period_ps = pulses.period_ps + pulses.period_fraction_ps
    slot = np.maximum((edges_ps / period_ps).astype(np.int64) - 2, 0)
    while (early := slot_ps(slot, *_period(pulses)) < edges_ps).any():
        slot[early] += 1
    return slot


def _largest_between(edges: NDArray[np.int64], grid: NDArray[np.int64] | Floats, values: Floats) -> Floats:
    """The largest value of a piecewise linear function between neighbours of `edges`, shape (k,)."""
    if edges.size < 2:
        return np.empty(0)
    inner = (grid > edges[0]) & (grid < edges[-1])
    at_edges = np.interp(edges, grid, values)
    points = np.concatenate([edges, grid[inner]])
    heights = np.concatenate([at_edges, values[inner]])
    order = np.argsort(points, kind="stable")
    starts = np.searchsorted(points[order], edges[:-1])
    return np.asarray(np.maximum(np.maximum.reduceat(heights[order], starts), at_edges[1:]))


def _check_physical(series: LinkSeries) -> None:
    limits = {
        "t_s": (-1e6, 1e6),
        "range_m": (0.0, 1e12),
        "range_rate_m_s": (-1e5, 1e5),
        "transmittance": (0.0, 1.0),
        "background_hz": (0.0, 1e12),
        "error_z": (0.0, 1.0),
        "error_x": (0.0, 1.0),
        "fading": (0.0, 1e3),
        "beacon_seen": (0.0, 1.0),
        "crossed_z": (-1.0, 1.0),
        "crossed_x": (-1.0, 1.0),
    }
    for name, (low, high) in limits.items():
        column = getattr(series, name)
        if column is None:
            continue
        good = (column >= low) & (column <= high)
        if not good.all():
            row = int(np.argmin(good))
            raise DataFormatError(
                f"LinkSeries.{name}: expected numbers in [{low:g}, {high:g}], got {column[row]} "
                f"at row {row}; compute the link again from a valid pass"
            )
