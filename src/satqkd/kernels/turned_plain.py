"""Photon clicks of light whose axes are turned, in numpy: what `satqkd.kernels.turned` compiles.

As `clicks_plain.pulse_keys`, draw by draw, but the share of a photon measured in the *other* basis is no
longer even. A state that arrives turned by psi, seen from the receiver's axes toward + from H, has the
Stokes parameters (cos 2psi, sin 2psi) along its own basis and along the other one; a photon sent as bit b

    in its own basis               gives b with probability (1 + v cos 2psi) / 2
    sent in Z, measured in X       gives b with probability (1 + v sin 2psi) / 2
    sent in X, measured in Z       gives b with probability (1 - v sin 2psi) / 2

and a half-wave plate that turns all light back by delta rotates the pair (own, crossed) by -2 delta, exactly.
`Light.error_z`, `error_x` hold the own part with the plate as predicted, `Turned` the crossed one. With
nothing turned these are the keys of `clicks_plain`. Source: Stokes parameters, as
`satqkd.optics.polarisation`.
"""

from typing import NamedTuple

import numpy as np

from satqkd.kernels.clicks_plain import (
    STREAM_PULSES,
    Detection,
    Floats,
    Ints,
    Light,
    Path,
    Pieces,
    Pulses,
    _candidates,
    _draw,
    _photon_number,
    _settings,
    cell_of,
    fast,
    linear,
    normal,
    slot_ps,
    station_ps,
    uniform_32,
    uniform_53,
)
from satqkd.kernels.philox_plain import Column


class Turned(NamedTuple):
    """How the axes lie: what the light shows of the other basis, and how the plate has been turned since."""

    crossed_z: Floats
    """v sin 2psi of light sent in Z, on the path's grid; linear between."""
    crossed_x: Floats
    from_slot: Ints
    """Slots from which the settings of the plate hold, increasing, the first 0; shape (k,)."""
    cosine: Floats
    """Of twice the angle by which the plate turns light back, shape (k,)."""
    sine: Floats


def pulse_keys(
    pieces: Pieces,
    segment: int,
    pulses: Pulses,
    light: Light,
    turned: Turned,
    detection: Detection,
    path: Path,
) -> Ints:
    """Keys of all photons detected from the slots of the pieces, in no order."""
    keys = [np.empty(0, np.int64)]
    next_index = 0
    for row, bound in enumerate(pieces.bound.tolist()):
        first_slot, end_slot = pieces.first_slot[row : row + 2].tolist()
        if bound <= 0 or first_slot >= end_slot:
            continue
        index, slots = _candidates(first_slot, end_slot, next_index, segment, bound, detection)
        next_index += index.size + 1
        keys += _photon_keys(index, slots, bound, segment, pulses, light, turned, detection, path)
    return np.concatenate(keys)


def flip_probabilities(
    slots: Ints, basis: Ints, emission: Ints, light: Light, turned: Turned, path: Path
) -> tuple[Floats, Floats]:
    """Probability that a photon gives the other bit: measured in its own basis, in the other one."""
    cell = cell_of(emission, path)
    is_z = basis == 0
    own = 1 - 2 * np.where(is_z, linear(light.error_z, *cell), linear(light.error_x, *cell))
    crossed = np.where(is_z, linear(turned.crossed_z, *cell), linear(turned.crossed_x, *cell))
    setting = np.searchsorted(turned.from_slot, slots, "right") - 1
    cosine, sine = turned.cosine[setting], turned.sine[setting]
    left = crossed * cosine - own * sine
    return (1 - (own * cosine + crossed * sine)) / 2, (1 - np.where(is_z, left, -left)) / 2


def _photon_keys(
    index: Column,
    slots: Ints,
    bound: float,
    segment: int,
    pulses: Pulses,
    light: Light,
    turned: Turned,
    detection: Detection,
    path: Path,
) -> list[Ints]:
    """Keys of the photons of candidate slots, one array for first photons, second photons, ..."""
    intensity_class, basis, bit, chance = _settings(slots, pulses)
    emission = slot_ps(slots, pulses.period_ps, pulses.period_fraction_ps)
    factor = 1.0 + pulses.spread[intensity_class] * (2.0 * chance - 1.0)
    at_face = linear(light.transmittance, *cell_of(emission, path)) * fast(
        light.fading, emission, light, path
    )
    best = float(detection.efficiency.max())
    mean = pulses.intensities[intensity_class] * factor * at_face * best
    words = _draw(index, segment, 0, STREAM_PULSES, detection)
    clicked = uniform_32(words[2]) * -np.expm1(-bound) < -np.expm1(-mean)
    photons = np.where(clicked, _photon_number(uniform_32(words[3]), mean), 0)
    wrong, crossed_wrong = flip_probabilities(slots, basis, emission, light, turned, path)
    first_choice = _draw(index, segment, 1, STREAM_PULSES, detection)[0]
    keys = []
    for photon in range(int(photons.max(initial=0))):
        here = photons > photon
        words = _draw(index[here], segment, 1 + 2 * photon, STREAM_PULSES, detection)
        more = _draw(index[here], segment, 2 + 2 * photon, STREAM_PULSES, detection)
        choice = words[0] if detection.passive else first_choice[here]
        measured = np.where(choice < detection.below_z, 0, 1)
        flip = uniform_32(words[1]) < np.where(measured == basis[here], wrong[here], crossed_wrong[here])
        detector = 2 * measured + (bit[here] ^ flip)
        kept = uniform_32(more[0]) * best < detection.efficiency[detector]
        late = detection.sigma_ps[detector] * normal(words[2], words[3])
        late += pulses.skew_ps[2 * basis[here] + bit[here]]
        is_late = uniform_32(more[1]) < detection.tail_fraction[detector]
        late += np.where(is_late, -np.log(uniform_53(more[2], more[3])) * detection.tail_ps[detector], 0.0)
        keys.append((station_ps(emission[here], late, path) * 8 + detector)[kept])
    return keys
