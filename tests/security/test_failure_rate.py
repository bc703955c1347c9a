"""How often the whole estimate is wrong, against simulated photon numbers the estimate never sees."""

import numpy as np
import pytest

from satqkd.randomness import stream
from satqkd.security import SourceModel
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.variable import sharp_estimate, sharp_events

SOURCE = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))


def block(rng, *, matched, error_rate, keyed, t=0.5):
    """One block of `matched[n]` n-photon detections, and what is true of it.

    One and two photons make the decoy inversion an identity, so nothing but statistics protects it. The
    X errors are a fixed number per photon number: Eve's choice, made before bases and classes fall.
    """
    key, test, wrong = np.zeros(3), np.zeros(3), np.zeros(3)
    truth = {}
    for n, total in enumerate(matched):
        share = SOURCE.class_share(n)
        tested = rng.binomial(total, t)
        marked = round(total * error_rate[n])
        m = rng.hypergeometric(marked, total - marked, tested)
        bad, good = rng.multinomial(m, share), rng.multinomial(tested - m, share)
        key_bad, key_good = (
            rng.multinomial(marked - m, share),
            rng.multinomial(total - tested - marked + m, share),
        )
        key, test, wrong = key + key_bad + key_good, test + bad + good, wrong + bad
        if n == 1:
            mask = np.array(keyed)
            truth = {"wrong": int(key_bad[mask].sum()), "right": int(key_good[mask].sum())}
    problem = BasisProblem(
        source=SOURCE,
        key=BasisCounts(key, np.zeros(3)),
        test=BasisCounts(test, wrong),
        keyed=keyed,
        leaked_bits=0.0,
        epsilon_secrecy=1e-9,
        epsilon_correctness=1e-15,
    )
    return problem, truth


def failures(epsilon, *, trials, keyed, name, matched=(400, 40_000, 8_000), error_rate=(0.5, 0.03, 0.0)):
    """Blocks in which the single photons were overstated or a random subset of n held more errors."""
    rng, wrong = stream(7, "security", name), 0
    for _ in range(trials):
        problem, truth = block(rng, matched=matched, error_rate=error_rate, keyed=keyed)
        got = sharp_estimate(problem, epsilon_event=epsilon / sharp_events(problem))
        n = got["keyed_single_photons"]
        overstated = n > truth["wrong"] + truth["right"]
        if overstated or (n and rng.hypergeometric(truth["wrong"], truth["right"], n) > got["phase_errors"]):
            wrong += 1
    return wrong


@pytest.mark.parametrize("keyed", [(True, False, False), (True, True, False)])
def test_no_more_failures_than_epsilon(keyed):
    epsilon, trials = 1e-2, 1200
    allowed = epsilon * trials + 3 * (epsilon * trials) ** 0.5
    assert failures(epsilon, trials=trials, keyed=keyed, name=f"whole-{keyed}") <= allowed


def test_a_bound_without_fluctuations_fails_in_this_simulation():
    """Power: with statements that are coin tosses the same simulation breaks the estimate often."""
    assert failures(6.0, trials=150, keyed=(True, False, False), name="power") > 15


def test_single_photons_alone_without_multiphotons():
    assert (
        failures(
            1e-2,
            trials=600,
            keyed=(True, False, False),
            name="singles",
            matched=(0, 20_000, 0),
            error_rate=(0.0, 0.02, 0.0),
        )
        <= 13
    )
