"""The link budget: every loss between the satellite's exit and a count, in dB, the noise, and the errors.

Mean values at given ranges and elevations, and how strongly the light fades around them; the fading itself
is a time series elsewhere. Knows no orbit and no clock: what Sun, Moon, motion and cloud do comes in as
`Conditions`.
"""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Satellite, Station
from satqkd.optics.air import station_optical_depth, station_profile, turbulent_elevation_rad
from satqkd.optics.atmosphere import atmosphere_transmittance
from satqkd.optics.background import background_rate_hz, satellite_glint_rate_hz, sky_radiance_w_m2_sr_um
from satqkd.optics.beam import Beam, check_divergence, mean_pointing, quantum_beam
from satqkd.optics.bright import crosstalk_rate_hz
from satqkd.optics.decibel import fraction_of_db, loss_db
from satqkd.optics.polarisation import (
    combined_error,
    crossed_contrasts,
    error_of_contrast,
    error_probabilities,
)
from satqkd.optics.spectrum import doppler_shift_m, filter_transmittance
from satqkd.optics.turbulence import scintillation_index

Array = NDArray[np.float64]

NADIR_RAD: Final = -np.pi / 2


class Conditions(NamedTuple):
    """What besides range and elevation decides about the light; arrays broadcast against those.

    The defaults are a dark, moonless, cloudless moment of a link at rest with aligned frames.
    """

    range_rate_m_s: ArrayLike = 0.0
    residual_angle_rad: ArrayLike = 0.0
    """Between the polarisation frames after compensation."""
    sun_elevation_rad: ArrayLike = NADIR_RAD
    moon_elevation_rad: ArrayLike = NADIR_RAD
    moon_phase_angle_rad: ArrayLike = np.pi
    moon_separation_rad: ArrayLike = np.pi / 2
    sunlit: ArrayLike = False
    """Whether the satellite is."""
    cloud_db: ArrayLike = 0.0


class LinkLosses(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Losses in dB, positive, and what follows from them; all arrays of one shape, float64.

    Below the horizon the atmosphere's loss and the total are infinite and the transmittance is 0.
    """

    diffraction_db: Array
    pointing_db: Array
    atmosphere_db: Array
    cloud_db: Array
    receiver_db: Array
    """Optics of the receiver up to a detector's face, the filter's for the Doppler-shifted line included."""
    calibration_db: Array
    """What no named part explains; see the station's preset."""
    detector_db: Array
    """Mean efficiency of the four."""
    total_db: Array
    """Sum of all of the above."""
    transmittance: Array
    """From the satellite's exit to a detector's face, in [0, 1]: all of the above but the detector."""
    background_hz: Array
    """Sky and sunlit satellite: counts a second, all detectors, efficiency included, no gate."""
    crosstalk_hz: Array
    """Beacon, downlink and backscattered uplink: the same."""
    error_z: Array
    """Probability that a photon sent and measured in Z reaches the wrong detector."""
    error_x: Array
    fading_variance: Array
    """Of the instantaneous transmittance, relative to its mean squared."""
    scintillation_index: Array
    """The part of it that turbulence makes."""


def link_losses(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    *,
    satellite: Satellite,
    station: Station,
    conditions: Conditions | None = None,
) -> LinkLosses:
    """Mean losses, noise and errors at these slant ranges and true elevations.

    range_m, elevation_rad and the conditions broadcast against each other. Noise passes the receiver's
    optics but is not charged the calibration loss, which belongs to the beam.
    Raises ConfigError for a divergence that the satellite's aperture cannot form.
    """
    check_divergence(satellite)
    around = Conditions() if conditions is None else conditions
    R, h, *_ = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (range_m, elevation_rad, *around))
    )
    beam = quantum_beam(satellite)
    parts = _parts_db(R, h, beam, satellite, station, around)
    detector_db = _full(loss_db(station.receiver.detector.mean_efficiency), R)
    path_db = np.sum(list(parts.values()), axis=0)
    error_z, error_x = _errors(satellite, station, around)
    index = _scintillation(h, satellite, station)
    return LinkLosses(
        **parts,
        detector_db=detector_db,
        total_db=path_db + detector_db,
        transmittance=fraction_of_db(path_db),
        background_hz=_full(_background_hz(R, h, satellite, station, around), R),
        crosstalk_hz=_full(crosstalk_rate_hz(R, h, around.cloud_db, satellite=satellite, station=station), R),
        error_z=_full(error_z, R),
        error_x=_full(error_x, R),
        fading_variance=(1 + _pointing_variance(beam, satellite)) * (1 + index) - 1,
        scintillation_index=index,
    )


def _parts_db(
    R: Array, h: Array, beam: Beam, satellite: Satellite, station: Station, around: Conditions
) -> dict[str, Array]:
    collected = beam.collected(R, station.telescope_diameter_m / 2, station.central_obscuration)
    depth = station_optical_depth(station, satellite.source.wavelength_m)
    passed = station.receiver.optics_transmittance * filter_transmittance(
        doppler_shift_m(around.range_rate_m_s, wavelength_m=satellite.source.wavelength_m),
        width_m=station.filter_width_m,
    )
    return {
        "diffraction_db": loss_db(collected),
        "pointing_db": _full(loss_db(mean_pointing(beam.half_angle_rad, satellite.transmitter)), R),
        "atmosphere_db": loss_db(atmosphere_transmittance(h, zenith_optical_depth=depth)),
        "cloud_db": _full(around.cloud_db, R),
        "receiver_db": _full(loss_db(passed), R),
        "calibration_db": _full(station.calibration_loss_db, R),
    }


def _pointing_variance(beam: Beam, satellite: Satellite) -> float:
    """Relative variance that moving pointing makes; a Gaussian's square is one of 1/sqrt 2 the angle."""
    sent = satellite.transmitter
    if sent.pointing_correlation_s is None:
        return 0.0
    square = mean_pointing(beam.half_angle_rad / float(np.sqrt(2)), sent)
    return square / mean_pointing(beam.half_angle_rad, sent) ** 2 - 1


def _scintillation(h: Array, satellite: Satellite, station: Station) -> Array:
    profile = station_profile(station)
    if profile is None:
        return np.zeros_like(h)
    index = scintillation_index(
        turbulent_elevation_rad(h),
        profile=profile,
        wavelength_m=satellite.source.wavelength_m,
        aperture_diameter_m=station.telescope_diameter_m,
    )
    return np.where(h > 0, index, 0.0)


def crossed_of(satellite: Satellite, station: Station, angle_rad: ArrayLike) -> Array:
    """Contrast of detections in the other basis where the light's axes lie at `angle_rad` in the receiver,
    shape (2, ...), row 0 sent in Z; the signs are those of `crossed_contrasts`."""
    return crossed_contrasts(angle_rad, **_imperfections(satellite, station))


def _errors(satellite: Satellite, station: Station, around: Conditions) -> Array:
    return error_probabilities(around.residual_angle_rad, **_imperfections(satellite, station))


def _imperfections(satellite: Satellite, station: Station) -> dict[str, Any]:
    """What optics and path do to polarisation, by the names of `error_probabilities`."""
    sent_db, axes = satellite.source.polarisation_extinction_db, station.receiver.polarisation
    impure = 0.0 if sent_db is None else float(error_of_contrast(1 / fraction_of_db(sent_db)))
    error = combined_error([impure, station.receiver.optical_error])
    return {
        "optical_error_z": error,
        "optical_error_x": error,
        "depolarisation": axes.depolarisation,
        "retardance_rad": axes.retardance_rad,
    }


def _background_hz(R: Array, h: Array, satellite: Satellite, station: Station, around: Conditions) -> Array:
    wavelength_m, receiver = satellite.source.wavelength_m, station.receiver
    depth = station_optical_depth(station, wavelength_m)
    radiance = sky_radiance_w_m2_sr_um(
        dark_sky_w_m2_sr_um=station.sky_radiance_w_m2_sr_um,
        elevation_rad=h,
        sun_elevation_rad=around.sun_elevation_rad,
        moon_elevation_rad=around.moon_elevation_rad,
        moon_phase_angle_rad=around.moon_phase_angle_rad,
        moon_separation_rad=around.moon_separation_rad,
        wavelength_m=wavelength_m,
        zenith_optical_depth=depth,
    )
    telescope = {
        "filter_width_m": station.filter_width_m,
        "telescope_diameter_m": station.telescope_diameter_m * np.sqrt(1 - station.central_obscuration**2),
        "wavelength_m": wavelength_m,
        "optics_transmittance": receiver.optics_transmittance,
        "detector_efficiency": receiver.detector.mean_efficiency,
    }
    sky_hz = background_rate_hz(radiance, field_of_view_rad=station.field_of_view_rad, **telescope)
    if satellite.sunlit_magnitude is None:
        return sky_hz
    glint_hz = satellite_glint_rate_hz(
        R,
        magnitude_at_1000_km=satellite.sunlit_magnitude,
        transmittance=atmosphere_transmittance(h, zenith_optical_depth=depth)
        * fraction_of_db(around.cloud_db),
        **telescope,
    )
    return np.asarray(sky_hz + np.where(around.sunlit, glint_hz, 0.0))


def _full(value: ArrayLike, like: Array) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), like.shape).copy()
