"""Photon clicks of light whose axes are turned, compiled: the twin's inner loop where a frame or plate moves.

Method and physics stand in `satqkd.kernels.turned_plain`, whose `pulse_keys` gives the same keys; how `out`
is filled, in `satqkd.kernels.clicks`. With nothing turned the keys are those of `clicks.pulse_keys`, which
is spared the lookup. Nothing is checked here.
"""

import math

import numpy as np
from numpy.typing import NDArray

from satqkd.header import SECTION_SHIFT
from satqkd.kernels.clicks import (
    cell_of,
    click_probability,
    cubic,
    fast_cell_of,
    linear,
    normal,
    photon_number,
    uniform_32,
    uniform_53,
)
from satqkd.kernels.clicks_plain import STREAM_PULSES, Detection, Ints, Light, Path, Pieces, Pulses
from satqkd.kernels.jit import njit
from satqkd.kernels.philox import words, words_block
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32
from satqkd.kernels.turned_plain import Turned

U64 = np.uint64
_ZERO = U64(0)
_BLOCK = 128
_PULSES = U64(STREAM_PULSES)


@njit
def pulse_keys(
    pieces: Pieces,
    segment: int,
    pulses: Pulses,
    light: Light,
    turned: Turned,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of all photons detected from the slots of the pieces, candidates taken in blocks."""
    k0, k1, part = U64(detection.key_0), U64(detection.key_1), U64(segment)
    low, high = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint64)
    draws, settings = np.empty((4, _BLOCK), np.uint64), np.empty((4, _BLOCK), np.uint64)
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
            words_block(low, high, _ZERO, _PULSES, k0, k1, _BLOCK, draws)
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
            places = slots, n, first, part, bound, draws, settings
            count = _photon_keys(places, pulses, light, turned, detection, path, out, count)
    return count


@njit
def _photon_keys(
    places: tuple[Ints, int, U64, U64, float, NDArray[np.uint64], NDArray[np.uint64]],
    pulses: Pulses,
    light: Light,
    turned: Turned,
    detection: Detection,
    path: Path,
    out: Ints,
    count: int,
) -> int:
    """Keys of the photons of n candidate slots, the first of which is candidate `first`.

    places: slots, n, first, segment, bound, and the random words of candidates and of their settings.
    """
    slots, n, first, part, bound, draws, settings = places
    # Arrays by their own names, and calls with numbers alone: one that hands the tuples on would copy all of
    # them for each photon.
    k0, k1, passive = U64(detection.key_0), U64(detection.key_1), detection.passive
    efficiency, tail_fraction = detection.efficiency, detection.tail_fraction
    grid_ps, delay_ps, slope, wander_ps = path.grid_ps, path.delay_ps, path.delay_slope, path.wander_ps
    transmittance, fading, skew_ps = light.transmittance, light.fading, pulses.skew_ps
    header_slots, interval_slots = pulses.header_slots, pulses.interval_slots
    first_code, second_code = pulses.first_code, pulses.second_code
    from_slot, cosines, sines = turned.from_slot, turned.cosine, turned.sine
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
        setting = from_slot.size - 1
        while slot < from_slot[setting]:
            setting -= 1
        if basis == 0:
            own = 1.0 - 2.0 * linear(light.error_z, cell, u)
            crossed = linear(turned.crossed_z, cell, u)
        else:
            own = 1.0 - 2.0 * linear(light.error_x, cell, u)
            crossed = linear(turned.crossed_x, cell, u)
        left = crossed * cosines[setting] - own * sines[setting]
        wrong = (1.0 - (own * cosines[setting] + crossed * sines[setting])) / 2.0
        crossed_wrong = (1.0 - left) / 2.0 if basis == 0 else (1.0 + left) / 2.0
        h = float(grid_ps[cell + 1] - grid_ps[cell])
        way = cubic(u, delay_ps[cell], delay_ps[cell + 1], slope[cell] * h, slope[cell + 1] * h)
        clock = path.offset_ps + linear(wander_ps, cell, u)
        measured = 0
        for photon in range(photon_number(uniform_32(draws[3, i]), mean)):
            w0, w1, w2, w3 = words(first + U64(i), part, U64(1 + 2 * photon), _PULSES, k0, k1)
            if photon == 0 or passive:
                measured = 0 if w0 < U64(detection.below_z) else 1
            flip = uniform_32(w1) < (wrong if measured == basis else crossed_wrong)
            detector = 2 * measured + (bit ^ (1 if flip else 0))
            jitter = detection.sigma_ps[detector] * normal(w2, w3)
            jitter += skew_ps[2 * basis + bit]
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
