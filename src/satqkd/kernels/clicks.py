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

from satqkd.header import SECTION_SHIFT
from satqkd.kernels.click_inputs import Detection, Floats, Ints, Light, Path, Pieces, Pulses
from satqkd.kernels.clicks_plain import (
    PHOTONS_MAX,
    STREAM_BEACON,
    STREAM_NOISE,
    STREAM_PULSES,
    STREAM_SWAP,
)
from satqkd.kernels.jit import njit
from satqkd.kernels.philox import words, words_block
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32

U64 = np.uint64
_ZERO, _ONE = U64(0), U64(1)
_BLOCK = 128  # candidates whose random numbers are drawn together
_PULSES, _NOISE, _BEACON = U64(STREAM_PULSES), U64(STREAM_NOISE), U64(STREAM_BEACON)
_SWAP = U64(STREAM_SWAP)


@njit
def cell_of(emission_ps: int, grid_ps: Ints, steps_per_ps: float) -> tuple[int, float]:
    """Cell of the slow grid that an emission time lies in, and the place in it."""
    last = grid_ps.size - 2
    cell = min(max(int((emission_ps - grid_ps[0]) * steps_per_ps), 0), last)
    while cell > 0 and emission_ps < grid_ps[cell]:
        cell -= 1
    while cell < last and emission_ps >= grid_ps[cell + 1]:
        cell += 1
    low = grid_ps[cell]
    return cell, (emission_ps - low) / (grid_ps[cell + 1] - low)


@njit
def fast_cell_of(since_ps: int, steps_per_ps: float, last: int) -> tuple[int, float]:
    """The same on the even fast grid, by the time since its beginning."""
    at = since_ps * steps_per_ps
    cell = min(max(int(at), 0), last)
    return cell, min(max(at - cell, 0.0), 1.0)


@njit
def linear(values: Floats, cell: int, place: float) -> float:
    """Piecewise linear value at a place in a cell."""
    here, there = float(values[cell]), float(values[cell + 1])
    return here + place * (there - here)


@njit
def cubic(u: float, d0: float, d1: float, s0: float, s1: float) -> float:
    """Hermite interpolant with these values and slopes (by the cell) at the ends of the cell."""
    return d0 + u * (s0 + u * (3.0 * (d1 - d0) - 2.0 * s0 - s1 + u * (2.0 * (d0 - d1) + s0 + s1)))


@njit
def station_ps(emission_ps: int, jitter_ps: float, path: Path) -> int:
    """Station clock of light emitted at one instant."""
    cell, u = cell_of(emission_ps, path.grid_ps, path.steps_per_ps)
    h = float(path.grid_ps[cell + 1] - path.grid_ps[cell])
    delay, slope = path.delay_ps, path.delay_slope
    late = cubic(u, delay[cell], delay[cell + 1], slope[cell] * h, slope[cell + 1] * h) + jitter_ps
    clock = path.offset_ps + linear(path.wander_ps, cell, u)
    return emission_ps + int(np.rint(late + clock + path.drift * (emission_ps + late)))


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
    if uniform < 1.0 - 0.5 * mean:
        return 1  # mean / (e^mean - 1) is above that: no exponential is needed for a faint pulse
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
def click_probability(mean: float) -> float:
    """1 - exp(-mean), by its series where that is exact to the last digits."""
    if mean < 1e-3:
        return mean * (1.0 - mean / 2.0 * (1.0 - mean / 3.0 * (1.0 - mean / 4.0)))
    return -math.expm1(-mean)


@njit
def setting_of(slot: int, from_slot: Ints) -> int:
    """The plate's setting that holds for a slot; mostly the last."""
    setting = from_slot.size - 1
    while slot < from_slot[setting]:
        setting -= 1
    return setting


@njit
def flip_probabilities(
    basis: int, error: float, crossed: float, cosine: float, sine: float
) -> tuple[float, float]:
    """Probability that a photon gives the other bit: measured in its own basis, and in the other one."""
    wrong = error * cosine + (1.0 - cosine - crossed * sine) / 2.0
    left = crossed * cosine - (1.0 - 2.0 * error) * sine
    return wrong, (1.0 - left) / 2.0 if basis == 0 else (1.0 + left) / 2.0


@njit
def swapped(slot: int, key_0: U64, key_1: U64) -> int:
    """Whether labels are swapped in a slot: 0 or 1."""
    w0, _, _, _ = words(U64(slot) & MASK_32, U64(slot) >> SHIFT_32, _ZERO, _SWAP, key_0, key_1)
    return 1 if w0 & _ONE else 0


@njit
def pulse_keys(
    pieces: Pieces,
    segment: int,
    pulses: Pulses,
    light: Light,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of all photons detected from the slots of the pieces, candidates taken in blocks."""
    k0, k1, part = U64(detection.key_0), U64(detection.key_1), U64(segment)
    low, high = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint64)
    draws, settings = np.empty((8, _BLOCK), np.uint64), np.empty((4, _BLOCK), np.uint64)
    slots = np.empty(_BLOCK, np.int64)
    index = _ZERO
    for row in range(pieces.bound.size):
        bound = pieces.bound[row]
        slot, end_slot = pieces.first_slot[row] - 1, pieces.first_slot[row + 1]
        ended = bound <= 0.0 or slot + 1 >= end_slot
        while not ended:
            first = index
            for i in range(_BLOCK):
                low[i], high[i] = first + U64(i), part
            words_block(low, high, _ZERO, _PULSES, k0, k1, _BLOCK, draws[:4])
            words_block(low, high, _ONE, _PULSES, k0, k1, _BLOCK, draws[4:])
            n = 0
            while n < _BLOCK and not ended:
                gap = -math.log(uniform_53(draws[0, n], draws[1, n])) / bound
                if gap >= end_slot - 1 - slot:
                    ended = True
                else:
                    slot += 1 + int(gap)
                    slots[n] = slot
                    n += 1
            index += U64(n + 1 if ended else n)
            for i in range(n):
                low[i], high[i] = U64(slots[i]) & MASK_32, U64(slots[i]) >> SHIFT_32
            words_block(low, high, _ZERO, _ZERO, U64(pulses.key_0), U64(pulses.key_1), n, settings)
            count = photon_keys(
                slots, n, first, part, bound, draws, settings, pulses, light, detection, path, out, count
            )
    return count


@njit
def photon_keys(
    slots: Ints,
    n: int,
    first: U64,
    part: U64,
    bound: float,
    draws: NDArray[np.uint64],
    settings: NDArray[np.uint64],
    pulses: Pulses,
    light: Light,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of the photons of n candidate slots, the first of which is candidate `first`.

    draws: words of each candidate in rows 0-3, of its first photon in rows 4-7; few clicks have a second.
    settings: words of the dice of each slot.
    """
    # Arrays by their own names, and calls with numbers alone: one that hands the tuples on would copy all of
    # them for each photon.
    k0, k1, passive = U64(detection.key_0), U64(detection.key_1), detection.passive
    efficiency, tail_fraction, lag_ps = detection.efficiency, detection.tail_fraction, detection.lag_ps
    grid_ps, delay_ps, slope, wander_ps = path.grid_ps, path.delay_ps, path.delay_slope, path.wander_ps
    transmittance, fading, skew_ps = light.transmittance, light.fading, pulses.skew_ps
    header_slots, interval_slots = pulses.header_slots, pulses.interval_slots
    first_code, second_code = pulses.first_code, pulses.second_code
    error_z, error_x, crossed_z, crossed_x = light.error_z, light.error_x, light.crossed_z, light.crossed_x
    from_slot, cosine, sine = detection.plate.from_slot, detection.plate.cosine, detection.plate.sine
    swaps, swap_0, swap_1 = detection.swap.on, U64(detection.swap.key_0), U64(detection.swap.key_1)
    best, largest = efficiency.max(), -math.expm1(-bound)
    for i in range(n):
        slot = slots[i]
        emission = slot * pulses.period_ps + int(np.rint(slot * pulses.period_fraction_ps))
        cell, u = cell_of(emission, grid_ps, path.steps_per_ps)
        moment, v = fast_cell_of(emission - grid_ps[0], light.fast_steps_per_ps, fading.size - 2)
        intensity_class = 2
        if settings[0, i] < U64(pulses.below_signal):
            intensity_class = 0
        elif settings[0, i] < U64(pulses.below_decoy):
            intensity_class = 1
        if header_slots > 0 and slot % interval_slots < header_slots:
            within = slot % interval_slots
            code = second_code if (within >> SECTION_SHIFT) & 1 else first_code
            intensity_class = 0 if code[within % code.size] else 2
        factor = 1.0 + pulses.spread[intensity_class] * (2.0 * uniform_32(settings[3, i]) - 1.0)
        at_face = linear(transmittance, cell, u) * linear(fading, moment, v)
        mean = pulses.intensities[intensity_class] * factor * at_face * best
        if uniform_32(draws[2, i]) * largest >= click_probability(mean):
            continue
        basis = 0 if settings[1, i] < U64(pulses.below_z) else 1
        bit = 1 if settings[2, i] & U64(1) else 0
        if basis == 0:
            error, crossed = linear(error_z, cell, u), linear(crossed_z, cell, u)
        else:
            error, crossed = linear(error_x, cell, u), linear(crossed_x, cell, u)
        setting = setting_of(slot, from_slot)
        wrong, crossed_wrong = flip_probabilities(basis, error, crossed, cosine[setting], sine[setting])
        h = float(grid_ps[cell + 1] - grid_ps[cell])
        way = cubic(u, delay_ps[cell], delay_ps[cell + 1], slope[cell] * h, slope[cell + 1] * h)
        clock = path.offset_ps + linear(wander_ps, cell, u)
        turned = bit ^ swapped(slot, swap_0, swap_1) if swaps else bit
        measured = 0
        for photon in range(photon_number(uniform_32(draws[3, i]), mean)):
            w0, w1, w2, w3 = draws[4, i], draws[5, i], draws[6, i], draws[7, i]
            if photon > 0:
                w0, w1, w2, w3 = words(first + U64(i), part, U64(1 + 2 * photon), _PULSES, k0, k1)
            if photon == 0 or passive:
                measured = 0 if w0 < U64(detection.below_z) else 1
            flip = uniform_32(w1) < (wrong if measured == basis else crossed_wrong)
            detector = 2 * measured + (turned ^ (1 if flip else 0))
            jitter = detection.sigma_ps[detector] * normal(w2, w3)
            jitter += skew_ps[2 * basis + bit] + lag_ps[detector]
            if efficiency[detector] < best or tail_fraction[detector] > 0.0:
                w0, w1, w2, w3 = words(first + U64(i), part, U64(2 + 2 * photon), _PULSES, k0, k1)
                if uniform_32(w0) * best >= efficiency[detector]:
                    continue
                if uniform_32(w1) < tail_fraction[detector]:
                    jitter += -math.log(uniform_53(w2, w3)) * detection.tail_ps[detector]
            if count < out.size:
                late = way + jitter
                time = emission + int(np.rint(late + clock + path.drift * (emission + late)))
                out[count] = time * 8 + detector
            count += 1
    return count


@njit
def noise_keys(
    low_ps: int,
    high_ps: int,
    segment: int,
    bound_hz: float,
    light: Light,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of dark and background counts for emission times in [low_ps, high_ps)."""
    if bound_hz <= 0.0:
        return count
    k0, k1, part = U64(detection.key_0), U64(detection.key_1), U64(segment)
    efficiency = detection.efficiency
    share = efficiency / (efficiency[0] + efficiency[1] + efficiency[2] + efficiency[3])
    mean_gap_ps = 1e12 / bound_hz
    emission, index = low_ps, _ZERO
    below_hz = np.empty(4)
    while True:
        w0, w1, w2, w3 = words(index, part, _ZERO, _NOISE, k0, k1)
        index += U64(1)
        gap_ps = -math.log(uniform_53(w0, w1)) * mean_gap_ps
        if gap_ps >= high_ps - emission:
            return count
        emission += int(gap_ps)
        cell, place = cell_of(emission, path.grid_ps, path.steps_per_ps)
        stretch = 1.0 + linear(path.delay_slope, cell, place)
        background_hz = linear(light.background_hz, cell, place)
        total_hz = 0.0
        for detector in range(4):
            total_hz += stretch * (detection.dark_hz[detector] + share[detector] * background_hz)
            below_hz[detector] = total_hz
        if uniform_32(w2) * bound_hz >= total_hz:
            continue
        if count < out.size:
            level_hz, detector = uniform_32(w3) * total_hz, 0
            while detector < 3 and level_hz >= below_hz[detector]:
                detector += 1
            out[count] = station_ps(emission, 0.0, path) * 8 + detector
        count += 1


@njit
def beacon_keys(
    first: int,
    emission_ps: Ints,
    low_ps: int,
    high_ps: int,
    channel: int,
    light: Light,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of beacons first, first + 1, ... emitted at `emission_ps`: those inside that are tagged."""
    k0, k1 = U64(detection.key_0), U64(detection.key_1)
    beacon_seen, start_ps = light.beacon_seen, path.grid_ps[0]
    for row in range(emission_ps.size):
        emission = int(emission_ps[row])
        if emission < low_ps or emission >= high_ps:
            continue
        w0, _, w2, w3 = words(U64(first + row), _ZERO, _ZERO, _BEACON, k0, k1)
        moment, v = fast_cell_of(emission - start_ps, light.fast_steps_per_ps, beacon_seen.size - 2)
        if uniform_32(w0) >= linear(beacon_seen, moment, v):
            continue
        if count < out.size:
            jitter = detection.beacon_sigma_ps * normal(w2, w3)
            out[count] = station_ps(emission, jitter, path) * 8 + channel
        count += 1
    return count
