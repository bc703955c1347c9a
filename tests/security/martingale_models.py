"""What tests of weights and martingale bounds share: a link's expected counts, normalised weights."""

import math

import numpy as np
from security_models import channel

from satqkd.security import SourceModel
from satqkd.security.martingale import secret_bits_lower
from satqkd.security.tails import binary_entropy
from satqkd.security.weight_choice import Foretold

MICIUS = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
EVEN = (0.5, 0.5)
EVERY, SIGNAL = (True, True, True), (True, False, False)
EPSILON = 2.5e-11**2
"""The tables of facts/streamed-announcement.md: an even split of epsilon_secrecy 1e-10, one event."""
FIXED_COST = 2 * math.log2(1 / 1e-10) + math.log2(2e15)


def normalised(*raw: float, source=MICIUS) -> np.ndarray:
    """facts/streamed-announcement.md 3: less the largest ln phi_n of all n but 1, the limit included."""
    v = np.array(raw)
    shares = np.array([source.class_share(n) for n in (0, *range(2, 41))])
    return v - max(math.log(float((shares @ np.exp(v)).max())), v[0])


def link(size, loss_db, *, source=MICIUS, z=0.5, qber=0.01, background=5e-7):
    """Foretold counts, leak at 1.16 times Shannon, and t, of as many pulses as give `size` sifted bits at
    mean photon number 1/2 with even bases; only Z is keyed, every class of it."""
    transmittance = 10 ** (-loss_db / 10)
    reference = 1 - (1 - background) * math.exp(-0.5 * transmittance)
    hit = -math.expm1(-source.intensities[0] * transmittance)
    optical = (qber * (1 - (1 - background) * (1 - hit)) - background / 2) / hit
    gain, error = channel(source, transmittance=transmittance, background=background, optical_error=optical)
    sent = 2 * size / reference * np.array(source.probabilities)
    key, test = sent * z**2 * gain, sent * (1 - z) ** 2 * gain
    sifted = float(key.sum())
    leaked = 1.16 * sifted * binary_entropy(float(key @ error) / sifted)
    return Foretold(key, test * error), leaked, (1 - z) ** 2 / ((1 - z) ** 2 + z**2)


def bits(weights, foretold, *, source=MICIUS, keyed=EVERY, share=EVEN, epsilon=EPSILON) -> float:
    """(III) of foretold counts, before leak and fixed costs."""
    return secret_bits_lower(
        weights,
        source,
        keyed,
        share,
        detections=foretold.detections,
        errors=foretold.errors,
        epsilon=epsilon,
    )
