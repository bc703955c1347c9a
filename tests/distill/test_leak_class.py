"""Which class a string begins in: above the one-way floor where it has one shot, in the middle where it has
more."""

from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.distill import codes
from satqkd.distill.leak_class import BEGIN, choose_class
from satqkd.errors import LocalProtocolError
from satqkd.security.tails import binary_entropy


@given(
    qber=st.floats(0.001, 0.11),
    length=st.integers(8192, codes.LONGEST_CODE),
    sample=st.integers(1000, 10**9),
)
def test_a_class_lies_above_the_one_way_floor_and_its_own_margin(qber, length, sample):
    """Floor n h + z sqrt(n v) at failure 10^-2 (facts: reconciliation, 2c)."""
    chosen = choose_class(qber, frame_length=length, sample_bits=sample)
    spread = sqrt(qber * (1 - qber)) * log2((1 - qber) / qber)
    floor = binary_entropy(qber) + 2.33 * spread / sqrt(length)
    if chosen is None:
        assert codes.LEAK_FRACTIONS[-1] < 1.08 * floor + 5 * spread / sqrt(min(length, sample))
    else:
        assert codes.LEAK_FRACTIONS[chosen] > floor
        worse = choose_class(min(0.5, qber * 1.2), frame_length=length, sample_bits=sample)
        assert worse is None or worse >= chosen


@pytest.mark.parametrize("length", [1, 8192, 262_144])
def test_classes_reach_from_no_errors_to_five_and_a_half_percent(length):
    assert choose_class(0.0, frame_length=length) is not None
    assert choose_class(0.055, frame_length=length, sample_bits=10**6) is not None
    assert choose_class(0.15, frame_length=length) is None
    assert choose_class(0.5, frame_length=length) is None


def test_a_poor_estimate_costs_margin():
    sure = choose_class(0.01, frame_length=262_144, sample_bits=10**9)
    unsure = choose_class(0.01, frame_length=262_144, sample_bits=2_000)
    assert unsure > sure + 5


@pytest.mark.parametrize("length", [8192, 65_536, 1_048_576])
@pytest.mark.parametrize("qber", [0.003, 0.11])
def test_classes_reach_from_three_in_a_thousand_to_eleven_per_cent(length, qber):
    for rounds in (0, 5):
        chosen = choose_class(qber, frame_length=length, sample_bits=10**6, further_rounds=rounds)
        assert chosen is not None
        assert codes.LEAK_FRACTIONS[chosen] > binary_entropy(qber)


def test_more_rounds_begin_lower_but_never_below_the_entropy():
    leaks = [
        codes.LEAK_FRACTIONS[
            choose_class(0.01, frame_length=65_536, sample_bits=10**9, further_rounds=rounds)
        ]
        for rounds in range(6)
    ]
    assert leaks == sorted(leaks, reverse=True)
    assert leaks[0] > 1.1 * leaks[-1]
    assert leaks[-1] > binary_entropy(0.01)


def test_rates_of_single_bits_count_by_their_entropy():
    """Half the bits hardly ever wrong: less is asked for than their mean rate would need."""
    rates = np.repeat([0.002, 0.03], 50_000)
    kind = {"frame_length": 65_536, "sample_bits": 10**9, "further_rounds": 5}
    one, other = (codes.LEAK_FRACTIONS[choose_class(given, **kind)] for given in (rates, rates.mean()))
    entropy = (binary_entropy(0.002) + binary_entropy(0.03)) / 2
    assert one < 0.93 * other
    assert one == pytest.approx(BEGIN * entropy, rel=0.02)


@pytest.mark.parametrize("rates", [0.7, -0.1, np.nan, np.array([]), np.array([0.1, 0.6])])
def test_rates_out_of_range_are_refused(rates):
    with pytest.raises(LocalProtocolError, match="expected rates"):
        choose_class(rates, frame_length=10_000)
