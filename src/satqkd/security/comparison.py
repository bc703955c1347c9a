"""Bounds of the literature that take plain columns, asked with a proof's own counts. For comparison only."""

from typing import Any

from satqkd.security.problem import BasisProblem, Terms
from satqkd.security.rusca2018 import rusca2018
from satqkd.security.satquma import Tails, satquma


def satquma_chernoff(problem: BasisProblem) -> Terms:
    """SatQuMA's bound as it is used there by default."""
    return _satquma(problem, "chernoff")


def satquma_hoeffding(problem: BasisProblem) -> Terms:
    """SatQuMA's bound with its other tails."""
    return _satquma(problem, "hoeffding")


def rusca(problem: BasisProblem) -> Terms:
    """Rusca et al. (2018) for a source of two classes."""
    key, test = problem.key, problem.test
    return rusca2018(key.detections, key.errors, test.detections, test.errors, **_settings(problem))


def _satquma(problem: BasisProblem, tails: Tails) -> Terms:
    key, test = problem.key, problem.test
    return satquma(key.detections, test.detections, test.errors, tails=tails, **_settings(problem))


def _settings(problem: BasisProblem) -> dict[str, Any]:
    return {
        "intensities": problem.source.mean_photons,
        "probabilities": problem.source.shares,
        "leaked_bits": problem.leaked_bits,
        "epsilon_secrecy": problem.epsilon_secrecy,
        "epsilon_correctness": problem.epsilon_correctness,
        "keyed_shares": (problem.keyed_share(0), problem.keyed_share(1)),
    }
