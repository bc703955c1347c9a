"""How much light arrives: beams, pointing, air, receiver, noise, polarisation; losses, fading and mean rates.

Free functions on arrays; knows no orbit, no clock and no protocol.
"""

from satqkd.optics.air import station_optical_depth, station_profile, turbulent_elevation_rad
from satqkd.optics.atmosphere import airmass, atmosphere_transmittance, zenith_optical_depth
from satqkd.optics.background import background_rate_hz, sky_radiance_w_m2_sr_um
from satqkd.optics.beam import Beam, laser_beam, mean_pointing, quantum_beam
from satqkd.optics.bright import arriving_power_w, beacon_photons, crosstalk_rate_hz
from satqkd.optics.budget import Conditions, LinkLosses, crossed_of, link_losses
from satqkd.optics.cn2 import Profile, hufnagel_valley_profile
from satqkd.optics.decibel import fraction_of_db, loss_db
from satqkd.optics.diffraction import (
    collected_fraction,
    collected_fraction_of_divergence,
    equivalent_half_angle_rad,
    gaussian_half_angle_rad,
    narrowest_half_angle_rad,
)
from satqkd.optics.fading import (
    gaussian_process,
    pointing_error_rad,
    pointing_factor,
    process_correlation_time_s,
    scintillation_factor,
)
from satqkd.optics.gate import GateShares, gate_shares
from satqkd.optics.lasercom import frame_error_rate, receiver_noise
from satqkd.optics.pointing import mean_pointing_fraction
from satqkd.optics.polarisation import error_probabilities, residual_angle_rad, stepping_contrast
from satqkd.optics.rates import ExpectedRates, expected_rates, gate_fits
from satqkd.optics.spectrum import doppler_shift_m, filter_transmittance
from satqkd.optics.turbulence import (
    beam_wander_correlation_time_s,
    intensity_correlation_time_s,
    scintillation_index,
    uplink_beam_wander_rad,
    uplink_scintillation_index,
)

__all__ = [
    "Beam",
    "Conditions",
    "ExpectedRates",
    "GateShares",
    "LinkLosses",
    "Profile",
    "airmass",
    "arriving_power_w",
    "atmosphere_transmittance",
    "background_rate_hz",
    "beacon_photons",
    "beam_wander_correlation_time_s",
    "collected_fraction",
    "collected_fraction_of_divergence",
    "crossed_of",
    "crosstalk_rate_hz",
    "doppler_shift_m",
    "equivalent_half_angle_rad",
    "error_probabilities",
    "expected_rates",
    "filter_transmittance",
    "fraction_of_db",
    "frame_error_rate",
    "gate_fits",
    "gate_shares",
    "gaussian_half_angle_rad",
    "gaussian_process",
    "hufnagel_valley_profile",
    "intensity_correlation_time_s",
    "laser_beam",
    "link_losses",
    "loss_db",
    "mean_pointing",
    "mean_pointing_fraction",
    "narrowest_half_angle_rad",
    "pointing_error_rad",
    "pointing_factor",
    "process_correlation_time_s",
    "quantum_beam",
    "receiver_noise",
    "residual_angle_rad",
    "scintillation_factor",
    "scintillation_index",
    "sky_radiance_w_m2_sr_um",
    "station_optical_depth",
    "station_profile",
    "stepping_contrast",
    "turbulent_elevation_rad",
    "uplink_beam_wander_rad",
    "uplink_scintillation_index",
    "zenith_optical_depth",
]
