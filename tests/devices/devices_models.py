"""A small satellite and station whose every setting a test can replace."""

from typing import Any

import msgspec
import numpy as np

from satqkd import config as structs
from satqkd.devices import TwinReceiver, parse_eve
from satqkd.records import LinkSeries, Tags

SOURCE = structs.Source(
    pulse_rate_hz=1e8,
    wavelength_m=850e-9,
    intensities=(0.8, 0.3, 0.0),
    probabilities=(0.5, 0.3, 0.2),
    basis_z_probability=0.6,
    pulse_width_s=1e-16,
)
SATELLITE = structs.Satellite(
    name="test-satellite",
    description="",
    reference_epoch_utc="2020-01-01T00:00:00Z",
    orbit=structs.Orbit(tle_line_1="1", tle_line_2="2"),
    source=SOURCE,
    transmitter=structs.Transmitter(
        divergence_rad=1e-5, divergence_convention="disc_full", aperture_diameter_m=0.2, pointing_jitter_rad=0
    ),
    beacon=structs.Beacon(rate_hz=1e4, code_shift_s=1e-6),
    lasercom=structs.Lasercom(rate_bit_s=1e6, frame_loss=0),
)
STATION = structs.Station(
    name="test-station",
    description="",
    latitude_rad=0,
    longitude_rad=0,
    altitude_m=0,
    minimum_elevation_rad=0.2,
    lasercom_minimum_elevation_rad=0.2,
    telescope_diameter_m=1,
    zenith_optical_depth=0,
    sky_radiance_w_m2_sr_um=0,
    field_of_view_rad=1e-5,
    filter_width_m=1e-9,
    calibration_loss_db=0,
    receiver=structs.Receiver(
        optics_transmittance=0.5,
        optical_error=0.05,
        basis_choice="passive",
        gate_s=1e-9,
        detector=structs.Detector.equal(efficiency=0.5, dark_rate_hz=0, dead_time_s=0, jitter_s=0),
    ),
    clock=structs.Clock(offset_s=0, drift=0),
    lasercom=structs.Lasercom(rate_bit_s=1e6, frame_loss=0),
)


def link_series(t_s: Any, range_m: Any, range_rate_m_s: Any, **columns: Any) -> LinkSeries:
    """A series; dark, without errors or fading, but for the columns given."""
    n = len(t_s)
    dark = {name: np.zeros(n) for name in ("transmittance", "background_hz", "error_z", "error_x")}
    steady = {"fading": np.ones(2), "beacon_seen": np.ones(2)}
    return LinkSeries(
        t_s=t_s, range_m=range_m, range_rate_m_s=range_rate_m_s, **{**dark, **steady, **columns}
    )


class Bench:
    """Makes twins; keyword arguments replace settings of the source, receiver, detector, clock, beacon."""

    key = (0xDEADBEEF, 0x12345678)

    def source(self, **changes: Any) -> structs.Source:
        return msgspec.structs.replace(SOURCE, **changes)

    def series(
        self,
        duration_s: float,
        *,
        transmittance: Any = 0.5,
        background_hz: Any = 0.0,
        start_s: float = 0.0,
        step_s: float = 0.1,
        moving: bool = False,
        errors: tuple[float, float] = (0.05, 0.05),
        fading: Any = (1.0, 1.0),
        beacon_seen: float = 1.0,
    ) -> LinkSeries:
        t_s = start_s + np.arange(int(np.ceil((duration_s - start_s) / step_s)) + 1) * step_s
        ones = np.ones(t_s.size)
        closest_s, speed_m_s = 0.3 * duration_s, 7.5e3 * moving
        range_m = np.sqrt(5e5**2 + (speed_m_s * (t_s - closest_s)) ** 2)
        rate_m_s = speed_m_s**2 * (t_s - closest_s) / range_m
        return link_series(
            t_s,
            range_m,
            rate_m_s,
            transmittance=transmittance * ones,
            background_hz=background_hz * ones,
            error_z=errors[0] * ones,
            error_x=errors[1] * ones,
            fading=np.array(fading, float),
            beacon_seen=np.full(len(fading), beacon_seen),
        )

    def receiver(
        self,
        series: LinkSeries,
        *,
        slots: int,
        seed: int = 1,
        source: dict[str, Any] | None = None,
        receiver: dict[str, Any] | None = None,
        detector: dict[str, Any] | None = None,
        clock: dict[str, Any] | None = None,
        beacon: dict[str, Any] | None = None,
        eve: str | None = None,
    ) -> TwinReceiver:
        replace = msgspec.structs.replace
        satellite = replace(
            SATELLITE, source=self.source(**source or {}), beacon=replace(SATELLITE.beacon, **beacon or {})
        )
        each = {
            name: (value,) * 4 if np.isscalar(value) else value for name, value in (detector or {}).items()
        }
        detectors = replace(STATION.receiver.detector, **each)
        station = replace(
            STATION,
            receiver=replace(STATION.receiver, detector=detectors, **receiver or {}),
            clock=replace(STATION.clock, **clock or {}),
        )
        spec = None if eve is None else parse_eve(eve)
        return TwinReceiver(satellite, station, series, slots=slots, key=self.key, seed=seed, eve=spec)

    def photons(self, tags: Tags) -> Tags:
        """Tags of the four detectors."""
        here = tags.channel < 4
        return Tags(tags.time_ps[here], tags.channel[here])
