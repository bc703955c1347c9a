r"""The one-decoy bound: Rusca et al., Appl. Phys. Lett. 112, 171104 (2018), Hoeffding, two intensities.

.. math:: s_1\ge\frac{\mu_1\tau_1}{\mu_2(\mu_1-\mu_2)}\Big(n^-_2-\frac{\mu_2^2}{\mu_1^2}n^+_1
    -\frac{\mu_1^2-\mu_2^2}{\mu_1^2}\frac{s_0^{U}}{\tau_0}\Big),\qquad
    s_0^{U}=2\Big(\tau_0\min_k\frac{e^{\mu_k}}{p_k}(m_k+\delta(m))+\delta(n)\Big)

with :math:`n^\pm_k=\frac{e^{\mu_k}}{p_k}(n_k\pm\delta(n))` and
:math:`\delta(n)=\sqrt{\tfrac n2\ln\tfrac1\varepsilon}`, n and m the sums over both classes (appendix A,
equations A16-A19, A22). Half of the empty pulses' detections are wrong, so the errors m_k of a basis bound
them from above: without a vacuum class the key basis's own errors enter its own length, and they are known
only after error correction. The vacuum from below is credited where it is positive.

**For comparison only**: the fixed-length theorem fed with observed counts. The budget is the paper's (A24),
epsilon_sec = 2 (a1 + 2 a2 + a3) + nu + 6 e1 + 4 e2, all equal, hence 19; six terms log2(19/epsilon_sec) in
the length as in Lim et al. (2014); e1 are bounds of detections, e2 of errors **[read in a transcription of
the appendix]**. The smallest of both classes' vacuum bounds is taken without a further term, as is usual.
Correctness epsilon_cor is paid by log2(2/epsilon_cor). Not covered: what `satquma` does not cover; the
announcement of the key basis's error counts, which the caller charges as leak.
"""

import math
from typing import Any, Final

import numpy as np

from satqkd.security.fixed_length import checked_counts, length_terms
from satqkd.security.source import Floats, SourceModel

TERMS: Final = 19
"""Equal parts of the secrecy epsilon."""
CLASSES: Final = 2


def rusca2018(
    key: Floats,
    key_errors: Floats,
    test: Floats,
    test_errors: Floats,
    *,
    intensities: Floats,
    probabilities: Floats,
    leaked_bits: float,
    epsilon_secrecy: float,
    epsilon_correctness: float,
    keyed_shares: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    """Terms of the length for one keyed basis; counts by class signal, decoy, shape (2,), float64.

    key, test: matched detections.  key_errors, test_errors: wrong ones.  intensities, probabilities: shape
    (2,), both above 0.  keyed_shares: as for `satquma`. Raises DataFormatError for columns that are none.
    Besides `satquma`'s terms: `vacuum_upper`, at most so many detections of empty pulses in the key basis.
    """
    checked_counts("key basis", key, key_errors, CLASSES)
    checked_counts("test basis", test, test_errors, CLASSES)
    SourceModel(tuple(map(float, intensities)), tuple(map(float, probabilities)))
    epsilon = epsilon_secrecy / TERMS
    inversion = _Inversion(intensities, probabilities, epsilon)
    singles = inversion.singles(key, key_errors)
    test_singles = inversion.singles(test, test_errors)
    vacuum = inversion.vacuum_lower(key)
    if singles > float(np.sum(key)) or test_singles > float(np.sum(test)):
        vacuum = singles = 0.0
    return length_terms(
        vacuum_bits=keyed_shares[0] * vacuum,
        keyed_singles=keyed_shares[1] * singles,
        test_singles=test_singles,
        test_errors=inversion.errors(test_errors),
        leaked_bits=leaked_bits,
        epsilon_event=epsilon,
        epsilon_correctness=epsilon_correctness,
        events=TERMS,
    ) | {"vacuum_upper": inversion.vacuum_upper(key, key_errors)}


class _Inversion:
    """The paper's inequalities for one source and one epsilon."""

    def __init__(self, intensities: Floats, probabilities: Floats, epsilon: float) -> None:
        self._mu = tuple(float(each) for each in intensities)
        self._weights = np.exp(intensities) / probabilities
        light = probabilities * np.exp(-np.asarray(intensities))
        self._tau0, self._tau1 = float(light.sum()), float(light @ intensities)
        self._log = math.log(1 / epsilon)

    def vacuum_lower(self, detections: Floats) -> float:
        mu1, mu2 = self._mu
        low, high = self._weighted(detections)
        return max(0.0, self._tau0 / (mu1 - mu2) * float(mu1 * low[1] - mu2 * high[0]))

    def vacuum_upper(self, detections: Floats, errors: Floats) -> float:
        """Half of them are wrong, and any class's errors, weighted, hold at least those."""
        _, high = self._weighted(errors)
        return 2 * (self._tau0 * float(high.min()) + self._width(detections))

    def singles(self, detections: Floats, errors: Floats) -> float:
        mu1, mu2 = self._mu
        low, high = self._weighted(detections)
        empty = self.vacuum_upper(detections, errors) / self._tau0
        ratio = (mu2 / mu1) ** 2
        bracket = float(low[1] - ratio * high[0] - (1 - ratio) * empty)
        return max(0.0, mu1 * self._tau1 / (mu2 * (mu1 - mu2)) * bracket)

    def errors(self, errors: Floats) -> float:
        mu1, mu2 = self._mu
        low, high = self._weighted(errors)
        return max(0.0, self._tau1 / (mu1 - mu2) * float(high[0] - low[1]))

    def _weighted(self, counts: Floats) -> tuple[Floats, Floats]:
        width = self._width(counts)
        return self._weights * (counts - width), self._weights * (counts + width)

    def _width(self, counts: Floats) -> float:
        return math.sqrt(0.5 * float(np.sum(counts)) * self._log)
