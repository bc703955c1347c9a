"""Decibels: losses, positive."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def loss_db(fraction: ArrayLike) -> NDArray[np.float64]:
    r""":math:`-10\log_{10}` of a fraction, any shape; infinite where the fraction is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(0.0 - 10 * np.log10(np.asarray(fraction, dtype=np.float64)))
