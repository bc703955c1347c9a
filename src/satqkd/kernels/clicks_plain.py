"""Photon clicks of a stretch of pulses, in vectorised numpy: what `satqkd.kernels.clicks` compiles.

Every random number is a Philox word of a counter that names its use, so the two agree tag by tag and
neither depends on how a pass is cut into calls:

    counter   word 0     word 1   word 2          word 3          output words
    pulses    candidate  segment  0               STREAM_PULSES   0-1 gap, 2 accept, 3 photon number
              candidate  segment  1 + 2 photon    STREAM_PULSES   0 basis, 1 detector, 2-3 jitter
              candidate  segment  2 + 2 photon    STREAM_PULSES   0 efficiency, 1 tail, 2-3 its time
    noise     event      segment  0               STREAM_NOISE    0-1 gap, 2 accept, 3 detector
    beacons   beacon     0        0               STREAM_BEACON   0 seen, 2-3 jitter
    labels    slot mod 2^32  slot div 2^32  0     STREAM_SWAP     bit 0 of 0: whether the slot's are swapped

Pulses: candidates follow each other by geometric gaps at the largest click probability
1 - exp(-bound) of a piece of the stretch; one is accepted with its own probability over the largest; a
click's photon number is Poisson, given that it is not zero; each photon takes its own way and meets its own
detector's efficiency (a Poisson number split at random is independent Poisson numbers, which makes double
clicks right). Exact in distribution up to the 2^-32 grain of the words. Tags are int64 keys
`time_ps * 8 + channel`, so that one sort orders them. How detectors answer is `response_plain`.

Polarisation: a state of contrast v that arrives turned by psi, from H toward +, has the Stokes parameters
(v cos 2psi, v sin 2psi) along its own basis and along the other one. A photon sent as bit b

    in its own basis               gives b with probability (1 + v cos 2psi) / 2
    sent in Z, measured in X       gives b with probability (1 + v sin 2psi) / 2
    sent in X, measured in Z       gives b with probability (1 - v sin 2psi) / 2

and a half-wave plate that turns all light back by delta rotates that pair by -2 delta. Swapped labels turn
it by 90 degrees more: both parameters change sign, which is the light of the bit 1 - b, in either basis.
The labels' counters have a key of their own, the station's.

Knows no settings file, no clock and no random generator. Sources: the thinning of a Poisson process,
Lewis and Shedler, Naval Res. Logistics Quart. 26 (1979) 403; Stokes parameters as in
`satqkd.optics.polarisation`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satqkd.header import PublicHeader, is_bright, is_public
from satqkd.kernels.click_inputs import Detection, Light, Path, Pieces, Plate, Pulses, Swap
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32, Column, columns
from satqkd.records import SIGNAL, VACUUM

STREAM_PULSES: Final = 1
STREAM_NOISE: Final = 2
STREAM_BEACON: Final = 3
STREAM_RESPONSE: Final = 4
STREAM_SWAP: Final = 5
FREE: Final = -1
"""Of light that any basis may measure."""
PHOTONS_MAX: Final = 64
"""Detected photons of one pulse are counted to here; beyond it the chance is below 1e-60 for mean 2."""
LARGEST_DEVIATE: Final = 6.77
"""No jitter exceeds this many standard deviations: sqrt(2 * 33 * ln 2), from the 32-bit uniforms."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
    clock = path.offset_ps + linear(path.wander_ps, cell, u)
    shift: Floats = np.rint(late + clock + path.drift * (emission_ps + late))
    return emission_ps + shift.astype(np.int64)


def fast(values: Floats, emission_ps: Ints, light: Light, path: Path) -> Floats:
    """A fast column at emission times."""
    at = (emission_ps - path.grid_ps[0]) * light.fast_steps_per_ps
    cell = np.clip(at.astype(np.int64), 0, values.size - 2)
    return linear(values, cell, np.clip(at - cell, 0.0, 1.0))


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


def flip_probabilities(
    slots: Ints, basis: Ints, emission_ps: Ints, light: Light, plate: Plate, path: Path
) -> tuple[Floats, Floats]:
    """Probability that a photon gives the other bit: measured in its own basis, and in the other one.

    All arrays of shape (n,). With nothing turned exactly the error of the basis, and 1/2.
    """
    cell, is_z = cell_of(emission_ps, path), basis == 0
    error = np.where(is_z, linear(light.error_z, *cell), linear(light.error_x, *cell))
    crossed = np.where(is_z, linear(light.crossed_z, *cell), linear(light.crossed_x, *cell))
    setting = np.searchsorted(plate.from_slot, slots, "right") - 1
    cosine, sine = plate.cosine[setting], plate.sine[setting]
    # (1 - (own cos + crossed sin)) / 2 with own = 1 - 2 error: so written, rounding spares a plate at rest.
    wrong = error * cosine + (1.0 - cosine - crossed * sine) / 2.0
    left = crossed * cosine - (1.0 - 2.0 * error) * sine
    return wrong, (1.0 - np.where(is_z, left, -left)) / 2.0


def swapped(slots: Ints, swap: Swap) -> Ints:
    """Whether labels are swapped in each slot: 0 or 1, shape (n,); zeros where nothing swaps them."""
    if not swap.on:
        return np.zeros(slots.size, np.int64)
    counter, zero, use = slots.astype(np.uint64), np.zeros(1, np.uint64), np.full(1, STREAM_SWAP, np.uint64)
    words = columns(counter & MASK_32, counter >> SHIFT_32, zero, use, (swap.key_0, swap.key_1))
    return (words[0] & np.uint64(1)).astype(np.int64)


class Candidates(NamedTuple):
    """Slots of a stretch that may click, in increasing order; columns of shape (n,)."""

    number: Column
    """Counts candidates, and the ends of pieces between them: the counter of their draws."""
    slots: Ints
    bound: Floats
    """Largest mean number of detected photons in the candidate's piece."""


class Sent(NamedTuple):
    """The light on its way to the receiver in some slots; columns of shape (n,)."""

    basis: Ints
    bit: Ints
    photons: Floats
    """Mean number at the satellite's exit, before the link's loss."""
    late_ps: Floats
    """How late it leaves."""
    measured_in: Ints
    """FREE: the receiver chooses the basis; else light that clicks in this basis alone."""


def pulse_keys(
    pieces: Pieces, segment: int, pulses: Pulses, light: Light, detection: Detection, path: Path
) -> Ints:
    """Keys of all photons detected from the slots of the pieces, in no order.

    segment: 32-bit number of this stretch.
    """
    candidates = candidates_of(pieces, segment, detection)
    sent = sent_in(candidates.slots, pulses)
    return photon_keys(candidates, sent, segment, pulses, light, detection, path)[0]


def candidates_of(pieces: Pieces, segment: int, detection: Detection) -> Candidates:
    """Slots of the pieces that may click, by geometric gaps at the bound of each piece."""
    found = [Candidates(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0))]
    next_index = 0
    for row, bound in enumerate(pieces.bound.tolist()):
        first_slot, end_slot = pieces.first_slot[row : row + 2].tolist()
        if bound <= 0 or first_slot >= end_slot:
            continue
        index, slots = _candidates(first_slot, end_slot, next_index, segment, bound, detection)
        next_index += index.size + 1
        found.append(Candidates(index, slots, np.full(slots.size, bound)))
    return Candidates(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def sent_in(slots: Ints, pulses: Pulses) -> Sent:
    """What the source sends in slots, as its dice fall."""
    intensity_class, basis, bit, chance = _settings(slots, pulses)
    factor = 1.0 + pulses.spread[intensity_class] * (2.0 * chance - 1.0)
    photons = pulses.intensities[intensity_class] * factor
    return Sent(basis, bit, photons, pulses.skew_ps[2 * basis + bit], np.full(slots.size, FREE, np.int64))


def photon_keys(
    candidates: Candidates,
    sent: Sent,
    segment: int,
    pulses: Pulses,
    light: Light,
    detection: Detection,
    path: Path,
) -> tuple[Ints, NDArray[np.intp]]:
    """Keys of the photons detected in candidate slots, and the row of the candidate of each, in no order."""
    index, slots, bound = candidates
    emission = slot_ps(slots, pulses.period_ps, pulses.period_fraction_ps)
    cell = cell_of(emission, path)
    at_face = linear(light.transmittance, *cell) * fast(light.fading, emission, light, path)
    best = float(detection.efficiency.max())
    mean = sent.photons * at_face * best
    words = _draw(index, segment, 0, STREAM_PULSES, detection)
    clicked = uniform_32(words[2]) * -np.expm1(-bound) < -np.expm1(-mean)
    photons = np.where(clicked, _photon_number(uniform_32(words[3]), mean), 0)
    wrong, crossed_wrong = flip_probabilities(slots, sent.basis, emission, light, detection.plate, path)
    first_choice = _draw(index, segment, 1, STREAM_PULSES, detection)[0]
    turned = sent.bit ^ swapped(slots, detection.swap)
    keys, rows = [np.empty(0, np.int64)], [np.empty(0, np.intp)]
    for photon in range(int(photons.max(initial=0))):
        here = np.flatnonzero(photons > photon)
        words = _draw(index[here], segment, 1 + 2 * photon, STREAM_PULSES, detection)
        more = _draw(index[here], segment, 2 + 2 * photon, STREAM_PULSES, detection)
        choice = words[0] if detection.passive else first_choice[here]
        measured = np.where(choice < detection.below_z, 0, 1)
        forced = sent.measured_in[here]
        if detection.passive:
            measured = np.where(forced == FREE, measured, forced)
        own = measured == sent.basis[here]
        flip = uniform_32(words[1]) < np.where(own, wrong[here], crossed_wrong[here])
        detector = 2 * measured + (turned[here] ^ flip)
        kept = uniform_32(more[0]) * best < detection.efficiency[detector]
        kept &= (forced == FREE) | (forced == measured)
        late = detection.sigma_ps[detector] * normal(words[2], words[3])
        late += sent.late_ps[here] + detection.lag_ps[detector]
        is_late = uniform_32(more[1]) < detection.tail_fraction[detector]
        late += np.where(is_late, -np.log(uniform_53(more[2], more[3])) * detection.tail_ps[detector], 0.0)
        keys.append((station_ps(emission[here], late, path) * 8 + detector)[kept])
        rows.append(here[kept])
    return np.concatenate(keys), np.concatenate(rows)


def noise_keys(
    low_ps: int, high_ps: int, segment: int, bound_hz: float, light: Light, detection: Detection, path: Path
) -> Ints:
    """Keys of dark and background counts, all four detectors, for emission times in [low_ps, high_ps).

    bound_hz: at least the largest rate per second of emission time; 0 gives no keys. Background is
    shared out as the efficiencies; rates are of the station's seconds, which Doppler stretches.
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
    cell = cell_of(emission, path)
    share = detection.efficiency / (
        detection.efficiency[0] + detection.efficiency[1] + detection.efficiency[2] + detection.efficiency[3]
    )
    stretch = 1.0 + linear(path.delay_slope, *cell)
    background_hz = linear(light.background_hz, *cell)
    below_hz = np.cumsum(
        [stretch * (detection.dark_hz[d] + share[d] * background_hz) for d in range(4)], axis=0
    )
    kept = uniform_32(words[2][inside]) * bound_hz < below_hz[3]
    level_hz = uniform_32(words[3][inside]) * below_hz[3]
    detector = np.sum(level_hz >= below_hz[:3], axis=0)
    keys: Ints = (station_ps(emission, np.zeros(emission.size), path) * 8 + detector)[kept]
    return keys


def beacon_keys(
    first: int,
    emission_ps: Ints,
    low_ps: int,
    high_ps: int,
    channel: int,
    light: Light,
    detection: Detection,
    path: Path,
) -> Ints:
    """Keys of beacons first, first + 1, ... emitted at `emission_ps`: those in [low_ps, high_ps) that are
    bright enough to be tagged."""
    number = first + np.arange(emission_ps.size, dtype=np.uint64)
    here = (emission_ps >= low_ps) & (emission_ps < high_ps)
    words = _draw(number[here], 0, 0, STREAM_BEACON, detection)
    seen = uniform_32(words[0]) < fast(light.beacon_seen, emission_ps[here], light, path)
    jitter = detection.beacon_sigma_ps * normal(words[2], words[3])
    keys: Ints = (station_ps(emission_ps[here], jitter, path) * 8 + channel)[seen]
    return keys


def _draw(index: Column, segment: int, word_2: int, stream: int, detection: Detection) -> tuple[Column, ...]:
    part, draw, use = (np.full(1, word, np.uint64) for word in (segment, word_2, stream))
    return columns(index, part, draw, use, (detection.key_0, detection.key_1))


def _enough(expected: float) -> int:
    """More steps than a Poisson process of this mean ever takes (20 standard deviations)."""
    return int(expected + 20.0 * np.sqrt(expected) + 50.0)


def _candidates(
    first_slot: int, end_slot: int, first_index: int, segment: int, bound: float, detection: Detection
) -> tuple[Column, Ints]:
    slots_here = end_slot - first_slot
    most = min(_enough(slots_here * -np.expm1(-bound)), slots_here + 1)
    index = first_index + np.arange(most, dtype=np.uint64)
    words = _draw(index, segment, 0, STREAM_PULSES, detection)
    gaps = np.minimum(-np.log(uniform_53(words[0], words[1])) / bound, float(slots_here))
    slots = first_slot - 1 + np.cumsum(1 + gaps.astype(np.int64))
    inside = slots < end_slot
    return index[inside], slots[inside]


def _settings(
    slots: Ints, pulses: Pulses
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    """Class, basis, bit, and the chance that its intensity fluctuates by."""
    counter, zero = slots.astype(np.uint64), np.zeros(1, np.uint64)
    key = (pulses.key_0, pulses.key_1)
    words = columns(counter & MASK_32, counter >> SHIFT_32, zero, zero, key)
    intensity_class = 2 - (words[0] < pulses.below_decoy) - 1 * (words[0] < pulses.below_signal)
    if pulses.header_slots > 0:
        header = PublicHeader(
            pulses.header_slots, pulses.interval_slots, (pulses.first_code, pulses.second_code)
        )
        by_code = np.where(is_bright(slots, header), SIGNAL, VACUUM)
        intensity_class = np.where(is_public(slots, header), by_code, intensity_class)
    basis = 1 - 1 * (words[1] < pulses.below_z)
    return intensity_class, basis, (words[2] & np.uint64(1)).astype(np.int64), uniform_32(words[3])


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
