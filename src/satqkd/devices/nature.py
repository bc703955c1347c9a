"""From settings and a link series to the numbers the click kernels take: SI floats to picoseconds.

Checks here what the kernels trust. Knows no tags and no protocol, and loads no numba.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from satqkd.beacon import beacon_code
from satqkd.config.structs import Beacon, Receiver, Source, Station
from satqkd.constants import PS_PER_S, SPEED_OF_LIGHT_M_S
from satqkd.devices.dice import threshold, thresholds
from satqkd.errors import DataFormatError
from satqkd.kernels.clicks_plain import Detection, Path, Pulses, slot_ps
from satqkd.randomness import key_words
from satqkd.records import LinkSeries

DETECTORS = 4
_FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))


def period_of(rate_hz: float) -> tuple[int, float]:
    """Whole picoseconds of a period, and the fraction left over, in [0, 1).

    625 MHz gives (1600, 0.0). Event i happens at i * whole + round(i * fraction) ps: exact when the
    fraction is 0, else the nearest picosecond, to 2e-4 ps for i below 10^12.
    """
    period_ps = Fraction(PS_PER_S) / Fraction(rate_hz)
    whole = math.floor(period_ps)
    return whole, float(period_ps - whole)


def pulses_of(source: Source, key: tuple[int, int]) -> Pulses:
    """The source and its dice."""
    period_ps, fraction_ps = period_of(source.pulse_rate_hz)
    limits = thresholds(source)
    return Pulses(
        period_ps=period_ps,
        period_fraction_ps=fraction_ps,
        intensities=np.array(source.intensities, np.float64),
        key_0=key[0],
        key_1=key[1],
        below_signal=limits.signal,
        below_decoy=limits.decoy,
        below_z=limits.basis_z,
    )


def detection_of(receiver: Receiver, source: Source, seed: int) -> Detection:
    """The receiver. A photon's tag is spread by the pulse and by the detector, a beacon's by the detector."""
    jitter_s, width_s = receiver.detector.jitter_s, source.pulse_width_s
    key_0, key_1 = key_words(seed, "twin", "nature")
    return Detection(
        below_z=threshold(receiver.basis_z_probability),
        below_wrong=threshold(receiver.optical_error),
        passive=receiver.basis_choice == "passive",
        sigma_ps=math.hypot(jitter_s, width_s) / _FWHM_PER_SIGMA * PS_PER_S,
        beacon_sigma_ps=jitter_s / _FWHM_PER_SIGMA * PS_PER_S,
        key_0=key_0,
        key_1=key_1,
    )


def path_of(series: LinkSeries, station: Station) -> Path:
    """Light time and the station's clock. Raises DataFormatError for what no link can be."""
    _check_physical(series)
    grid_ps = np.rint(series.t_s * PS_PER_S).astype(np.int64)
    return Path(
        grid_ps=grid_ps,
        step_ps=max(round(series.step_s * PS_PER_S), 1),
        delay_ps=series.range_m / SPEED_OF_LIGHT_M_S * PS_PER_S,
        delay_slope=series.range_rate_m_s / SPEED_OF_LIGHT_M_S,
        offset_ps=station.clock.offset_s * PS_PER_S,
        drift=station.clock.drift,
    )


def noise_hz_of(series: LinkSeries, receiver: Receiver) -> NDArray[np.float64]:
    """Dark and background counts of all detectors per second of *emission* time, on the series' grid.

    The factor is the Doppler of the axis: a detector counts in its own seconds.
    """
    here_hz = DETECTORS * receiver.detector.dark_rate_hz + series.background_hz
    return here_hz * (1 + series.range_rate_m_s / SPEED_OF_LIGHT_M_S)


class Beacons:
    """The beacons of a pass, made stretch by stretch; one byte of code each is kept."""

    def __init__(self, beacon: Beacon, end_ps: int) -> None:
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


def _check_physical(series: LinkSeries) -> None:
    limits = {
        "t_s": (-1e6, 1e6),
        "range_m": (0.0, 1e12),
        "range_rate_m_s": (-1e5, 1e5),
        "transmittance": (0.0, 1.0),
        "background_hz": (0.0, 1e12),
    }
    for name, (low, high) in limits.items():
        column = getattr(series, name)
        good = (column >= low) & (column <= high)
        if not good.all():
            row = int(np.argmin(good))
            raise DataFormatError(
                f"LinkSeries.{name}: expected numbers in [{low:g}, {high:g}], got {column[row]} "
                f"at row {row}; compute the link again from a valid pass"
            )
