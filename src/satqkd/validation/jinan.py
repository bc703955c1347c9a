"""Rows of Jinan-1, most of whose numbers are not public: what the preset infers and what it calibrates.

V13 checks the arithmetic that its source was inferred from. V9 flies the budget of the preset's reference
pass; its one calibrated loss was set so that this pass gives the published key, so it is no prediction.
"""

from functools import cache
from typing import Final

from satqkd.config import Satellite
from satqkd.mission import Contact, contact_of, presets
from satqkd.mission.planning import expected_key
from satqkd.records import SIGNAL
from satqkd.validation.rows import Row, absolute, relative, row

SIGNAL_PHOTONS_HZ: Final = 250e6
BEST_KEY: Final = 1_070_000


@cache
def reference_pass() -> Contact:
    """The first night pass over Stellenbosch after the preset's reference epoch."""
    return contact_of(presets.satellite("jinan-1"), presets.station("stellenbosch"))


def rows() -> list[Row]:
    """All rows of Jinan-1."""
    return [best_key(reference_pass()), signal_photons(presets.satellite("jinan-1"))]


def best_key(contact: Contact) -> Row:
    """V9: the best published pass, by the mean budget and the default bound."""
    return row(
        "V9",
        "final key of the best pass (Stellenbosch), bits",
        published=BEST_KEY,
        computed=expected_key(contact).secret_bits,
        tolerance=relative(BEST_KEY, 0.10),
        blind=False,
        source="Jinan-1 experiment, Nature (2025): 1.07 Mbit; the preset's loss is calibrated to this figure",
    )


def signal_photons(satellite: Satellite) -> Row:
    """V13: pulse rate x share of signal pulses x their mean photon number."""
    source = satellite.source
    return row(
        "V13",
        "signal photons a second",
        published=SIGNAL_PHOTONS_HZ,
        computed=source.pulse_rate_hz * source.probabilities[SIGNAL] * source.intensities[SIGNAL],
        tolerance=absolute(SIGNAL_PHOTONS_HZ, 1),
        blind=False,
        source="press report of 2025: 250 million a second; clock and intensities were inferred from it",
    )
