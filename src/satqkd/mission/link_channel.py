"""A contact as a channel: what the optimiser needs of it, read off the budget's rates at two probe settings.

The mean budget is asked what it expects of two sources that differ in their mean brightness. From that
follow, sample by sample, transmittance, errors, noise, afterpulses and dead time, with which any other source
is foretold without asking the budget again. How well that fits is tested against the budget itself.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Satellite, Station
from satqkd.config.satellite import Source
from satqkd.mission.contact import Contact
from satqkd.mission.flown import unkeyed_slots
from satqkd.optics import ExpectedRates, LinkLosses, expected_rates
from satqkd.security.channel import BINS, Channel

Array = NDArray[np.float64]

_PROBE_INTENSITIES: Final = (0.6, 0.2, 0.0)
_PROBE_PROBABILITIES: Final = ((0.2, 0.2, 0.6), (0.8, 0.15, 0.05))
"""Mean photon numbers 0.16 and 0.51: around what sources send."""


def link_channel(contact: Contact, rows: NDArray[np.bool_] | None = None, *, bins: int = BINS) -> Channel:
    """The channel of a contact's quantum window, or of the rows of it that are true.

    rows: shape of the quantum window's grid; pulses are spread evenly over the grid.
    """
    window = contact.quantum_rows
    losses = _part(contact.losses, window)
    grid = losses.transmittance.size
    chosen = np.ones(grid, dtype=np.bool_) if rows is None else rows
    pulses = np.where(chosen, (contact.slots - unkeyed_slots(contact)) / grid, 0.0)
    return _channel(contact.satellite, contact.station, losses, pulses, bins)


def _channel(satellite: Satellite, station: Station, losses: LinkLosses, pulses: Array, bins: int) -> Channel:
    source, receiver = satellite.source, station.receiver
    active = receiver.basis_choice == "active"
    q = receiver.basis_z_probability
    chosen = np.array([[q], [1 - q]]) if active else np.ones((2, 1))
    dim, bright = (
        expected_rates(losses, satellite=_probe(satellite, p), station=station) for p in _PROBE_PROBABILITIES
    )
    means = np.array([np.dot(p, _PROBE_INTENSITIES) for p in _PROBE_PROBABILITIES])
    noise, slope = _line(means, _vacuum(dim), _vacuum(bright))
    lost = _line(means, -np.log(dim.live_fraction), -np.log(bright.live_fraction))
    y = noise + means[1] * slope
    hit = (bright.matched_gain[0] / bright.live_fraction - y) / (chosen - y)
    wrong = (bright.wrong_gain[0] / bright.live_fraction - 0.5 * y * (1 - hit)) / chosen
    light = hit > 1e-15
    return Channel.of(
        pulses=pulses,
        transmittance=np.where(light, -np.log1p(-np.clip(hit, 0.0, 0.999)) / _PROBE_INTENSITIES[0], 0.0),
        optical_error=np.clip(np.divide(wrong, hit, out=np.zeros_like(hit), where=light), 0.0, 0.5),
        noise=np.clip(noise, 0.0, 1.0),
        noise_per_photon=np.maximum(slope, 0.0) / chosen,
        lost=np.maximum(np.stack(lost), 0.0),
        receiver_chooses=active,
        noise_unchosen=active,
        brightness=tuple(1 + bias for bias in source.intensity_bias),
        vacuum_leak=_vacuum_leak(source),
        bins=bins,
    )


def _part(losses: LinkLosses, rows: slice) -> LinkLosses:
    return LinkLosses(**{name: getattr(losses, name)[rows] for name in losses.__struct_fields__})


def _probe(satellite: Satellite, probabilities: tuple[float, float, float]) -> Satellite:
    source = msgspec.structs.replace(
        satellite.source,
        intensities=_PROBE_INTENSITIES,
        probabilities=probabilities,
        intensity_intervals=None,
        intensity_bias=(0.0, 0.0, 0.0),
        intensity_extinction_db=None,
    )
    return msgspec.structs.replace(satellite, source=source)


def _vacuum(rates: ExpectedRates) -> Array:
    """Detections of an empty pulse by noise, exclusion apart, shape (2, n)."""
    gain: Array = rates.matched_gain[2] / rates.live_fraction
    return gain


def _line(x: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Value at 0 and slope of the line through two points."""
    slope = (high - low) / (x[1] - x[0])
    return low - x[0] * slope, slope


def _vacuum_leak(source: Source) -> float:
    extinction_db = source.intensity_extinction_db
    return 0.0 if extinction_db is None else float(10 ** (-extinction_db / 10))
