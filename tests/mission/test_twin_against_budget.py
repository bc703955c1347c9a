"""The twin's counts are those of the budget: event by event against mean by mean, over all presets.

The real chain of the station (twin's tags, clock recovery from beacons, gate, exclusion) runs on a stretch of
a pass under a hundred seeds; counts by class, basis and error are compared with `expected_rates` on the very
fading that each seed drew. What is expected has no free number.
"""

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from satqkd.beacon import beacon_code
from satqkd.config import Satellite, Station
from satqkd.constants import PS_PER_S
from satqkd.distill.clicks import Acceptance
from satqkd.distill.sync import ClockRecovery
from satqkd.mission import Contact, choose_pass, course_of, presets
from satqkd.mission.fading import Fading
from satqkd.mission.run_pass import twin_receiver
from satqkd.mission.satellite_end import twin_transmitter
from satqkd.optics import LinkLosses, expected_rates
from satqkd.randomness import stream_bytes
from satqkd.sky import orbit_of, parse_utc
from toy_pass import replaced

SEEDS = range(100)
STRETCH_S = 0.6
COUNTED_S = (0.2, 0.5)
"""From when the clock knows the pulses' phase, to where all tags are in."""
PAIRS = [
    ("micius", "xinglong"),
    ("micius", "delingha"),
    ("micius", "nanshan-1m"),
    ("micius", "graz"),
    ("micius", "zvenigorod"),
    ("tiangong-2", "nanshan-1m"),
    ("cubesat-6u", "graz"),
    *(
        ("jinan-1", name)
        for name in ("jinan", "hefei", "nanshan", "wuhan", "beijing", "shanghai", "stellenbosch")
    ),
]
Cells = NDArray[np.float64]
"""By class, basis, and right or wrong; shape (3, 2, 2)."""


class Tally(NamedTuple):
    counted: Cells
    expected: Cells


def stretch_of(satellite: Satellite, station: Station) -> Contact:
    """A contact of 0.6 s from the culmination of the first night pass on."""
    pass_ = choose_pass(satellite, station, parse_utc(satellite.reference_epoch_utc))
    epoch = pass_.culmination.replace(microsecond=0) + timedelta(seconds=1)
    t_s = np.arange(0.0, STRETCH_S + 0.1, 0.05)
    return Contact(
        satellite=satellite,
        station=station,
        pass_=pass_,
        epoch=epoch,
        slots=int(STRETCH_S * satellite.source.pulse_rate_hz),
        course=course_of(satellite, station, orbit_of(satellite.orbit), epoch, t_s),
        step_s=0.05,
        link_start_s=0.0,
        link_end_s=float(t_s[-1]),
    )


def counted(contact: Contact, seed: int) -> Cells:
    """What the station counts of slots in the counted stretch, compared with what the satellite sent."""
    source, beacon, receiver = contact.satellite.source, contact.satellite.beacon, contact.station.receiver
    clock = ClockRecovery(
        rate_hz=beacon.rate_hz,
        code_shift_s=beacon.code_shift_s,
        code=beacon_code(int(2 * STRETCH_S * beacon.rate_hz)),
        pulse_period_ps=PS_PER_S / source.pulse_rate_hz,
    )
    clock.feed(twin_receiver(contact, seed).read(np.inf))
    acceptance = Acceptance(
        receiver.gate_s * PS_PER_S, receiver.exclusion_s * PS_PER_S, stream_bytes(seed, "station", "ties")
    )
    found = acceptance.accept(clock.flush())
    low, high = (int(at * source.pulse_rate_hz) for at in COUNTED_S)
    here = (found.slot >= low) & (found.slot < high)
    sent = twin_transmitter(contact, seed).settings(found.slot[here])
    same = sent.basis == found.basis[here]
    wrong = (sent.bit != found.bit[here]).astype(np.int64)
    cell = (sent.intensity_class.astype(np.int64) * 2 + sent.basis) * 2 + wrong
    return np.bincount(cell[same], minlength=12).reshape(3, 2, 2).astype(float)


def expected(contact: Contact, seed: int) -> Cells:
    """The budget's counts of that stretch, given how the seed's fading went."""
    series = Fading(contact, seed).series()
    fast_s = np.linspace(series.t_s[0], series.t_s[-1], series.fading.size)
    rows = (fast_s >= COUNTED_S[0]) & (fast_s <= COUNTED_S[1])
    columns = {
        name: np.interp(fast_s[rows], series.t_s, getattr(contact.losses, name))
        for name in LinkLosses.__struct_fields__
    }
    columns["transmittance"] *= series.fading[rows]
    columns["fading_variance"] *= 0
    rates = expected_rates(LinkLosses(**columns), satellite=contact.satellite, station=contact.station)
    source = contact.satellite.source
    pulses = source.pulse_rate_hz * (COUNTED_S[1] - COUNTED_S[0])
    sent = np.outer(source.probabilities, [source.basis_z_probability, 1 - source.basis_z_probability])
    wrong = np.trapezoid(rates.wrong_gain, dx=1 / (rows.sum() - 1))
    right = np.trapezoid(rates.matched_gain, dx=1 / (rows.sum() - 1)) - wrong
    return pulses * sent[..., None] * np.stack([right, wrong], axis=-1)


def tally(satellite: Satellite, station: Station, *, model: Contact | None = None) -> Tally:
    contact = stretch_of(satellite, station)
    seen = sum(counted(contact, seed) for seed in SEEDS)
    return Tally(np.asarray(seen), np.asarray(sum(expected(model or contact, seed) for seed in SEEDS)))


def p_value(both: Tally) -> float:
    """Chi-square of the cells that expect at least ten counts; rarer ones together are one more."""
    common = both.expected >= 10
    seen = np.append(both.counted[common], both.counted[~common].sum())
    mean = np.append(both.expected[common], both.expected[~common].sum())
    seen, mean = seen[mean > 0], mean[mean > 0]
    return float(stats.chi2.sf(((seen - mean) ** 2 / mean).sum(), seen.size))


@pytest.mark.parametrize(("satellite", "station"), PAIRS, ids="/".join)
def test_counts_by_class_basis_and_error_are_those_of_the_budget(satellite: str, station: str) -> None:
    both = tally(presets.satellite(satellite), presets.station(station))
    assert both.expected[0].sum() > 10_000
    assert p_value(both) > 1e-4, both
    pull = (both.counted.sum() - both.expected.sum()) / np.sqrt(both.expected.sum())
    assert abs(pull) < 4.5


def test_every_preset_is_compared() -> None:
    assert {name for name, _ in PAIRS} == set(presets.names(Satellite))
    assert {name for _, name in PAIRS} == set(presets.names(Station))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda station: replaced(station, calibration_loss_db=station.calibration_loss_db + 0.05),
        lambda station: replaced(station, receiver__optical_error=1.2 * station.receiver.optical_error),
        lambda station: replaced(station, receiver__detector__afterpulse_probability=0.0),
        lambda station: replaced(station, receiver__detector__efficiency=(0.51, 0.5, 0.5, 0.49)),
        lambda station: replaced(station, receiver__gate_s=0.9e-9),
    ],
    ids=["loss", "error", "afterpulses", "efficiency", "gate"],
)
def test_a_model_that_differs_a_little_is_rejected(wrong: Any) -> None:
    satellite, station = presets.satellite("jinan-1"), presets.station("stellenbosch")
    both = tally(satellite, station, model=stretch_of(satellite, wrong(station)))
    assert p_value(both) < 1e-4
