"""Settings: units converted once, evidence that belongs to the number that holds."""

import pytest

from satqkd.config import Clock, Lasercom, Transmitter, load
from satqkd.errors import ConfigError

BELOW = {
    "divergence_urad": {"value": 10, "evidence": "published", "source": "a paper"},
    "divergence_convention": "disc_full",
    "aperture_diameter_m": {"value": 0.3, "evidence": "published", "source": "a paper"},
    "pointing_jitter_urad": {"value": 1.2, "evidence": "published", "source": "a paper"},
}


def test_a_key_is_converted_by_its_unit_and_the_longest_unit_wins() -> None:
    loaded = load(BELOW, Transmitter, "x.toml").value
    assert (loaded.divergence_rad, loaded.aperture_diameter_m) == pytest.approx((1e-5, 0.3))
    assert load({"rate_mbit_s": 2, "frame_loss": 0.0}, Lasercom, "x").value.rate_bit_s == 2e6
    with pytest.raises(ConfigError, match="unknown key rate_bit_ms"):
        load({"rate_bit_ms": 2, "frame_loss": 0.0}, Lasercom, "x")


def test_an_overriding_number_loses_the_evidence_of_the_one_below() -> None:
    """A bare number over a published one is nobody's published number."""
    loaded = load({"aperture_diameter_cm": 20}, Transmitter, "mine.toml", over=BELOW)
    assert loaded.value.aperture_diameter_m == pytest.approx(0.2)
    assert {each.path for each in loaded.evidence} == {"divergence_rad", "pointing_jitter_rad"}


def test_an_overriding_number_brings_its_own_evidence() -> None:
    own = {"aperture_diameter_m": {"value": 0.2, "evidence": "measured", "source": "our bench"}}
    loaded = load(own, Transmitter, "mine.toml", over=BELOW)
    assert [each.mark for each in loaded.evidence if each.path == "aperture_diameter_m"] == ["measured"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"offset_ms": 5, "drift": 0}, "x.toml"),
        ({"offset_ms": 0.1, "offset_us": 100, "drift": 0}, "given twice"),
        ({"offset_ms": {"value": 0.1, "evidence": "assumed"}, "drift": 0}, "source"),
        ({"offset_ms": {"value": 0.1, "evidence": "guessed", "source": "x"}, "drift": 0}, "guessed"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(table, Clock, "x.toml")
