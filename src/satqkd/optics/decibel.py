"""Decibels: losses, positive, and the fractions they leave."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def loss_db(fraction: ArrayLike) -> NDArray[np.float64]:
    r""":math:`-10\log_{10}` of a fraction, any shape; infinite where the fraction is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(0.0 - 10 * np.log10(np.asarray(fraction, dtype=np.float64)))


def fraction_of_db(loss_db: ArrayLike) -> NDArray[np.float64]:
    r""":math:`10^{-x/10}` of a loss, any shape; 0 where it is infinite."""
    return np.asarray(10 ** (-np.asarray(loss_db, dtype=np.float64) / 10))
