"""The decoy inversion against channels whose photon numbers are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import DataFormatError
from satqkd.security import SourceModel, decoy
from satqkd.security.decoy import Expectations


def exact(source: SourceModel, numbers: list[float]) -> Expectations:
    """Expected counts per class when N_n detections had n photons."""
    counts = sum(n * source.class_share(i) for i, n in enumerate(numbers))
    return Expectations(counts, counts)


@st.composite
def sources(draw):
    vacuum = draw(st.sampled_from([0.0, 0.001, 0.02]))
    decoy_mu = vacuum + draw(st.floats(0.03, 0.3))
    signal = decoy_mu + vacuum + draw(st.floats(0.05, 0.7))
    p = np.array([draw(st.floats(0.05, 1)) for _ in range(3)])
    p1, p2 = float(p[0] / p.sum()), float(p[1] / p.sum())
    return SourceModel((signal, decoy_mu, vacuum), (p1, p2, 1 - p1 - p2))


numbers = st.lists(st.floats(0, 1e7), min_size=8, max_size=8)


@settings(max_examples=100, deadline=None)
@given(source=sources(), detections=numbers)
def test_single_photons_and_vacuum_are_never_overestimated(source, detections):
    counts = exact(source, detections)
    slack = 1e-7 * sum(detections) * float(source.weights.max()) / min(source.intensities[1], 0.1)
    assert decoy.vacuum_lower(source, counts) <= detections[0] + slack
    assert decoy.single_photons_lower(source, counts) <= detections[1] + slack
    assert decoy.single_photon_errors_upper(source, counts) >= detections[1] - slack


@settings(max_examples=50, deadline=None)
@given(source=sources(), n0=st.floats(0, 1e6), n1=st.floats(1e3, 1e6), n2=st.floats(0, 1e6))
def test_single_photons_are_exact_up_to_two_photons(source, n0, n1, n2):
    """With a true vacuum the bound is an identity when no pulse held more than two photons."""
    source = SourceModel((*source.intensities[:2], 0.0), source.probabilities)
    got = decoy.single_photons_lower(source, exact(source, [n0, n1, n2]))
    assert got == pytest.approx(n1, abs=1e-7 * (n0 + n1 + n2) * float(source.weights.max()) ** 2)


def test_class_shares_vector():
    """facts/streamed-announcement.md 7."""
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
    assert source.class_share(0) == pytest.approx([0.3205491065, 0.3227533155, 0.3566975780], abs=1e-10)
    assert source.class_share(1) == pytest.approx([0.8882102613, 0.1117897387, 0.0], abs=1e-10)
    assert source.class_share(2) == pytest.approx([0.9845112331, 0.0154887669, 0.0], abs=1e-10)


@pytest.mark.parametrize(
    ("intensities", "probabilities"),
    [
        ((0.1, 0.5, 0.0), (0.5, 0.25, 0.25)),
        ((0.5, 0.3, 0.25), (0.5, 0.25, 0.25)),
        ((0.5, 0.1, 0.1), (0.5, 0.25, 0.25)),
        ((0.5, 0.1, 0.0), (0.5, 0.5, 0.0)),
        ((0.5, 0.1, 0.0), (0.5, 0.25, 0.35)),
        ((float("nan"), 0.1, 0.0), (0.5, 0.25, 0.25)),
    ],
)
def test_impossible_sources_are_refused(intensities, probabilities):
    with pytest.raises(DataFormatError, match="expected"):
        SourceModel(intensities, probabilities)
