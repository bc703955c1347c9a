"""How much light arrives: beams, pointing, air, receiver, noise, polarisation; losses, fading and mean rates.

Free functions on arrays; knows no orbit, no clock and no protocol.
"""

from satqkd.optics.atmosphere import airmass, atmosphere_transmittance, zenith_optical_depth
from satqkd.optics.background import background_rate_hz, sky_radiance_w_m2_sr_um
from satqkd.optics.beam import Beam, laser_beam, quantum_beam
from satqkd.optics.bright import arriving_power_w, beacon_photons, crosstalk_rate_hz, zenith_depth
from satqkd.optics.budget import Conditions, LinkLosses, link_losses
from satqkd.optics.decibel import loss_db
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
from satqkd.optics.gate import GateShares, gate_fraction, gate_shares
from satqkd.optics.lasercom import frame_error_rate, receiver_noise
from satqkd.optics.pointing import mean_pointing_fraction
from satqkd.optics.polarisation import error_probabilities, residual_angle_rad
from satqkd.optics.rates import ExpectedRates, expected_rates
from satqkd.optics.spectrum import doppler_shift_m, filter_transmittance
from satqkd.optics.turbulence import (
    Profile,
    hufnagel_valley_profile,
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
    "collected_fraction",
    "collected_fraction_of_divergence",
    "crosstalk_rate_hz",
    "doppler_shift_m",
    "equivalent_half_angle_rad",
    "error_probabilities",
    "expected_rates",
    "filter_transmittance",
    "frame_error_rate",
    "gate_fraction",
    "gate_shares",
    "gaussian_half_angle_rad",
    "gaussian_process",
    "hufnagel_valley_profile",
    "intensity_correlation_time_s",
    "laser_beam",
    "link_losses",
    "loss_db",
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
    "uplink_beam_wander_rad",
    "uplink_scintillation_index",
    "zenith_depth",
    "zenith_optical_depth",
]
