"""What can happen to a pulse of n photons, and what Eve then does not know of the sender's bit.

Entropies are von Neumann entropies of the bit given all Eve holds once bases are told, computed from her
own operations; no decoy formula is used. She owns the whole loss and all light that does not arrive; dark
clicks and the receiver's optical error are not hers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satqkd.security import SourceModel

PHOTONS = range(26)
"""Photon numbers that are summed; beyond them is less than 1e-20 at a mean of 1."""

Pair = NDArray[np.float64]
Operation = NDArray[np.complex128]
"""Eve's isometry on one photon: amplitude of (photon that leaves, her register, photon that came)."""


@dataclass(frozen=True)
class Effect:
    """Per pulse, both ends in the same basis: float64 of shape (2,) for Z and X. Choices Eve knows add."""

    detected: Pair
    wrong: Pair
    unknown: Pair
    """Probability of a detection times the bits of it that Eve does not know."""
    __array_ufunc__ = None
    """Arrays leave the product to `__rmul__`."""

    def __add__(self, other: "Effect") -> "Effect":
        return Effect(self.detected + other.detected, self.wrong + other.wrong, self.unknown + other.unknown)

    def __rmul__(self, weight: float | Pair) -> "Effect":
        return Effect(weight * self.detected, weight * self.wrong, weight * self.unknown)


Attack = Callable[[int], Effect]
"""What becomes of a pulse of n photons."""


@dataclass(frozen=True)
class Link:
    """The channel that both ends expect."""

    transmittance: float
    background: float
    """Probability of a click, with a random bit, when no light arrives."""
    optical_error: float
    """Of light that arrives, in the receiver."""


def effect(detected: float, wrong: float = 0.0, unknown: float = 0.0) -> Effect:
    """Detected with this probability; error rate and unknown bits of each detection, alike in both bases."""
    return detected * Effect(np.ones(2), np.full(2, wrong), np.full(2, unknown))


def dark(link: Link, *, unknown: float) -> Effect:
    """No light arrives: a dark click or nothing."""
    return effect(link.background, 0.5, unknown)


def arrives(link: Link, probability: float, photon: Effect, *, lost: float = 0.0) -> Effect:
    """Light arrives with this probability, as `photon` says of light that surely does; else Eve has it.

    lost: bits unknown in a dark click when it does not.
    """
    flipped = photon.wrong + link.optical_error * (photon.detected - 2 * photon.wrong)
    seen = Effect(photon.detected, flipped, photon.unknown)
    return probability * seen + (1 - probability) * dark(link, unknown=lost)


def operated(operation: Operation) -> Effect:
    """One photon through Eve's isometry, measured without loss or error: what it shows, what she lacks."""
    wrong, unknown = np.array([_in_basis(operation, states) for states in (_states(0), _states(np.pi / 4))]).T
    return Effect(np.ones(2), wrong, unknown)


def _in_basis(operation: Operation, states: Operation) -> tuple[float, float]:
    """Error rate, and S(bit, Eve) - S(Eve), when sender and receiver use this basis."""
    leaving = np.einsum("oei,ai->aoe", operation, states)
    wrong = [np.linalg.norm(states[1 - a].conj() @ leaving[a]) ** 2 for a in (0, 1)]
    held = np.einsum("aoe,aof->aef", leaving, leaving.conj()) / 2
    return float(sum(wrong)) / 2, _entropy(held[0]) + _entropy(held[1]) - _entropy(held[0] + held[1])


def _entropy(state: Operation) -> float:
    values = np.linalg.eigvalsh(state)
    values = values[values > 1e-15]
    return float(-(values * np.log2(values)).sum())


def _states(angle: float) -> Operation:
    """Two orthogonal linear polarisations as rows, the first at this angle."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]], dtype=np.complex128)


UNTOUCHED: Operation = np.eye(2, dtype=np.complex128)[:, None, :]


def measured(angle: float) -> Operation:
    """Intercept and resend in the basis at this angle; Eve keeps the outcome."""
    states = _states(angle)
    return np.einsum("eo,ei->oei", states, states.conj())


def cloned(error: float) -> Operation:
    """The cloner that learns most from a given error rate, the same in both bases: Pauli operators."""
    flip, phase = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    paulis = (np.eye(2), flip, phase, flip @ phase)
    odds = ((1 - error) ** 2, error * (1 - error), error * (1 - error), error**2)
    return np.stack([math.sqrt(p) * u for p, u in zip(odds, paulis, strict=True)], axis=1).astype(complex)


def unambiguous(photons: int) -> float:
    """Probability that n equal photons tell which of the four states they are, without ever being wrong.

    Least eigenvalue of the Gram matrix of the four n-photon states, optimal for symmetric states (Chefles
    and Barnett, Phys. Lett. A 250, 223 (1998); recalled).
    """
    angles = np.arange(4) * math.pi / 4
    gram = np.cos(angles[:, None] - angles) ** photons
    return max(0.0, float(np.linalg.eigvalsh(gram)[0]))


def shifted(spread: float) -> Effect:
    """A photon moved in time to where one detector of its basis is better: efficiencies 1 +- spread.

    Eve knows which; that the photon was detected tells her of the bit.
    """
    joint = np.array([[1 + spread, 1 - spread], [1 - spread, 1 + spread]]) / 4
    unknown = -(joint * np.log2(joint)).sum() - 1  # her choice alone is a fair coin
    return effect(1.0, 0.0, float(unknown))


def per_class(source: SourceModel, attack: Attack, field: str) -> Pair:
    """A field of the effects per matched pulse of each class, shape (2, classes), Z and X."""
    weights = np.array([source.joint(n) for n in PHOTONS]) / source.shares
    return np.array([getattr(attack(n), field) for n in PHOTONS]).T @ weights
