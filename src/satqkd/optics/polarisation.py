"""Polarisation: how often a photon ends in the wrong detector of its basis, and what a turning frame adds.

Basis 0 = Z (H, V), basis 1 = X (+, -). A state of a basis is a direction on the Poincare sphere; what is left
of its length along that direction at the analyser is the visibility, v = 1 - 2e. Independent causes multiply
visibilities. Detections in the other basis tell which way round the angle is. Knows no orbit: angles in time
are given.
Source: Stokes parameters, e.g. Born & Wolf, Principles of Optics; the tests rebuild it from Jones matrices.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.errors import ConfigError

Array = NDArray[np.float64]

_AXIS_PERIOD_RAD: Final = np.pi
"""A polarisation axis turned by this is the same axis."""


def error_probabilities(
    angle_rad: ArrayLike,
    *,
    optical_error_z: ArrayLike,
    optical_error_x: ArrayLike,
    depolarisation: ArrayLike = 0.0,
    retardance_rad: ArrayLike = 0.0,
) -> Array:
    r"""Error probability of a detection per basis; shape (2, ...), row 0 = Z, row 1 = X.

    .. math::  1 - 2e_Z = (1-2e_{0Z})(1-p)\cos2\psi, \qquad 1 - 2e_X = (1-2e_{0X})(1-p)\cos2\psi\cos\varphi

    angle_rad: psi, by which the receiver's axes are turned from the sender's, either way round (alone an
    error of sin^2 psi); optical_error_z, _x: e_0, what source and receiver do by themselves (`combined_error`
    of `error_of_contrast`); depolarisation: p, share of the light that has lost its polarisation;
    retardance_rad: phi, phase of V against H, of either sign, left by mirrors whose s and p lie along H and V
    of the sender or of the receiver. It turns + towards circular and leaves H and V alone.
    The arrays broadcast. Beyond a quarter turn errors exceed one half: the bits are inverted.
    """
    kept = (1 - np.asarray(depolarisation, dtype=np.float64)) * np.cos(2 * np.asarray(angle_rad))
    visibility_z = kept * (1 - 2 * np.asarray(optical_error_z, dtype=np.float64))
    visibility_x = kept * (1 - 2 * np.asarray(optical_error_x, dtype=np.float64)) * np.cos(retardance_rad)
    return (1 - np.stack(np.broadcast_arrays(visibility_z, visibility_x))) / 2


def crossed_contrasts(
    angle_rad: ArrayLike,
    *,
    optical_error_z: ArrayLike,
    optical_error_x: ArrayLike,
    depolarisation: ArrayLike = 0.0,
    retardance_rad: ArrayLike = 0.0,
) -> Array:
    r"""Contrast of detections in the *other* basis by the basis that was sent; shape (2, ...), as above.

    .. math::  s_Z = (1-2e_{0Z})(1-p)\sin2\psi, \qquad s_X = (1-2e_{0X})(1-p)\sin2\psi\cos\varphi

    A photon sent in Z as bit b gives bit b in X with probability (1 + s_Z)/2; one sent in X gives b in Z with
    (1 - s_X)/2: what turns H toward + turns + toward V. angle_rad has a sign here: positive where the light's
    axes lie from the receiver's toward + from H. The retarder is taken to lie along the sender's axes.
    """
    errors = error_probabilities(
        np.asarray(angle_rad, dtype=np.float64) - np.pi / 4,  # sin 2psi is the cosine of an eighth turn less
        optical_error_z=optical_error_z,
        optical_error_x=optical_error_x,
        depolarisation=depolarisation,
        retardance_rad=retardance_rad,
    )
    return np.asarray(1 - 2 * errors)


def error_of_contrast(ratio: ArrayLike) -> Array:
    """Error of a part with this contrast: counts in the right detector over those in the wrong one."""
    return np.asarray(1 / (1 + np.asarray(ratio, dtype=np.float64)))


def combined_error(errors: ArrayLike) -> Array:
    r"""Error of parts in a row, :math:`1 - 2e = \prod_i (1 - 2e_i)`, over the first axis of `errors`."""
    return np.asarray((1 - np.prod(1 - 2 * np.asarray(errors, dtype=np.float64), axis=0)) / 2)


def half_wave_plate_angle_rad(angle_rad: ArrayLike) -> Array:
    r"""Setting of the plate that undoes a frame turned by psi: :math:`\theta = \psi/2`.

    A half-wave plate with its axis at theta turns a linear polarisation at alpha to 2 theta - alpha: turning
    the plate by theta turns the light by 2 theta. What is left is a fixed mirror image, H and V as they were,
    + and - exchanged, which the labels of the detectors absorb.
    """
    return np.asarray(angle_rad, dtype=np.float64) / 2


def residual_angle_rad(
    angle_rad: ArrayLike, *, time_s: ArrayLike, update_interval_s: float, static_rad: ArrayLike = 0.0
) -> Array:
    r"""Angle between the frames that a half-wave plate, moved in steps, leaves in effect; shape (n,).

    .. math::  \cos 2\psi = \cos 2\psi_0\;\frac{\sin a}{a}, \qquad a = \dot\Psi\,\Delta

    The plate stands for the angle at the middle of its interval Delta, so what is left of the turn at rate
    dPsi/dt is spread evenly over +- a/2; psi is the angle that makes the mean error of an interval. It does
    not depend on where in an interval the times lie. angle_rad: predicted turn Psi at time_s, both of shape
    (n,), n >= 2, times increasing; a jump by half a turn is no motion of an axis and is taken out.
    update_interval_s: 0 follows the angle. static_rad: psi_0, what calibration leaves, a number or shape
    (n,), in angle of polarisation: twice an error of the plate. The sign is that of psi_0.
    """
    stepping = stepping_contrast(angle_rad, time_s=time_s, update_interval_s=update_interval_s)
    kept = np.cos(2 * np.asarray(static_rad)) * stepping
    return np.asarray(np.copysign(np.arccos(np.clip(kept, -1.0, 1.0)) / 2, static_rad))


def stepping_contrast(angle_rad: ArrayLike, *, time_s: ArrayLike, update_interval_s: float) -> Array:
    r"""Visibility that the steps of a half-wave plate leave, :math:`\sin a/a` as above, shape (n,).

    It multiplies the contrast in both bases: the spread about the plate's middle is as wide either way round.
    update_interval_s: 0 follows the angle. Raises ConfigError below 0.
    """
    if update_interval_s < 0:
        raise ConfigError(
            f"update_interval_s: expected 0 or more, got {update_interval_s:g}; 0 follows the angle"
        )
    turn = np.unwrap(np.asarray(angle_rad, dtype=np.float64), period=_AXIS_PERIOD_RAD)
    moved = np.gradient(turn, np.asarray(time_s, dtype=np.float64)) * update_interval_s
    return np.asarray(np.sinc(moved / np.pi))
