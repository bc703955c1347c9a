"""Photon clicks of a stretch of pulses, in vectorised numpy: what `satqkd.kernels.clicks` compiles.

Every random number is a Philox word of a counter that names its use, so the two agree tag by tag and
neither depends on how a pass is cut into calls:

    counter   word 0     word 1   word 2         word 3          output words
    pulses    candidate  segment  0              STREAM_PULSES   0-1 gap, 2 accept, 3 photon number
              candidate  segment  1 + photon     STREAM_PULSES   0 basis, 1 detector, 2-3 jitter
    noise     event      segment  0              STREAM_NOISE    0-1 gap, 2 accept, 3 detector
    beacons   beacon     0        0              STREAM_BEACON   2-3 jitter

Pulses: candidates follow each other by geometric gaps at the largest click probability
1 - exp(-bound); one is accepted with its own probability over the largest; a click's photon number is
Poisson, given that it is not zero; each photon takes its own way (a Poisson number split at random is
independent Poisson numbers, which makes double clicks right). Exact in distribution up to the 2^-32
grain of the words. Tags are int64 keys `time_ps * 8 + channel`, so that one sort orders them.

Knows no settings file, no clock and no random generator. Source: the thinning of a Poisson process,
Lewis and Shedler, Naval Res. Logistics Quart. 26 (1979) 403; the dead time is the non-paralysable
model of Knoll, "Radiation Detection and Measurement", section 4.VII.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels.philox_plain import MASK_32, SHIFT_32, Column, columns

STREAM_PULSES: Final = 1
STREAM_NOISE: Final = 2
STREAM_BEACON: Final = 3
PHOTONS_MAX: Final = 64
"""Detected photons of one pulse are counted to here; beyond it the chance is below 1e-60 for mean 2."""
LARGEST_DEVIATE: Final = 6.77
"""No jitter exceeds this many standard deviations: sqrt(2 * 33 * ln 2), from the 32-bit uniforms."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Path(NamedTuple):
    """Light time on a grid of emission times, and the station's clock at the end of it."""

    grid_ps: Ints
    step_ps: int
    """Mean step: a first guess of the cell."""
    delay_ps: Floats
    delay_slope: Floats
    """Time derivative of the delay, dimensionless: range rate over the speed of light."""
    offset_ps: float
    drift: float
    """Station clock = arrival * (1 + drift) + offset."""


class Pulses(NamedTuple):
    """The source and its dice: `satqkd.devices.dice` says how words become settings."""

    period_ps: int
    period_fraction_ps: float
    """Slot i leaves at i * period_ps + round(i * period_fraction_ps)."""
    intensities: Floats
    """Mean photon number of signal, decoy, vacuum at the exit; shape (3,)."""
    key_0: int
    key_1: int
    below_signal: int
    below_decoy: int
    below_z: int


class Detection(NamedTuple):
    """The receiver: where a photon goes, and nature's own key. Thresholds are integers in 0..2^32."""

    below_z: int
    below_wrong: int
    passive: bool
    """True: each photon chooses its basis. False: all photons of a pulse share one choice."""
    sigma_ps: float
    """Standard deviation of a photon tag's jitter."""
    beacon_sigma_ps: float
    key_0: int
    key_1: int


def cell_of(emission_ps: Ints, path: Path) -> tuple[NDArray[np.intp], Floats]:
    """Grid cell of each emission time (int64 ps inside the grid) and the place in it, in [0, 1]."""
    cell = np.clip(np.searchsorted(path.grid_ps, emission_ps, "right") - 1, 0, path.grid_ps.size - 2)
    low, high = path.grid_ps[cell], path.grid_ps[cell + 1]
    return cell, (emission_ps - low) / (high - low)


def linear(values: Floats, cell: NDArray[np.intp], place: Floats) -> Floats:
    """Piecewise linear values at places in cells."""
    result: Floats = values[cell] + place * (values[cell + 1] - values[cell])
    return result


def station_ps(emission_ps: Ints, jitter_ps: Floats, path: Path) -> Ints:
    """Station clock of light emitted at `emission_ps` (int64 ps), tagged `jitter_ps` late.

    The large part stays an integer; the float part (light time, jitter, clock) is below 1e11 ps, where
    float64 resolves 1e-5 ps. Light time by the cubic Hermite interpolant of range and range rate.
    """
    cell, u = cell_of(emission_ps, path)
    h = (path.grid_ps[cell + 1] - path.grid_ps[cell]).astype(np.float64)
    d0, d1 = path.delay_ps[cell], path.delay_ps[cell + 1]
    s0, s1 = path.delay_slope[cell] * h, path.delay_slope[cell + 1] * h
    delay = d0 + u * (s0 + u * (3.0 * (d1 - d0) - 2.0 * s0 - s1 + u * (2.0 * (d0 - d1) + s0 + s1)))
    late = delay + jitter_ps
    shift: Floats = np.rint(late + path.offset_ps + path.drift * (emission_ps + late))
    return emission_ps + shift.astype(np.int64)


def slot_ps(slots: Ints, period_ps: int, period_fraction_ps: float) -> Ints:
    """Emission time of slots, int64 ps: exact for a whole period, else rounded to the nearest ps."""
    times: Ints = slots * np.int64(period_ps) + np.rint(slots * period_fraction_ps).astype(np.int64)
    return times


def uniform_53(high: Column, low: Column) -> Floats:
    """Two words as a number in (0, 1] of 53 bits."""
    whole = (high >> np.uint64(5)) * np.uint64(1 << 26) + (low >> np.uint64(6))
    return (whole.astype(np.float64) + 0.5) * 2.0**-53


def uniform_32(word: Column) -> Floats:
    """A word as a number in (0, 1), the middle of its grain."""
    return (word.astype(np.float64) + 0.5) * 2.0**-32


def normal(radius_word: Column, angle_word: Column) -> Floats:
    """Two words as a standard normal deviate (Box and Muller, 1958)."""
    angle = 2.0 * np.pi * (angle_word.astype(np.float64) * 2.0**-32)
    result: Floats = np.sqrt(-2.0 * np.log(uniform_32(radius_word))) * np.cos(angle)
    return result


def pulse_keys(
    first_slot: int,
    end_slot: int,
    segment: int,
    bound: float,
    detected: Floats,
    pulses: Pulses,
    detection: Detection,
    path: Path,
) -> Ints:
    """Keys of all photons detected from slots first_slot..end_slot-1, in no order.

    bound: at least the largest mean number of detected photons of a pulse; 0 gives no keys.
    detected: fraction of exit photons that is detected, on the path's grid.
    segment: 32-bit number of this stretch.
    """
    if bound <= 0 or first_slot >= end_slot:
        return np.empty(0, np.int64)
    index, slots = _candidates(first_slot, end_slot, segment, bound, detection)
    intensity_class, basis, bit = _settings(slots, pulses)
    emission = slot_ps(slots, pulses.period_ps, pulses.period_fraction_ps)
    mean = pulses.intensities[intensity_class] * linear(detected, *cell_of(emission, path))
    words = _draw(index, segment, 0, STREAM_PULSES, detection)
    clicked = uniform_32(words[2]) * -np.expm1(-bound) < -np.expm1(-mean)
    photons = np.where(clicked, _photon_number(uniform_32(words[3]), mean), 0)
    first_choice = _draw(index, segment, 1, STREAM_PULSES, detection)[0]
    keys = [np.empty(0, np.int64)]
    for photon in range(int(photons.max(initial=0))):
        here = photons > photon
        words = _draw(index[here], segment, 1 + photon, STREAM_PULSES, detection)
        choice = words[0] if detection.passive else first_choice[here]
        measured = np.where(choice < detection.below_z, 0, 1)
        below = np.where(measured == basis[here], detection.below_wrong, 2**31)
        detector = 2 * measured + (bit[here] ^ (words[1] < below))
        time = station_ps(emission[here], detection.sigma_ps * normal(words[2], words[3]), path)
        keys.append(time * 8 + detector)
    return np.concatenate(keys)


def noise_keys(
    low_ps: int,
    high_ps: int,
    segment: int,
    bound_hz: float,
    noise_hz: Floats,
    detection: Detection,
    path: Path,
) -> Ints:
    """Keys of dark and background counts, all four detectors, for emission times in [low_ps, high_ps).

    bound_hz: at least the largest of noise_hz; 0 gives no keys. noise_hz: rate per second of emission time.
    """
    if bound_hz <= 0:
        return np.empty(0, np.int64)
    mean_gap_ps = 1e12 / bound_hz
    n = _enough((high_ps - low_ps) / mean_gap_ps)
    index = np.arange(n, dtype=np.uint64)
    words = _draw(index, segment, 0, STREAM_NOISE, detection)
    gaps = np.minimum(-np.log(uniform_53(words[0], words[1])) * mean_gap_ps, float(high_ps - low_ps))
    emission = low_ps + np.cumsum(gaps.astype(np.int64))
    inside = emission < high_ps
    emission = emission[inside]
    rate = linear(noise_hz, *cell_of(emission, path))
    kept = uniform_32(words[2][inside]) * bound_hz < rate
    detector = (words[3][inside] >> np.uint64(30)).astype(np.int64)
    return (station_ps(emission, np.zeros(emission.size), path) * 8 + detector)[kept]


def beacon_keys(
    first: int, emission_ps: Ints, low_ps: int, high_ps: int, channel: int, detection: Detection, path: Path
) -> Ints:
    """Keys of beacons first, first + 1, ... emitted at `emission_ps`, those in [low_ps, high_ps) only."""
    number = first + np.arange(emission_ps.size, dtype=np.uint64)
    here = (emission_ps >= low_ps) & (emission_ps < high_ps)
    words = _draw(number[here], 0, 0, STREAM_BEACON, detection)
    jitter = detection.beacon_sigma_ps * normal(words[2], words[3])
    return station_ps(emission_ps[here], jitter, path) * 8 + channel


def apply_dead_time(keys: Ints, dead_ps: int, last_ps: Ints) -> NDArray[np.bool_]:
    """Which of the sorted keys a detector could see: at least `dead_ps` after the last it saw.

    last_ps: int64, shape (8,), station time of the last click per channel; updated. Channels above 3
    have no dead time. A click that is not seen does not prolong the dead time.
    """
    seen = np.ones(keys.size, dtype=np.bool_)
    for row, key in enumerate(keys.tolist()):
        time, channel = key >> 3, key & 7
        if channel < 4:
            seen[row] = time - last_ps[channel] >= dead_ps
            if seen[row]:
                last_ps[channel] = time
    return seen


def _draw(index: Column, segment: int, word_2: int, stream: int, detection: Detection) -> tuple[Column, ...]:
    part, draw, use = (np.full(1, word, np.uint64) for word in (segment, word_2, stream))
    return columns(index, part, draw, use, (detection.key_0, detection.key_1))


def _enough(expected: float) -> int:
    """More steps than a Poisson process of this mean ever takes (20 standard deviations)."""
    return int(expected + 20.0 * np.sqrt(expected) + 50.0)


def _candidates(
    first_slot: int, end_slot: int, segment: int, bound: float, detection: Detection
) -> tuple[Column, Ints]:
    slots_here = end_slot - first_slot
    index = np.arange(min(_enough(slots_here * -np.expm1(-bound)), slots_here + 1), dtype=np.uint64)
    words = _draw(index, segment, 0, STREAM_PULSES, detection)
    gaps = np.minimum(-np.log(uniform_53(words[0], words[1])) / bound, float(slots_here))
    slots = first_slot - 1 + np.cumsum(1 + gaps.astype(np.int64))
    inside = slots < end_slot
    return index[inside], slots[inside]


def _settings(slots: Ints, pulses: Pulses) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    counter, zero = slots.astype(np.uint64), np.zeros(1, np.uint64)
    key = (pulses.key_0, pulses.key_1)
    words = columns(counter & MASK_32, counter >> SHIFT_32, zero, zero, key)
    intensity_class = 2 - (words[0] < pulses.below_decoy) - 1 * (words[0] < pulses.below_signal)
    basis = 1 - 1 * (words[1] < pulses.below_z)
    return intensity_class, basis, (words[2] & np.uint64(1)).astype(np.int64)


def _photon_number(uniform: Floats, mean: Floats) -> Ints:
    """Poisson number given that it is not zero, by inversion of its distribution."""
    target = uniform * -np.expm1(-mean)
    probability = mean * np.exp(-mean)
    below = probability.copy()
    number = np.ones(mean.size, dtype=np.int64)
    for photons in range(2, PHOTONS_MAX + 1):
        more = target > below
        if not more.any():
            break
        number[more] = photons
        probability = probability * (mean / photons)
        below = np.where(more, below + probability, below)
    return number
