"""How much light arrives: diffraction, pointing, air, receiver, background; losses, noise and mean rates.

Free functions on arrays; knows no orbit, no clock and no protocol.
"""

from satqkd.optics.atmosphere import airmass, atmosphere_transmittance
from satqkd.optics.background import background_rate_hz
from satqkd.optics.budget import LinkLosses, link_losses, loss_db
from satqkd.optics.diffraction import (
    collected_fraction,
    collected_fraction_of_divergence,
    gaussian_half_angle_rad,
    narrowest_half_angle_rad,
)
from satqkd.optics.pointing import mean_pointing_fraction
from satqkd.optics.rates import ExpectedRates, expected_rates, gate_fraction, matching_basis_probability

__all__ = [
    "ExpectedRates",
    "LinkLosses",
    "airmass",
    "atmosphere_transmittance",
    "background_rate_hz",
    "collected_fraction",
    "collected_fraction_of_divergence",
    "expected_rates",
    "gate_fraction",
    "gaussian_half_angle_rad",
    "link_losses",
    "loss_db",
    "matching_basis_probability",
    "mean_pointing_fraction",
    "narrowest_half_angle_rad",
]
