"""Bright light on the link: beacon, laser downlink and uplink, what of it arrives, and what of it disturbs.

Mean powers from settings; fading multiplies them elsewhere. The loss that a station's calibration adds is
charged to the laser link and the beacon (an unexplained loss is taken for one of the common path) but not to
crosstalk, which is thereby overestimated rather than under. Knows no orbit and no clock.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Laser, Satellite, Station
from satqkd.optics.atmosphere import atmosphere_transmittance, zenith_depths, zenith_optical_depth
from satqkd.optics.beam import laser_beam
from satqkd.optics.crosstalk import arriving_light_rate_hz, uplink_backscatter_rate_hz
from satqkd.optics.lasercom import received_power_w
from satqkd.optics.pointing import mean_pointing_fraction
from satqkd.optics.spectrum import photon_energy_j

Array = NDArray[np.float64]

OVERLAP_RANGE_M: Final = 10.0
"""Assumed: from here on the uplink's beam lies in the receiver's field of view."""


def zenith_depth(station: Station, wavelength_m: float) -> float:
    """Optical depth over a station: its own number at any wavelength, or that of its visibility."""
    if station.visibility_m is None:
        return 0.0 if station.zenith_optical_depth is None else station.zenith_optical_depth
    return float(
        zenith_optical_depth(wavelength_m, visibility_m=station.visibility_m, altitude_m=station.altitude_m)
    )


def arriving_power_w(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    laser: Laser,
    *,
    station: Station,
    receiver_diameter_m: float,
    cloud_db: ArrayLike = 0.0,
) -> Array:
    """Mean power inside a receiver's aperture, up or down, pointed perfectly; arrays broadcast."""
    air = atmosphere_transmittance(
        elevation_rad, zenith_optical_depth=zenith_depth(station, laser.wavelength_m)
    )
    return received_power_w(
        laser.power_w,
        range_m=range_m,
        divergence_rad=laser.divergence_rad,
        convention="gaussian_1e2_full",
        receiver_radius_m=receiver_diameter_m / 2,
        atmosphere_transmittance=air * 10 ** (-np.asarray(cloud_db) / 10),
    )


def beacon_photons(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    cloud_db: ArrayLike,
    *,
    satellite: Satellite,
    station: Station,
) -> Array:
    """Mean photons of a beacon pulse inside the station's aperture, pointed perfectly; inf with no laser."""
    laser = satellite.beacon.laser
    if laser is None:
        return np.full(np.broadcast(range_m, elevation_rad).shape, np.inf)
    power_w = arriving_power_w(
        range_m,
        elevation_rad,
        laser,
        station=station,
        receiver_diameter_m=station.telescope_diameter_m,
        cloud_db=cloud_db,
    )
    unexplained = 10 ** (-station.calibration_loss_db / 10)
    return np.asarray(power_w * unexplained / satellite.beacon.rate_hz / photon_energy_j(laser.wavelength_m))


def crosstalk_rate_hz(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    cloud_db: ArrayLike,
    *,
    satellite: Satellite,
    station: Station,
) -> Array:
    """Counts a second of bright light in the single-photon detectors, all together, efficiency included.

    Beacons are taken as their mean light: that their counts come in step with them is left out.
    """
    receiver, sent = station.receiver, satellite.transmitter
    efficiency = float(receiver.detector.each("efficiency").mean())
    total = np.zeros(np.broadcast(range_m, elevation_rad, cloud_db).shape)
    isolation = receiver.isolation
    for laser, isolation_db in (
        (satellite.beacon.laser, isolation.beacon_db),
        (satellite.lasercom.laser, isolation.downlink_db),
    ):
        if laser is None or isolation_db is None:
            continue
        power_w = arriving_power_w(
            range_m,
            elevation_rad,
            laser,
            station=station,
            receiver_diameter_m=station.telescope_diameter_m,
            cloud_db=cloud_db,
        ) * mean_pointing_fraction(
            sent.pointing_jitter_rad,
            half_angle_rad=laser_beam(laser).half_angle_rad,
            bias_rad=sent.pointing_bias_rad,
        )
        total = total + arriving_light_rate_hz(
            power_w,
            wavelength_m=laser.wavelength_m,
            optics_transmittance=receiver.optics_transmittance,
            detector_efficiency=efficiency,
            isolation_db=isolation_db,
        )
    uplink = station.lasercom.laser
    if uplink is not None and isolation.uplink_db is not None:
        total = total + uplink_backscatter_rate_hz(
            uplink.power_w,
            elevation_rad=elevation_rad,
            wavelength_m=uplink.wavelength_m,
            altitude_m=station.altitude_m,
            aerosol_optical_depth=_aerosol_depth(station, uplink.wavelength_m),
            telescope_diameter_m=station.telescope_diameter_m,
            overlap_range_m=OVERLAP_RANGE_M,
            optics_transmittance=receiver.optics_transmittance,
            detector_efficiency=efficiency,
            isolation_db=isolation.uplink_db,
        )
    return total


def _aerosol_depth(station: Station, wavelength_m: float) -> float:
    """Of the visibility; all of the depth where that is given as one number."""
    if station.visibility_m is None:
        return zenith_depth(station, wavelength_m)
    depths = zenith_depths(wavelength_m, visibility_m=station.visibility_m, altitude_m=station.altitude_m)
    return float(depths.aerosol)
