"""A beam as settings describe it: by a divergence of stated convention, or by its waist at the aperture.

What the beam gives a telescope, and the Gaussian that stands for it in pointing. Knows no orbit.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Laser, Satellite, Transmitter
from satqkd.errors import ConfigError
from satqkd.optics.diffraction import (
    Convention,
    collected_fraction,
    collected_fraction_of_divergence,
    equivalent_half_angle_rad,
    gaussian_half_angle_rad,
    narrowest_half_angle_rad,
)
from satqkd.optics.pointing import mean_pointing_fraction

Array = NDArray[np.float64]


class Truncated(NamedTuple):
    """A Gaussian through an obscured aperture."""

    wavelength_m: float
    aperture_radius_m: float
    waist_radius_m: float
    transmitter_obscuration: float


class Beam(NamedTuple):
    """A beam in the far field."""

    half_angle_rad: float
    """1/e^2 half angle of the Gaussian that stands for it in pointing."""
    form: Truncated | tuple[float, Convention]
    """Its optics, or its divergence and what that means."""

    def collected(self, range_m: ArrayLike, receiver_radius_m: float, receiver_obscuration: float) -> Array:
        """Fraction of the emitted power that a telescope on the axis catches; shape of range_m."""
        if isinstance(self.form, Truncated):
            return collected_fraction(
                range_m,
                receiver_radius_m=receiver_radius_m,
                receiver_obscuration=receiver_obscuration,
                **self.form._asdict(),
            )
        divergence_rad, convention = self.form
        return collected_fraction_of_divergence(
            range_m,
            divergence_rad=divergence_rad,
            convention=convention,
            receiver_radius_m=receiver_radius_m,
            receiver_obscuration=receiver_obscuration,
        )


def quantum_beam(satellite: Satellite) -> Beam:
    """The beam of the quantum light."""
    sent = satellite.transmitter
    if sent.waist_radius_m is not None:
        optics = Truncated(
            wavelength_m=satellite.source.wavelength_m,
            aperture_radius_m=sent.aperture_diameter_m / 2,
            waist_radius_m=sent.waist_radius_m,
            transmitter_obscuration=sent.central_obscuration,
        )
        return Beam(equivalent_half_angle_rad(**optics._asdict()), optics)
    if sent.divergence_rad is None or sent.divergence_convention is None:
        raise ConfigError(
            f"satellite {satellite.name}: transmitter: expected a divergence or a waist, got neither"
        )
    return Beam(
        gaussian_half_angle_rad(sent.divergence_rad, sent.divergence_convention),
        (sent.divergence_rad, sent.divergence_convention),
    )


def laser_beam(laser: Laser) -> Beam:
    """The beam of a beacon or a laser link."""
    return Beam(laser.divergence_rad / 2, (laser.divergence_rad, "gaussian_1e2_full"))


def mean_pointing(half_angle_rad: float, transmitter: Transmitter) -> float:
    """Mean of the on-axis intensity that a satellite's pointing leaves a beam of this 1/e^2 half angle."""
    return float(
        mean_pointing_fraction(
            transmitter.pointing_jitter_rad,
            half_angle_rad=half_angle_rad,
            bias_rad=transmitter.pointing_bias_rad,
        )
    )


def check_divergence(satellite: Satellite) -> None:
    """Raises ConfigError for a divergence that the aperture cannot form."""
    sent = satellite.transmitter
    if sent.divergence_rad is None or sent.divergence_convention is None:
        return
    half_angle_rad = gaussian_half_angle_rad(sent.divergence_rad, sent.divergence_convention)
    limit_rad = narrowest_half_angle_rad(
        wavelength_m=satellite.source.wavelength_m,
        aperture_radius_m=sent.aperture_diameter_m / 2,
        transmitter_obscuration=sent.central_obscuration,
    )
    if half_angle_rad < limit_rad:
        least_urad = sent.divergence_rad * limit_rad / half_angle_rad * 1e6
        raise ConfigError(
            f"satellite {satellite.name}: transmitter.divergence {sent.divergence_rad * 1e6:.3g} urad "
            f"({sent.divergence_convention}) is below the diffraction limit {least_urad:.3g} urad of its "
            f"{sent.aperture_diameter_m * 1e3:.4g} mm aperture; give a larger divergence or aperture"
        )
