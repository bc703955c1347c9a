r"""The bound of the satellite planner SatQuMA 2.0.0: Lim's decoy bound with Chernoff or Hoeffding tails.

.. math:: n^-_k=\frac{e^{\mu_k}}{p_k}\Big(n_k-\frac\beta2-\sqrt{2\beta n_k+\frac{\beta^2}4}\Big),\quad
    n^+_k=\frac{e^{\mu_k}}{p_k}\Big(n_k+\beta+\sqrt{2\beta n_k+\beta^2}\Big),\quad
    \beta=\ln\frac{21}{\varepsilon_{sec}}

("chernoff": from a count to its expectation, Yin et al., Sci. Rep. 10, 14312 (2020)), or the width
:math:`\sqrt{\tfrac12 n\beta}` of all classes together ("hoeffding", Lim et al., PRA 89, 022307 (2014)). Then
Lim's equations 1-5: vacuum, single photons, errors, Fung's correction, length; the vacuum is credited and,
in SatQuMA, every class keyed.

**For comparison only**: the fixed-length theorem fed with observed counts. The budget is Lim's (B4),
epsilon_sec = 2 (2 a1 + a2 + a3) + nu + 10 e1 + 2 e2, all equal, hence 21: a1 smooths and is the failure of
Fung's correction; a2, a3 are two chain rules and nu privacy amplification, and these three stand in the
length as 6 log2(21/epsilon_sec); e1 are ten one-sided bounds of counts (per basis: decoy from below, signal
and vacuum from above, and the two of the vacuum bound), e2 two of test errors. Correctness epsilon_cor is
the verification tag's, paid by log2(2/epsilon_cor). Not covered: thresholds and length fixed beforehand,
the statement that keying only some classes needs, bases and classes told during the block, intensities that
are not exact, detector mismatch, samples too small for Fung's correction.

What the program does was read in the public repository cnqo-qcomms/SatQuMA, commit f2b9229; where its code
differs from the paper, and why not here, is said at each function. Knows no channel and no optimiser.
"""

import math
from typing import Any, Final, Literal

import numpy as np
from scipy import special

from satqkd.errors import ConfigError, DataFormatError
from satqkd.security.fixed_length import checked_counts, length_terms
from satqkd.security.published import single_photon_errors_upper, single_photons_lower, vacuum_lower
from satqkd.security.source import Floats, SourceModel
from satqkd.security.tails import binary_entropy

Tails = Literal["chernoff", "hoeffding"]
LeakMode = Literal["block", "logm", "mxtot", "none"]

TERMS: Final = 21
"""Equal parts of the secrecy epsilon."""
CLASSES: Final = 3


def satquma(
    key: Floats,
    test: Floats,
    test_errors: Floats,
    *,
    intensities: Floats,
    probabilities: Floats,
    leaked_bits: float,
    epsilon_secrecy: float,
    epsilon_correctness: float,
    tails: Tails = "chernoff",
    keyed_shares: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Any]:
    r"""Terms of the length for one keyed basis; all counts by class signal, decoy, vacuum, shape (3,).

    key, test: matched detections of the two bases.  test_errors: wrong ones of `test`.  intensities,
    probabilities: shape (3,).  keyed_shares: of empty and of single-photon pulses, where not every class is
    keyed; taken without a statement, as planners do.  Counts may be expectations. Raises DataFormatError
    for columns that are none, ConfigError for other tails.

    As in SatQuMA lower bounds of counts are not cut at 0, and single-photon errors are at most all errors
    seen (which decides in small test samples). Unlike it: a whole number of bits; no negative vacuum or
    single photons (it keeps 1e-10); n2+ where Lim has it in the vacuum bound (it has n2-, the same only
    without light in the third class); 0.5 where Fung's logarithm is not positive (it takes no correction);
    no key where the estimate claims more single photons than detections.
    """
    _check(key, test, test_errors)
    source = SourceModel(tuple(map(float, intensities)), tuple(map(float, probabilities)))
    beta = math.log(TERMS / epsilon_secrecy)
    seen = _expectations(key, beta, tails)
    vacuum, singles = vacuum_lower(source, *seen), single_photons_lower(source, *seen)
    test_singles = single_photons_lower(source, *_expectations(test, beta, tails))
    errors = single_photon_errors_upper(source, *_expectations(test_errors, beta, tails))
    errors = min(errors, float(np.sum(test_errors)))
    if singles > float(np.sum(key)) or test_singles > float(np.sum(test)):
        vacuum = singles = 0.0
    return length_terms(
        vacuum_bits=keyed_shares[0] * vacuum,
        keyed_singles=keyed_shares[1] * singles,
        test_singles=test_singles,
        test_errors=errors,
        leaked_bits=leaked_bits,
        epsilon_event=epsilon_secrecy / TERMS,
        epsilon_correctness=epsilon_correctness,
        events=TERMS,
    )


def leak_bits(
    sifted_bits: float,
    errors: float,
    *,
    mode: LeakMode = "block",
    efficiency: float = 1.16,
    epsilon_correctness: float = 1e-15,
) -> float:
    r"""Bits that SatQuMA takes for error correction of sifted bits with `errors` wrong, not rounded.

    With n sifted bits, Q = errors/n, f the efficiency, F^{-1} the binomial quantile (smallest k with
    :math:`\Pr[\mathrm{Bin}(n,1-Q)\le k]` at least the argument):

    - "block": :math:`f\,n\,h(Q)`;
    - "mxtot": :math:`f` times the errors (no leak of any code: far below the Shannon limit);
    - "logm": the larger of "block" and the length that one-way correction needs at least,
      :math:`n h(Q)+[n(1-Q)-F^{-1}(\varepsilon_{cor}(1+n^{-1/2}))-1]\ln\frac{1-Q}{Q}-\tfrac12\ln n
      -\ln\frac1{\varepsilon_{cor}}` (Tomamichel et al., Quantum Inf. Process. 16, 280 (2017)). The logarithms
      after n h(Q) are natural, as in SatQuMA, while h is in bits; in the paper all are binary **[recalled]**.
      The quantile is of floor(n) trials, the rest of n, so the value jumps by less than ln((1-Q)/Q) bits;
    - "none": 0.

    SatQuMA's Q counts all classes, which it keys. `errors` of 0 leak nothing here (it fails there); above
    one half the entropy is taken at one half (it lets it fall). An estimate, never a recount of a transcript.
    """
    if not 0 <= errors <= sifted_bits < math.inf:
        raise DataFormatError(f"leak: expected 0 <= errors <= sifted bits, got {errors} of {sifted_bits}")
    if mode == "mxtot":
        return efficiency * errors
    if mode == "none" or errors == 0:
        return 0.0
    block = efficiency * sifted_bits * binary_entropy(min(errors / sifted_bits, 0.5))
    if mode == "block":
        return block
    if mode == "logm":
        return max(block, _one_way_bits(sifted_bits, errors / sifted_bits, epsilon_correctness))
    raise ConfigError(f"leak mode: expected block, logm, mxtot or none, got {mode!r}")


def _expectations(counts: Floats, beta: float, tails: Tails) -> tuple[Floats, Floats]:
    """Bounds of the expected counts, not weighted and not cut at 0."""
    if tails == "hoeffding":
        width = math.sqrt(0.5 * beta * float(np.sum(counts)))
        return counts - width, counts + width
    if tails != "chernoff":
        raise ConfigError(f"tails: expected chernoff or hoeffding, got {tails!r}")
    below = beta / 2 + np.sqrt(2 * beta * counts + beta**2 / 4)
    above = beta + np.sqrt(2 * beta * counts + beta**2)
    return counts - below, counts + above


def _one_way_bits(sifted: float, qber: float, epsilon: float) -> float:
    if qber >= 0.5:
        return sifted
    trials = math.floor(sifted)
    quantile = _binomial_quantile(epsilon * (1 + 1 / math.sqrt(trials)), trials, 1 - qber) if trials else 0
    missing = sifted * (1 - qber) - quantile - 1
    finite = missing * math.log((1 - qber) / qber) - 0.5 * math.log(sifted) - math.log(1 / epsilon)
    return sifted * binary_entropy(qber) + finite


def _binomial_quantile(tail: float, trials: int, probability: float) -> int:
    """Smallest k with Pr[Bin <= k] >= tail."""
    low, high = -1, trials
    while high - low > 1:
        middle = (low + high) // 2
        if special.betaincc(middle + 1, trials - middle, probability) >= tail:
            high = middle
        else:
            low = middle
    return high


def _check(key: Floats, test: Floats, test_errors: Floats) -> None:
    checked_counts("key basis", key, None, CLASSES)
    checked_counts("test basis", test, test_errors, CLASSES)
