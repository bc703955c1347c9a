"""Photon clicks of a stretch of pulses, compiled: the digital twin's inner loops.

Method, layout of the random numbers, units and sources stand in `satqkd.kernels.clicks_plain`, whose
functions of like names give the same keys. Here they are written to `out` from `count` on; the new
count is returned. When `out` is too small counting goes on, nothing is written past its end, and the
caller calls again with a larger one: every draw belongs to a counter, so the answer is the same.
Nothing is checked here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from satqkd.kernels.clicks_plain import (
    PHOTONS_MAX,
    STREAM_BEACON,
    STREAM_NOISE,
    STREAM_PULSES,
    Detection,
    Floats,
    Ints,
    Path,
    Pulses,
)
from satqkd.kernels.jit import njit
from satqkd.kernels.philox import words
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32

U64 = np.uint64
_HALF = U64(2**31)
_ZERO = U64(0)
_PULSES, _NOISE, _BEACON = U64(STREAM_PULSES), U64(STREAM_NOISE), U64(STREAM_BEACON)


@njit
def cell_of(emission_ps: int, path: Path) -> tuple[int, float]:
    """Grid cell of an emission time and the place in it."""
    last = path.grid_ps.size - 2
    cell = min(max((emission_ps - path.grid_ps[0]) // path.step_ps, 0), last)
    while cell > 0 and emission_ps < path.grid_ps[cell]:
        cell -= 1
    while cell < last and emission_ps >= path.grid_ps[cell + 1]:
        cell += 1
    low = path.grid_ps[cell]
    return cell, (emission_ps - low) / (path.grid_ps[cell + 1] - low)


@njit
def linear(values: Floats, cell: int, place: float) -> float:
    """Piecewise linear value at a place in a cell."""
    here, there = float(values[cell]), float(values[cell + 1])
    return here + place * (there - here)


@njit
def station_in_cell(emission_ps: int, jitter_ps: float, cell: int, u: float, path: Path) -> int:
    """Station clock of light emitted in a known cell."""
    h = float(path.grid_ps[cell + 1] - path.grid_ps[cell])
    d0, d1 = path.delay_ps[cell], path.delay_ps[cell + 1]
    s0, s1 = path.delay_slope[cell] * h, path.delay_slope[cell + 1] * h
    delay = d0 + u * (s0 + u * (3.0 * (d1 - d0) - 2.0 * s0 - s1 + u * (2.0 * (d0 - d1) + s0 + s1)))
    late = delay + jitter_ps
    return emission_ps + int(np.rint(late + path.offset_ps + path.drift * (emission_ps + late)))


@njit
def station_ps(emission_ps: int, jitter_ps: float, path: Path) -> int:
    """Station clock of light emitted at one instant."""
    cell, u = cell_of(emission_ps, path)
    return station_in_cell(emission_ps, jitter_ps, cell, u, path)


@njit
def uniform_53(high: U64, low: U64) -> float:
    """Two words as a number in (0, 1]."""
    whole = (high >> U64(5)) * U64(1 << 26) + (low >> U64(6))
    return (float(whole) + 0.5) * 2.0**-53


@njit
def uniform_32(word: U64) -> float:
    """A word as a number in (0, 1)."""
    return (float(word) + 0.5) * 2.0**-32


@njit
def normal(radius_word: U64, angle_word: U64) -> float:
    """Two words as a standard normal deviate."""
    angle = 2.0 * math.pi * (float(angle_word) * 2.0**-32)
    return math.sqrt(-2.0 * math.log(uniform_32(radius_word))) * math.cos(angle)


@njit
def photon_number(uniform: float, mean: float) -> int:
    """Poisson number given that it is not zero."""
    target = uniform * -math.expm1(-mean)
    probability = mean * math.exp(-mean)
    below = probability
    number = 1
    while target > below and number < PHOTONS_MAX:
        number += 1
        probability *= mean / number
        below += probability
    return number


@njit
def settings_of(slot: int, pulses: Pulses) -> tuple[int, int, int]:
    """Class, basis and bit of one slot."""
    counter = U64(slot)
    w0, w1, w2, _ = words(
        counter & MASK_32, counter >> SHIFT_32, _ZERO, _ZERO, U64(pulses.key_0), U64(pulses.key_1)
    )
    intensity_class = 2
    if w0 < U64(pulses.below_signal):
        intensity_class = 0
    elif w0 < U64(pulses.below_decoy):
        intensity_class = 1
    basis = 0 if w1 < U64(pulses.below_z) else 1
    return intensity_class, basis, 1 if w2 & U64(1) else 0


@njit
def pulse_keys(
    first_slot: int,
    end_slot: int,
    segment: int,
    bound: float,
    detected: Floats,
    pulses: Pulses,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of all photons detected from slots first_slot..end_slot-1."""
    if bound <= 0.0:
        return count
    k0, k1, part = U64(detection.key_0), U64(detection.key_1), U64(segment)
    largest = -math.expm1(-bound)
    slot, index = first_slot - 1, _ZERO
    while True:
        w0, w1, w2, w3 = words(index, part, _ZERO, _PULSES, k0, k1)
        gap = -math.log(uniform_53(w0, w1)) / bound
        if gap >= end_slot - 1 - slot:
            return count
        slot += 1 + int(gap)
        candidate = index
        index += U64(1)
        intensity_class, basis, bit = settings_of(slot, pulses)
        fraction = int(np.rint(slot * pulses.period_fraction_ps))
        emission = slot * pulses.period_ps + fraction
        cell, place = cell_of(emission, path)
        mean = pulses.intensities[intensity_class] * linear(detected, cell, place)
        if uniform_32(w2) * largest >= -math.expm1(-mean):
            continue
        measured = 0
        for photon in range(photon_number(uniform_32(w3), mean)):
            w0, w1, w2, w4 = words(candidate, part, U64(1 + photon), _PULSES, k0, k1)
            if photon == 0 or detection.passive:
                measured = 0 if w0 < U64(detection.below_z) else 1
            below = U64(detection.below_wrong) if measured == basis else _HALF
            wrong = 1 if w1 < below else 0
            jitter = detection.sigma_ps * normal(w2, w4)
            if count < out.size:
                time = station_in_cell(emission, jitter, cell, place, path)
                out[count] = time * 8 + 2 * measured + (bit ^ wrong)
            count += 1


@njit
def noise_keys(
    low_ps: int,
    high_ps: int,
    segment: int,
    bound_hz: float,
    noise_hz: Floats,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of dark and background counts for emission times in [low_ps, high_ps)."""
    if bound_hz <= 0.0:
        return count
    k0, k1, part = U64(detection.key_0), U64(detection.key_1), U64(segment)
    mean_gap_ps = 1e12 / bound_hz
    emission, index = low_ps, _ZERO
    while True:
        w0, w1, w2, w3 = words(index, part, _ZERO, _NOISE, k0, k1)
        index += U64(1)
        gap_ps = -math.log(uniform_53(w0, w1)) * mean_gap_ps
        if gap_ps >= high_ps - emission:
            return count
        emission += int(gap_ps)
        cell, place = cell_of(emission, path)
        if uniform_32(w2) * bound_hz >= linear(noise_hz, cell, place):
            continue
        if count < out.size:
            detector = np.int64(w3 >> U64(30))
            out[count] = station_in_cell(emission, 0.0, cell, place, path) * 8 + detector
        count += 1


@njit
def beacon_keys(
    first: int,
    emission_ps: Ints,
    low_ps: int,
    high_ps: int,
    channel: int,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of beacons first, first + 1, ... emitted at `emission_ps`, those in [low_ps, high_ps) only."""
    k0, k1 = U64(detection.key_0), U64(detection.key_1)
    for row in range(emission_ps.size):
        emission = int(emission_ps[row])
        if emission < low_ps or emission >= high_ps:
            continue
        if count < out.size:
            _, _, w2, w3 = words(U64(first + row), _ZERO, _ZERO, _BEACON, k0, k1)
            jitter = detection.beacon_sigma_ps * normal(w2, w3)
            out[count] = station_ps(emission, jitter, path) * 8 + channel
        count += 1
    return count


@njit
def apply_dead_time(keys: Ints, dead_ps: int, last_ps: Ints, seen: NDArray[np.bool_]) -> None:
    """Mark in `seen` which of the sorted keys their detector could see; `last_ps` is updated."""
    for row in range(keys.size):
        time = keys[row] >> 3
        channel = keys[row] & 7
        seen[row] = channel > 3 or time - last_ps[channel] >= dead_ps
        if seen[row] and channel <= 3:
            last_ps[channel] = time
