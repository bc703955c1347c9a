r"""Decoy states: inequalities between counts per class and numbers of photons, each as a weight per class.

Let :math:`N_n` be the true number of n-photon events in a set and
:math:`n^*_k = \sum_n q_{k|n} N_n` the expected count of class k, :math:`q_{k|n} = w_{k,n}/\sum_j w_{j,n}`.
A weight :math:`v_k` per class with

.. math:: \sum_k v_k\,q_{k|n} \le [n = 1] \quad\text{for every } n
    \qquad\Longrightarrow\qquad N_1 \ge \sum_k v_k\,n^*_k ,

and likewise with the sign turned for upper bounds. Multiplied by the sum over j the condition is linear in
each :math:`w_{k,n}`, :math:`\sum_k (v_k - [n=1])\,w_{k,n} \le 0`, so with intensities in intervals it needs
checking at the worst end of each weight only, and it then holds for intensities that wander from pulse to
pulse. The weights below make the conditions at n = 0, 1, 2 equalities; for exact intensities and an empty
vacuum they are equations 2-4 of Lim et al., PRA 89, 022307 (2014). Why every n > 2 follows:
docs/design/bounds.md. Knows no tails and no key.
"""

import numpy as np

from satqkd.security.source import Floats, SourceModel


def single_photon_weights(source: SourceModel) -> Floats:
    """Weights of a lower bound of single photons, three classes: negative, positive, negative.  shape (3,)

    All zero, which claims nothing, when the intervals of the intensities are too wide for an inequality.
    """
    low0, high0 = source.joint_bounds(0)
    low1, high1 = source.joint_bounds(1)
    low2, high2 = source.joint_bounds(2)
    # For a decoy weight of 1: n = 0 and n = 2 as equations for what signal and vacuum take away.
    taken = np.linalg.solve([[low2[0], low2[2]], [low0[0], low0[2]]], [high2[1], high0[1]])
    shape = np.array([-taken[0], 1.0, -taken[1]])
    worst = np.array([low1[0], high1[1], low1[2]])
    return _scaled(shape, worst) if taken.min() >= 0 else np.zeros(3)


def single_photon_weights_one_decoy(source: SourceModel) -> tuple[Floats, float]:
    r"""Weights of signal and decoy, and the weight of empty pulses: :math:`N_1 \ge v\cdot n^* - \omega N_0`.

    Two classes cannot tell empty pulses from single photons; an upper bound of N_0 comes from errors.
    Rusca et al., APL 112, 171104 (2018), equation 3, with exact intensities.  Returns shape (2,) and a float.
    """
    low0, high0 = source.joint_bounds(0)
    low1, high1 = source.joint_bounds(1)
    low2, high2 = source.joint_bounds(2)
    shape = np.array([-high2[1] / low2[0], 1.0])
    weights = _scaled(shape, np.array([low1[0], high1[1]]))
    empty = np.array([low0[0], high0[1]])
    return weights, float(weights @ empty) / float(empty.sum())


def single_photon_error_weights(source: SourceModel) -> Floats:
    r"""Weights of an upper bound of single-photon errors from counts of errors, shape (classes,).

    Three classes: decoy less vacuum. Two: signal less decoy, the empty pulses' part taken out by both.
    """
    bright, dim = (1, 2) if source.classes == 3 else (0, 1)
    low0, high0 = source.joint_bounds(0)
    low1, high1 = source.joint_bounds(1)
    shape = np.zeros(source.classes)
    shape[bright], shape[dim] = 1.0, -low0[bright] / high0[dim]
    worst = high1.copy()
    worst[bright] = low1[bright]
    return _scaled(shape, worst)


def vacuum_weights(source: SourceModel) -> Floats:
    """Weights of a lower bound of empty pulses, three classes: vacuum less what leaks into it.  shape (3,)"""
    low0, high0 = source.joint_bounds(0)
    low1, high1 = source.joint_bounds(1)
    shape = np.array([0.0, -high1[2] / low1[1], 1.0])
    return _scaled(shape, np.array([low0[0], low0[1], high0[2]]))


def _scaled(shape: Floats, worst: Floats) -> Floats:
    """The shape as steep as the condition on the bounded photon number allows; zero if it allows none."""
    reach = float(shape @ worst)
    weights: Floats = shape * (worst.sum() / reach) if reach > 0 else np.zeros_like(shape)
    return weights
