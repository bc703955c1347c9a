"""Bright light on the link: beacon, laser downlink and uplink, what of it arrives, and what of it disturbs.

Mean powers from settings; fading multiplies them elsewhere. The loss that a station's calibration adds is
charged to the laser link and the beacon (an unexplained loss is taken for one of the common path) but not to
crosstalk, which is thereby overestimated rather than under. Knows no orbit and no clock.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satqkd.config import Laser, Satellite, Station
from satqkd.optics.air import station_aerosol_depth, station_optical_depth
from satqkd.optics.atmosphere import atmosphere_transmittance
from satqkd.optics.beam import laser_beam, mean_pointing
from satqkd.optics.crosstalk import arriving_light_rate_hz, uplink_backscatter_rate_hz
from satqkd.optics.decibel import fraction_of_db
from satqkd.optics.spectrum import photon_energy_j

Array = NDArray[np.float64]


def arriving_power_w(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    laser: Laser,
    *,
    station: Station,
    receiver_diameter_m: float,
    receiver_obscuration: float = 0.0,
    cloud_db: ArrayLike = 0.0,
) -> Array:
    """Mean power inside a receiver's aperture, up or down, pointed perfectly; arrays broadcast."""
    depth = station_optical_depth(station, laser.wavelength_m)
    air = atmosphere_transmittance(elevation_rad, zenith_optical_depth=depth)
    collected = laser_beam(laser).collected(range_m, receiver_diameter_m / 2, receiver_obscuration)
    return np.asarray(laser.power_w * collected * air * fraction_of_db(cloud_db))


def beacon_photons(
    range_m: ArrayLike,
    elevation_rad: ArrayLike,
    cloud_db: ArrayLike,
    *,
    satellite: Satellite,
    station: Station,
) -> Array:
    """Mean photons of a beacon pulse inside the station's aperture, pointed perfectly; inf with no laser."""
    beacon = satellite.beacon
    laser = None if beacon is None else beacon.laser
    if beacon is None or laser is None:
        return np.full(np.broadcast(range_m, elevation_rad).shape, np.inf)
    power_w = _through_the_telescope_w(range_m, elevation_rad, laser, cloud_db, station)
    power_w = power_w * fraction_of_db(station.calibration_loss_db)
    return np.asarray(power_w / beacon.rate_hz / photon_energy_j(laser.wavelength_m))


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
    isolation, beacon = station.receiver.isolation, satellite.beacon
    total = np.zeros(np.broadcast(range_m, elevation_rad, cloud_db).shape)
    for laser, isolation_db in (
        (None if beacon is None else beacon.laser, isolation.beacon_db),
        (satellite.lasercom.laser, isolation.downlink_db),
    ):
        if laser is not None and isolation_db is not None:
            power_w = _through_the_telescope_w(range_m, elevation_rad, laser, cloud_db, station)
            pointed = mean_pointing(laser_beam(laser).half_angle_rad, satellite.transmitter)
            total = total + arriving_light_rate_hz(
                power_w * pointed,
                wavelength_m=laser.wavelength_m,
                optics_transmittance=station.receiver.optics_transmittance,
                detector_efficiency=station.receiver.detector.mean_efficiency,
                isolation_db=isolation_db,
            )
    return total + _backscatter_hz(elevation_rad, station)


def _backscatter_hz(elevation_rad: ArrayLike, station: Station) -> Array:
    laser, isolation = station.lasercom.laser, station.receiver.isolation
    if laser is None or isolation.uplink_db is None or isolation.uplink_overlap_m is None:
        return np.zeros(np.shape(elevation_rad))
    return uplink_backscatter_rate_hz(
        laser.power_w,
        elevation_rad=elevation_rad,
        wavelength_m=laser.wavelength_m,
        altitude_m=station.altitude_m,
        aerosol_optical_depth=station_aerosol_depth(station, laser.wavelength_m),
        telescope_diameter_m=station.telescope_diameter_m * np.sqrt(1 - station.central_obscuration**2),
        overlap_range_m=isolation.uplink_overlap_m,
        optics_transmittance=station.receiver.optics_transmittance,
        detector_efficiency=station.receiver.detector.mean_efficiency,
        isolation_db=isolation.uplink_db,
    )


def _through_the_telescope_w(
    range_m: ArrayLike, elevation_rad: ArrayLike, laser: Laser, cloud_db: ArrayLike, station: Station
) -> Array:
    return arriving_power_w(
        range_m,
        elevation_rad,
        laser,
        station=station,
        receiver_diameter_m=station.telescope_diameter_m,
        receiver_obscuration=station.central_obscuration,
        cloud_db=cloud_db,
    )
