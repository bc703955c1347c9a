r"""What the fixed-length decoy bounds of the literature share: Fung's correction, the sum, checked columns.

.. math:: \ell=s_0+s_1[1-h(\phi)]-\lambda_{EC}-6\log_2\frac{1}{\varepsilon}-\log_2\frac{2}{\varepsilon_{cor}}

Their theorem is for a length and thresholds fixed before the block is seen; fed with observed counts, as
most planners and experiments do, it is an estimate. Kept for comparison only. Plain arrays in, no
statement of security out. Source: Lim et al., PRA 89, 022307 (2014), equation 1; Fung, Ma and Chau, PRA 81,
012318 (2010) for the correction.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satqkd.errors import DataFormatError
from satqkd.security.tails import secret_fraction

CHAIN_TERMS = 6
"""Terms log2(1/epsilon) of smoothing, chain rules and privacy amplification."""


def phase_error_rate(
    test_errors: float, test_singles: float, keyed_singles: float, *, epsilon: float
) -> float:
    r"""Observed rate b plus Fung's correction, at most 0.5; 0.5 too where the formula has no meaning.

    .. math:: \gamma=\sqrt{\frac{(c+d)(1-b)b}{cd\ln2}\log_2\frac{c+d}{cd(1-b)b\,\varepsilon^2}}

    with c, d the single photons keyed and tested. No error seen is taken as one: at b = 0 the formula would
    claim certainty. Too small for some hundred test rounds (docs/design/bounds.md).
    """
    if test_singles <= 0 or keyed_singles <= 0:
        return 0.5
    b, c, d = max(test_errors, 1.0) / test_singles, keyed_singles, test_singles
    if b >= 0.5:
        return 0.5
    spread = (c + d) * (1 - b) * b / (c * d * math.log(2))
    tail = (c + d) / (c * d * (1 - b) * b * epsilon**2)
    # Samples so small that this logarithm is not positive hold no key anyway.
    return min(0.5, b + math.sqrt(spread * math.log2(tail))) if tail > 1 else 0.5


def length_terms(
    *,
    vacuum_bits: float,
    keyed_singles: float,
    test_singles: float,
    test_errors: float,
    leaked_bits: float,
    epsilon_event: float,
    epsilon_correctness: float,
    events: int,
) -> dict[str, Any]:
    """The sum of the module's formula, each part named; `length_bits` may be negative, `secret_bits` not.

    vacuum_bits, keyed_singles: lower bounds of empty and single-photon pulses detected in the key basis.
    test_singles, test_errors: lower and upper bound in the test basis.  epsilon_event: failure of each of the
    `events` equal terms of the secrecy budget.
    """
    rate = phase_error_rate(test_errors, test_singles, keyed_singles, epsilon=epsilon_event)
    entropy = vacuum_bits + keyed_singles * secret_fraction(rate)
    amplification = CHAIN_TERMS * math.log2(1 / epsilon_event)
    verification = math.log2(2 / epsilon_correctness)
    length = entropy - leaked_bits - amplification - verification
    return {
        "secret_bits": max(0, math.floor(length)),
        "length_bits": length,
        "vacuum": vacuum_bits,
        "single_photons": keyed_singles,
        "test_single_photons": test_singles,
        "test_single_photon_errors": test_errors,
        "phase_error_rate": rate,
        "entropy_bits": entropy,
        "leaked_bits": leaked_bits,
        "amplification_bits": amplification,
        "verification_bits": verification,
        "events": events,
        "epsilon_event": epsilon_event,
    }


def checked_counts(
    name: str, detections: NDArray[np.float64], errors: NDArray[np.float64] | None, classes: int
) -> None:
    """DataFormatError unless the columns have one entry a class and 0 <= errors <= detections < inf."""
    columns = [detections] if errors is None else [errors, detections]
    expected = f"{name}: expected {classes} counts, one for each class"
    if any(np.shape(column) != (classes,) for column in columns):
        raise DataFormatError(f"{expected}, got shapes {[np.shape(column) for column in columns]}")
    low = np.array(columns[0])
    if not (np.all(low >= 0) and np.all(low <= detections) and np.all(np.isfinite(detections))):
        raise DataFormatError(f"{expected}, with 0 <= errors <= detections, got {detections} and {errors}")
