"""What `--eve` takes, and how it explains what it does not."""

import math

import pytest

from satqkd.devices import parse_eve
from satqkd.errors import ConfigError


def test_values_options_and_defaults() -> None:
    plain, windowed = parse_eve("intercept-resend"), parse_eve("intercept-resend:0.2, from=10, to=60.5")
    assert (plain.share, plain.from_s, plain.to_s) == (1.0, -math.inf, math.inf)
    assert (windowed.share, windowed.from_s, windowed.to_s) == (0.2, 10.0, 60.5)
    assert parse_eve("photon-number-splitting:0.5").share == 0.5
    assert parse_eve("blinding").bright_w == 1e-6 and parse_eve("blinding:2e-5W").bright_w == 2e-5
    shift = parse_eve("time-shift:0.5,shift_ns=0.4,way=late")
    assert (shift.share, shift.way) == (0.5, "late") and shift.shift_s == pytest.approx(4e-10)
    assert (parse_eve("time-shift").shift_s, parse_eve("time-shift").way) == (None, "both")
    assert parse_eve("jamming:2e5").jamming_hz == parse_eve("jamming:2e5Hz").jamming_hz == 2e5
    assert (parse_eve("jamming:1e-13W").jamming_w, parse_eve("jamming:1e-13W").jamming_hz) == (1e-13, 0.0)
    assert parse_eve("jamming:1,to=3").text == "jamming:1,to=3"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("intercept-resent:0.2", "did you mean intercept-resend?"),
        ("wormhole", "NAME[:VALUE]"),
        ("", "expected one of intercept-resend"),
        ("intercept-resend:1.5", "expected a share in [0, 1], got '1.5'"),
        ("intercept-resend:half", "expected a share in [0, 1], got 'half'"),
        ("intercept-resend:nan", "got 'nan'"),
        ("intercept-resend:", "got ''"),
        ("blinding:2", "expected a power in W"),
        ("jamming", "expected a rate or a power, got none"),
        ("jamming:1e9", "expected a rate in Hz in [0.001, 2e+07]"),
        ("jamming:1W", "expected a power in W"),
        ("intercept-resend:0.2,way=late", "expected from=, to= after the commas"),
        ("intercept-resend,0.2", "got '0.2'"),
        ("time-shift,way=sideways", "expected way=both, late or early, got 'sideways'"),
        ("time-shift,shift_ns=11", "expected a shift in ns in [0, 10]"),
        ("time-shift,from=1,from=2", "expected from once"),
        ("time-shift,from=5,to=5", "expected from before to, got 5 and 5"),
    ],
)
def test_what_is_wrong_is_explained(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_eve(text)
    assert told in str(caught.value) and f"--eve {text}: expected" in str(caught.value)
