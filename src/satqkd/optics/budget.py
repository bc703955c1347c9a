"""The link budget: every loss between the satellite's exit and a count, in dB, and the background.

Mean values at given ranges and elevations; fading around them is not here. Knows no orbit and no clock.
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Satellite, Station
from satqkd.errors import ConfigError
from satqkd.optics.atmosphere import atmosphere_transmittance
from satqkd.optics.background import background_rate_hz
from satqkd.optics.diffraction import (
    collected_fraction_of_divergence,
    gaussian_half_angle_rad,
    narrowest_half_angle_rad,
)
from satqkd.optics.pointing import mean_pointing_fraction

Array = NDArray[np.float64]


class LinkLosses(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Losses in dB, positive, and what follows from them; all arrays of one shape, float64.

    Below the horizon the atmosphere's loss and the total are infinite and the transmittance is 0.
    """

    diffraction_db: Array
    pointing_db: Array
    atmosphere_db: Array
    receiver_db: Array
    """Optics of the receiver, up to a detector's face."""
    calibration_db: Array
    """What no named part explains; see the station's preset."""
    detector_db: Array
    total_db: Array
    """Sum of all of the above."""
    transmittance: Array
    """From the satellite's exit to a detector's face, in [0, 1]: all of the above but the detector."""
    background_hz: Array
    """Sky counts a second, all detectors together, detector efficiency included, no gate."""


def link_losses(
    look_range_m: ArrayLike, elevation_rad: ArrayLike, *, satellite: Satellite, station: Station
) -> LinkLosses:
    """Mean losses at these slant ranges and true elevations.

    look_range_m, elevation_rad: broadcast against each other. Background light passes the receiver's
    optics but is not charged the calibration loss, which belongs to the beam.
    Raises ConfigError for a divergence that the satellite's aperture cannot form.
    """
    _check_divergence(satellite)
    R, h = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (look_range_m, elevation_rad)))
    sent, received = satellite.transmitter, station.receiver
    diffraction = collected_fraction_of_divergence(
        R,
        divergence_rad=sent.divergence_rad,
        convention=sent.divergence_convention,
        receiver_radius_m=station.telescope_diameter_m / 2,
    )
    pointing = mean_pointing_fraction(
        sent.pointing_jitter_rad,
        half_angle_rad=gaussian_half_angle_rad(sent.divergence_rad, sent.divergence_convention),
        bias_rad=sent.pointing_bias_rad,
    )
    air = atmosphere_transmittance(h, zenith_optical_depth=station.zenith_optical_depth)
    light_path = {
        "diffraction_db": loss_db(diffraction),
        "pointing_db": np.full_like(R, loss_db(pointing)),
        "atmosphere_db": loss_db(air),
        "receiver_db": np.full_like(R, loss_db(received.optics_transmittance)),
        "calibration_db": np.full_like(R, station.calibration_loss_db),
    }
    detector_db = np.full_like(R, loss_db(received.detector.efficiency))
    path_db = np.sum(list(light_path.values()), axis=0)
    return LinkLosses(
        **light_path,
        detector_db=detector_db,
        total_db=path_db + detector_db,
        transmittance=10 ** (-path_db / 10),
        background_hz=np.full_like(R, _background_hz(satellite, station)),
    )


def loss_db(fraction: ArrayLike) -> Array:
    r""":math:`-10\log_{10}` of a fraction, any shape; infinite where the fraction is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(0.0 - 10 * np.log10(np.asarray(fraction, dtype=np.float64)))


def _background_hz(satellite: Satellite, station: Station) -> Array:
    return background_rate_hz(
        station.sky_radiance_w_m2_sr_um,
        field_of_view_rad=station.field_of_view_rad,
        filter_width_m=station.filter_width_m,
        telescope_diameter_m=station.telescope_diameter_m,
        wavelength_m=satellite.source.wavelength_m,
        optics_transmittance=station.receiver.optics_transmittance,
        detector_efficiency=station.receiver.detector.efficiency,
    )


def _check_divergence(satellite: Satellite) -> None:
    sent = satellite.transmitter
    half_angle_rad = gaussian_half_angle_rad(sent.divergence_rad, sent.divergence_convention)
    limit_rad = narrowest_half_angle_rad(
        wavelength_m=satellite.source.wavelength_m, aperture_radius_m=sent.aperture_diameter_m / 2
    )
    if half_angle_rad < limit_rad:
        least_urad = sent.divergence_rad * limit_rad / half_angle_rad * 1e6
        raise ConfigError(
            f"satellite {satellite.name}: transmitter.divergence {sent.divergence_rad * 1e6:.3g} urad "
            f"({sent.divergence_convention}) is below the diffraction limit {least_urad:.3g} urad of its "
            f"{sent.aperture_diameter_m * 1e3:.4g} mm aperture; give a larger divergence or aperture"
        )
