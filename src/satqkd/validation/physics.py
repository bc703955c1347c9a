"""V3: the loss of the Micius pass of 19 December 2016 from its optics, one number fitted at most.

Beam, pointing, telescope and receiver are the published ones (Liao et al., Nature 549, 43 (2017)); the
zenith's transmittance and the turbulence of that night are not published. Three ways to do without them, each
told by its rows: one zenith depth fitted to the four losses, which then holds all that grows with airmass;
clear air of the shipped 6S table and one constant loss fitted; clear air and nothing fitted. Losses are
without the detector. Nothing is taken from what the xinglong preset calibrates.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Satellite, Station, Transmitter
from satqkd.mission import presets
from satqkd.optics import link_losses, zenith_optical_depth
from satqkd.sky import Look
from satqkd.validation import micius
from satqkd.validation.rows import Row, absolute, row

Array = NDArray[np.float64]

RANGES_M: Final = np.array([645e3, 800e3, 1000e3, 1200e3])
LOSSES_DB: Final = np.array([30.1, 31.0, 34.4, 39.3])
"""Local means of the digitised curve."""
TOLERANCE_DB: Final = 2.0
CLEAR_VISIBILITY_M: Final = 23e3
"""The standard clear atmosphere."""
AIR_AND_POINTING_DB: Final = (3.0, 11.0)
"""Published for 1200 km: 3 to 8 dB of atmosphere and turbulence, less than 3 dB of pointing."""

SOURCE: Final = (
    f"{micius.PAPER}, local mean of the loss curve (digitised by QCompute QNET, Baidu, Apache-2.0); 300 mm, "
    "10 urad as uniform disc, 1.2 urad an axis, 1 m, optics 16 %"
)
_WHY: Final = "the curve scatters by 0.8 dB and the optics are published as about"


def published_satellite() -> Satellite:
    """Micius with the beam as published."""
    sent = Transmitter(
        divergence_rad=10e-6,
        divergence_convention="disc_full",
        aperture_diameter_m=0.3,
        pointing_jitter_rad=1.2e-6,
    )
    return msgspec.structs.replace(presets.satellite("micius"), transmitter=sent)


def published_station() -> Station:
    """Xinglong with telescope and receiver as published, no air, nothing calibrated."""
    xinglong = presets.station("xinglong")
    receiver = msgspec.structs.replace(xinglong.receiver, optics_transmittance=0.16)
    bare = msgspec.structs.replace(
        xinglong,
        telescope_diameter_m=1.0,
        central_obscuration=0.0,
        calibration_loss_db=0.0,
        turbulence=None,
        receiver=receiver,
    )
    return with_depth(bare, 0.0)


def with_depth(station: Station, zenith_optical_depth: float) -> Station:
    """The station under other air."""
    return msgspec.structs.replace(station, zenith_optical_depth=zenith_optical_depth, visibility_m=None)


def rows(satellite: Satellite | None = None, station: Station | None = None) -> list[Row]:
    """The three ways; the arguments stand for the published link."""
    above = published_satellite() if satellite is None else satellite
    below = published_station() if station is None else station
    return [
        *fitted_air_rows(above, below),
        air_row(above, below),
        *clear_air_rows(above, below),
        unfitted_row(above, below),
    ]


def fitted_air_rows(satellite: Satellite, station: Station) -> list[Row]:
    """V3a to d: one zenith depth, least squares to the four losses."""
    depth = fitted_depth(satellite, station)
    note = (
        f"zenith optical depth {depth:.3f}, to these four losses; too much for clear air: it stands for all "
        "that grows with airmass"
    )
    computed = losses_db(satellite, with_depth(station, depth))
    return _each("abcd", "loss from optics, one zenith depth fitted", computed, SOURCE, note)


def clear_air_rows(satellite: Satellite, station: Station) -> list[Row]:
    """V3f to i: clear air of the 6S table, one constant loss."""
    clear = losses_db(satellite, _clear(satellite, station))
    constant_db = float(np.mean(LOSSES_DB - clear))
    note = f"constant loss {constant_db:.2f} dB, to these four losses"
    source = f"{SOURCE}; clear air: 6S, visibility 23 km"
    return _each(
        "fghi", "loss from optics, clear air, one constant fitted", clear + constant_db, source, note
    )


def unfitted_row(satellite: Satellite, station: Station) -> Row:
    """V3j: clear air, nothing fitted: what optics alone leave unexplained."""
    mean_db = float(LOSSES_DB.mean())
    return row(
        "V3j",
        "loss from optics, clear air, nothing fitted, mean of the four ranges, dB",
        published=round(mean_db, 2),
        computed=round(float(losses_db(satellite, _clear(satellite, station)).mean()), 2),
        tolerance=absolute(mean_db, TOLERANCE_DB, "dB", why=_WHY),
        blind=True,
        source=f"{SOURCE}; clear air: 6S, visibility 23 km; turbulence of that night is not published",
    )


def air_row(satellite: Satellite, station: Station) -> Row:
    """V3e: whether the fitted air is one that the paper allows."""
    depth = fitted_depth(satellite, station)
    look = micius.published_pass().look
    losses = link_losses(
        RANGES_M[-1],
        elevation_at_rad(look)[-1],
        satellite=satellite,
        station=with_depth(station, depth),
    )
    low, high = AIR_AND_POINTING_DB
    middle = (low + high) / 2
    return row(
        "V3e",
        "air and pointing at 1200 km, dB, published as a range (its middle)",
        published=middle,
        computed=round(float(losses.atmosphere_db + losses.pointing_db), 2),
        tolerance=absolute(
            middle, (high - low) / 2, "dB", why="3 to 8 dB of air, less than 3 dB of pointing"
        ),
        blind=False,
        source=f"{micius.PAPER}; the zenith depth of V3a to d",
        fitted=f"zenith optical depth {depth:.3f}, to the four losses of V3a to d",
    )


def fitted_depth(satellite: Satellite, station: Station) -> float:
    """Least squares: extinction in dB is the depth times what a depth of 1 costs."""
    bare_db = losses_db(satellite, with_depth(station, 0.0))
    per_depth_db = losses_db(satellite, with_depth(station, 1.0)) - bare_db
    return float(per_depth_db @ (LOSSES_DB - bare_db) / (per_depth_db @ per_depth_db))


def losses_db(satellite: Satellite, station: Station) -> Array:
    """Loss of the budget at the four ranges, without the detector."""
    elevation_rad = elevation_at_rad(micius.published_pass().look)
    losses = link_losses(RANGES_M, elevation_rad, satellite=satellite, station=station)
    return np.asarray(losses.total_db - losses.detector_db)


def elevation_at_rad(look: Look) -> Array:
    """Elevation of the pass at the four ranges, mean of coming and going."""
    nearest = int(np.argmin(look.range_m))
    going = np.interp(RANGES_M, look.range_m[nearest:], look.elevation_rad[nearest:])
    coming = np.interp(RANGES_M, look.range_m[nearest::-1], look.elevation_rad[nearest::-1])
    return np.asarray((going + coming) / 2)


def _clear(satellite: Satellite, station: Station) -> Station:
    depth = zenith_optical_depth(
        satellite.source.wavelength_m, visibility_m=CLEAR_VISIBILITY_M, altitude_m=station.altitude_m
    )
    return with_depth(station, float(depth))


def _each(letters: str, what: str, computed_db: Array, source: str, fitted: str) -> list[Row]:
    return [
        row(
            f"V3{letter}",
            f"{what}, {range_m / 1e3:.0f} km, dB",
            published=float(published_db),
            computed=round(float(loss_db), 2),
            tolerance=absolute(float(published_db), TOLERANCE_DB, "dB", why=_WHY),
            blind=False,
            source=source,
            fitted=fitted,
        )
        for letter, range_m, published_db, loss_db in zip(
            letters, RANGES_M, LOSSES_DB, computed_db, strict=True
        )
    ]
