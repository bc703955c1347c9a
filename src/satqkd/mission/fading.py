"""What fades on a contact: the quantum beam and the beacon for the twin, both laser links for the emulator.

One pointing error and one scintillation belong to the satellite's beams, which share telescope and air: what
fades the photons fades the beacon and the downlink with them. The uplink has its own: its terminal's jitter,
the wander of its beam, the scintillation of a small aperture. Clouds are in the mean already, on both ways.
Everything is drawn from named streams of the seed, so that twin and emulator agree in separate processes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.config import Laser, LaserReceiver
from satqkd.lasercom import MAXIMUM_DATAGRAM_BYTES, FrameLoss
from satqkd.mission.contact import Contact
from satqkd.optics import (
    Profile,
    arriving_power_w,
    beacon_photons,
    beam_wander_correlation_time_s,
    fraction_of_db,
    frame_error_rate,
    gaussian_process,
    intensity_correlation_time_s,
    laser_beam,
    mean_pointing,
    mean_pointing_fraction,
    pointing_error_rad,
    pointing_factor,
    process_correlation_time_s,
    quantum_beam,
    receiver_noise,
    scintillation_factor,
    scintillation_index,
    station_profile,
    turbulent_elevation_rad,
    uplink_beam_wander_rad,
    uplink_scintillation_index,
)
from satqkd.randomness import stream
from satqkd.records import LinkSeries

Array = NDArray[np.float64]

FADING_STEP_S: Final = 1e-3
"""A kilohertz: shorter than a speckle takes over a telescope of 0.3 m."""
FRAME_BITS: Final = 8 * MAXIMUM_DATAGRAM_BYTES
"""Of the longest datagram, for the frame error rate."""


class Fading:
    """The fading of one contact under one seed; each part is drawn when it is asked for."""

    def __init__(self, contact: Contact, seed: int) -> None:
        self._contact, self._seed = contact, seed
        t_s = contact.look.t_s
        self._n = int(round((t_s[-1] - t_s[0]) / FADING_STEP_S)) + 1
        self._fast_s = np.linspace(t_s[0], t_s[-1], self._n)
        self._step_s = float(self._fast_s[1] - self._fast_s[0])

    def series(self) -> LinkSeries:
        """What the twin takes for nature."""
        look, losses = self._contact.look, self._contact.losses
        satellite = self._contact.satellite
        fading = self._satellite_factor(
            quantum_beam(satellite).half_angle_rad, self._diameter_m, satellite.source.wavelength_m
        )
        crossed = self._contact.course.crossed
        brightest = np.interp(self._fast_s, look.t_s, losses.transmittance)
        return LinkSeries(
            t_s=look.t_s,
            range_m=look.range_m,
            range_rate_m_s=look.range_rate_m_s,
            transmittance=losses.transmittance,
            background_hz=losses.background_hz + losses.crosstalk_hz,
            error_z=losses.error_z,
            error_x=losses.error_x,
            fading=np.minimum(fading, 1 / np.maximum(brightest, 1e-300)),
            beacon_seen=self._beacon_seen(),
            crossed_z=None if crossed is None else crossed[0],
            crossed_x=None if crossed is None else crossed[1],
        )

    def downlink(self) -> FrameLoss:
        """Frame loss of the satellite's laser, in time of emission."""
        return self._frame_loss(self._downlink_w(), down=True)

    def uplink(self) -> FrameLoss:
        """Frame loss of the station's laser, in time of emission."""
        return self._frame_loss(self._uplink_w(), down=False)

    @property
    def _diameter_m(self) -> float:
        return self._contact.station.telescope_diameter_m

    def _satellite_factor(self, half_angle_rad: float, diameter_m: float, wavelength_m: float) -> Array:
        """Instantaneous over mean power of one of the satellite's beams in an aperture on the ground.

        All are drawn from the same numbers; how strongly they twinkle is each beam's own.
        """
        factor = self._scintillation(diameter_m, wavelength_m)
        sent = self._contact.satellite.transmitter
        if sent.pointing_correlation_s is None:
            return factor
        error = pointing_error_rad(
            self._n,
            self._step_s,
            jitter_rad=sent.pointing_jitter_rad,
            bias_rad=sent.pointing_bias_rad,
            correlation_time_s=sent.pointing_correlation_s,
            rng=stream(self._seed, "fading", "pointing"),
        )
        mean = mean_pointing(half_angle_rad, sent)
        return np.asarray(factor * pointing_factor(error, half_angle_rad=half_angle_rad) / mean)

    def _scintillation(self, diameter_m: float, wavelength_m: float) -> Array:
        profile = station_profile(self._contact.station)
        if profile is None:
            return np.ones(self._n)
        index = scintillation_index(
            self._turbulent_rad, profile=profile, wavelength_m=wavelength_m, aperture_diameter_m=diameter_m
        )
        process = self._twinkling(index, profile, wavelength_m, diameter_m, "scintillation")
        return scintillation_factor(process, index=self._fast(index))

    def _twinkling(
        self, index: Array, profile: Profile, wavelength_m: float, diameter_m: float, *names: str
    ) -> Array:
        """A unit process that gives an intensity of this index its correlation time, on the fast grid."""
        intensity_s = intensity_correlation_time_s(
            self._turbulent_rad,
            profile=profile,
            wavelength_m=wavelength_m,
            aperture_diameter_m=diameter_m,
            slew_rad_s=self._slew_rad_s,
            ground_wind_m_s=self._ground_wind_m_s,
        )
        correlation_s = self._fast(process_correlation_time_s(intensity_s, index=index))
        return gaussian_process(self._n, self._step_s, correlation_s, stream(self._seed, "fading", *names))

    @property
    def _turbulent_rad(self) -> Array:
        return turbulent_elevation_rad(self._contact.look.elevation_rad)

    @property
    def _slew_rad_s(self) -> Array:
        """How fast the line of sight sweeps through the air."""
        look = self._contact.look
        return np.hypot(look.azimuth_rate_rad_s * np.cos(look.elevation_rad), look.elevation_rate_rad_s)

    @property
    def _ground_wind_m_s(self) -> float:
        air = self._contact.station.turbulence
        return 0.0 if air is None else air.ground_wind_m_s

    def _beacon_seen(self) -> Array:
        """A beacon is tagged when the photons it brings reach the number that its detector needs."""
        contact, beacon = self._contact, self._contact.satellite.beacon
        if beacon is None or beacon.laser is None or beacon.detection_photons is None:
            return np.ones(self._n)
        from scipy.special import ndtr

        mean = beacon_photons(
            contact.look.range_m,
            contact.look.elevation_rad,
            contact.losses.cloud_db,
            satellite=contact.satellite,
            station=contact.station,
        )
        beam = laser_beam(beacon.laser)
        kept = mean_pointing(beam.half_angle_rad, contact.satellite.transmitter)
        photons = (
            self._fast(mean)
            * kept
            * self._satellite_factor(beam.half_angle_rad, self._diameter_m, beacon.laser.wavelength_m)
        )
        missing = (beacon.detection_photons - photons) / np.sqrt(np.maximum(photons, 1e-300))
        return np.asarray(ndtr(-missing))

    def _downlink_w(self) -> Array | None:
        """Instantaneous power in the station's receiver of classical light; None where none is given."""
        laser, receiver = self._contact.satellite.lasercom.laser, self._contact.station.lasercom.receiver
        if laser is None or receiver is None:
            return None
        half_angle_rad = laser_beam(laser).half_angle_rad
        factor = self._satellite_factor(half_angle_rad, receiver.aperture_diameter_m, laser.wavelength_m)
        pointed = mean_pointing(half_angle_rad, self._contact.satellite.transmitter)
        return self._arriving_w(laser, receiver) * pointed * factor

    def _uplink_w(self) -> Array | None:
        """The same in the satellite's receiver."""
        laser, receiver = self._contact.station.lasercom.laser, self._contact.satellite.lasercom.receiver
        if laser is None or receiver is None:
            return None
        return self._arriving_w(laser, receiver) * self._uplink_factor(laser)

    def _arriving_w(self, laser: Laser, receiver: LaserReceiver) -> Array:
        contact = self._contact
        mean_w = arriving_power_w(
            contact.look.range_m,
            contact.look.elevation_rad,
            laser,
            station=contact.station,
            receiver_diameter_m=receiver.aperture_diameter_m,
            cloud_db=contact.losses.cloud_db,
        )
        unexplained = fraction_of_db(contact.station.calibration_loss_db)
        return np.asarray(self._fast(mean_w) * receiver.optics_transmittance * unexplained)

    def _uplink_factor(self, laser: Laser) -> Array:
        """Instantaneous over perfectly pointed power of the uplink: jitter, beam wander, scintillation."""
        half_angle_rad = laser_beam(laser).half_angle_rad
        error, factor = np.zeros((2, self._n)), np.ones(self._n)
        if laser.pointing_correlation_s is None:
            factor *= float(mean_pointing_fraction(laser.pointing_jitter_rad, half_angle_rad=half_angle_rad))
        else:
            correlation_s = laser.pointing_correlation_s
            error += self._uplink_error_rad(laser.pointing_jitter_rad, correlation_s, "pointing")
        profile = station_profile(self._contact.station)
        if profile is not None:
            waist_m = laser.wavelength_m / (np.pi * half_angle_rad)
            error += self._wander_rad(profile, waist_m)
            factor *= self._uplink_scintillation(profile, laser.wavelength_m, waist_m)
        return np.asarray(factor * pointing_factor(error, half_angle_rad=half_angle_rad))

    def _wander_rad(self, profile: Profile, waist_m: float) -> Array:
        """What the air bends the uplink by, both axes."""
        jitter_rad = uplink_beam_wander_rad(self._turbulent_rad, profile=profile, beam_radius_m=waist_m)
        correlation_s = beam_wander_correlation_time_s(
            self._turbulent_rad,
            profile=profile,
            beam_radius_m=waist_m,
            slew_rad_s=self._slew_rad_s,
            ground_wind_m_s=self._ground_wind_m_s,
        )
        return self._uplink_error_rad(self._fast(jitter_rad), self._fast(correlation_s), "wander")

    def _uplink_error_rad(
        self, jitter_rad: float | Array, correlation_time_s: float | Array, name: str
    ) -> Array:
        return pointing_error_rad(
            self._n,
            self._step_s,
            jitter_rad=jitter_rad,
            bias_rad=0.0,
            correlation_time_s=correlation_time_s,
            rng=stream(self._seed, "fading", "uplink", name),
        )

    def _uplink_scintillation(self, profile: Profile, wavelength_m: float, waist_m: float) -> Array:
        look = self._contact.look
        index = uplink_scintillation_index(
            self._turbulent_rad,
            profile=profile,
            wavelength_m=wavelength_m,
            beam_radius_m=waist_m,
            satellite_altitude_m=float(np.max(look.range_m * np.sin(look.elevation_rad))),
        )
        process = self._twinkling(index, profile, wavelength_m, 0.0, "uplink", "scintillation")
        return scintillation_factor(process, index=self._fast(index), wave="spherical")

    def _frame_loss(self, power_w: Array | None, *, down: bool) -> FrameLoss:
        satellite, station = self._contact.satellite.lasercom, self._contact.station.lasercom
        sender, other = (satellite, station) if down else (station, satellite)
        if power_w is None or sender.laser is None or other.receiver is None:
            return FrameLoss.constant(sender.frame_loss)
        noise = receiver_noise(
            sender.rate_bit_s,
            wavelength_m=sender.laser.wavelength_m,
            quantum_efficiency=other.receiver.quantum_efficiency,
            gain=other.receiver.gain,
            ionisation_ratio=other.receiver.ionisation_ratio,
            dark_current_a=other.receiver.dark_current_a,
            amplifier_noise_a_sqrt_hz=other.receiver.amplifier_noise_a_sqrt_hz,
        )
        dark = frame_error_rate(
            power_w,
            noise=noise,
            frame_bits=FRAME_BITS,
            extinction=sender.laser.extinction,
            coding_gain_db=other.receiver.coding_gain_db,
        )
        return FrameLoss(
            start_s=float(self._fast_s[0]),
            step_s=self._step_s,
            probability=1 - (1 - sender.frame_loss) * (1 - dark),
        )

    def _fast(self, slow: Array) -> Array:
        return np.interp(self._fast_s, self._contact.look.t_s, slow)
