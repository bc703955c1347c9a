"""Mismatch terms: the published formulas written out apart, and how they move."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.errors import DataFormatError
from satqkd.security import ReceiverModel


@pytest.mark.parametrize(
    ("spread", "swapped", "errors", "loss"),
    [
        (0.01, False, 3.98e-2, 1.98e-2),
        (0.01, True, 3.92e-4, 1.96e-4),
        (0.05, False, 0.195, 0.095),
        (0.05, True, 9.1e-3, 4.5e-3),
    ],
)
def test_sizes_at_a_dark_count_in_a_million_gates(spread, swapped, errors, loss):
    model = ReceiverModel(efficiency_spread=spread, dark_probability=1e-6, labels_swapped=swapped)
    assert model.delta_errors == pytest.approx(errors, rel=6e-3)
    assert model.delta_loss == pytest.approx(loss, rel=1.2e-2)


def test_formulas_of_tupkary_2025():
    model = ReceiverModel(efficiency_spread=0.03, dark_probability=1e-3, dark_spread=0.2)
    r, low, high = 0.97 / 1.03, 0.8e-3, 1.2e-3
    unequal = 1 - (1 - (1 - low) ** 2) / (1 - (1 - high) ** 2)
    efficiency = (1 - low) ** 2 * (1 - r)
    assert model.delta_loss == pytest.approx(max(efficiency, unequal), rel=1e-9)
    assert model.delta_errors == pytest.approx(
        max(4 * (1 - math.sqrt(1 - efficiency)), unequal * high * (2 - low) / (1 - (1 - low) ** 2)), rel=1e-9
    )


def test_unequal_dark_counts_matter_unless_labels_are_swapped():
    """However rare dark counts are: without a swap their ratio decides."""
    model = ReceiverModel(dark_probability=1e-9, dark_spread=0.05)
    assert model.delta_loss == pytest.approx(0.095, abs=1e-3)
    assert not model.matched
    swapped = ReceiverModel(dark_probability=1e-9, dark_spread=0.05, labels_swapped=True)
    assert swapped.matched


@given(st.floats(0, 0.5), st.floats(0, 1e-3), st.floats(0, 0.5), st.floats(0.001, 0.3))
def test_terms_grow_with_the_spread_and_fall_with_the_swap(spread, dark, dark_spread, more):
    def model(spread, swapped=False):
        return ReceiverModel(
            efficiency_spread=spread,
            dark_probability=dark,
            dark_spread=dark_spread,
            labels_swapped=swapped,
        )

    assert model(spread).delta_errors <= model(spread + more).delta_errors
    assert model(spread).delta_loss <= model(spread + more).delta_loss
    assert model(spread, swapped=True).delta_loss <= model(spread).delta_loss
    assert model(spread, swapped=True).delta_errors <= model(spread).delta_errors
    assert 0 <= model(spread).delta_loss < 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"efficiency_spread": -0.1},
        {"efficiency_spread": 1.0},
        {"dark_probability": math.nan},
        {"x_share": (0.0, 0.5)},
        {"x_share": (0.6, 0.5)},
    ],
)
def test_limits_that_cannot_be_are_refused(wrong):
    with pytest.raises(DataFormatError, match="expected"):
        ReceiverModel(**wrong)
