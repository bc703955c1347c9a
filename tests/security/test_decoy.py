"""The decoy inequalities against photon numbers that are known, exact and uncertain intensities."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from security_models import holds_from

from satqkd.errors import DataFormatError
from satqkd.security import SourceModel, decoy


def counts(source: SourceModel, numbers: list[float]) -> np.ndarray:
    """Expected counts per class when N_n detections had n photons."""
    return sum(n * source.class_share(i) for i, n in enumerate(numbers))


@st.composite
def sources(draw, classes=3, spread=0.0):
    vacuum = draw(st.sampled_from([0.0, 0.001, 0.02])) if classes == 3 else 0.0
    decoy_mu = vacuum + draw(st.floats(0.03, 0.3))
    signal = decoy_mu + vacuum + draw(st.floats(0.05, 0.7))
    p = np.array([draw(st.floats(0.05, 1)) for _ in range(classes)])
    *first, _ = (float(x) for x in p / p.sum())
    means = (signal, decoy_mu, vacuum)[:classes]
    intervals = tuple((mu * (1 - spread), mu * (1 + spread) + (spread * 0.01) ** 2) for mu in means)
    return SourceModel(means, (*first, 1 - sum(first)), intervals if spread else None)


numbers = st.lists(st.floats(0, 1e7), min_size=8, max_size=8)


def slack(source, detections):
    return 1e-7 * sum(detections) * float(source.weights.max()) / min(source.intensities[1], 0.1)


@settings(max_examples=100, deadline=None)
@given(source=sources(), detections=numbers)
def test_single_photons_and_vacuum_are_never_overestimated(source, detections):
    seen, room = counts(source, detections), slack(source, detections)
    assert decoy.vacuum_weights(source) @ seen <= detections[0] + room
    assert decoy.single_photon_weights(source) @ seen <= detections[1] + room
    assert decoy.single_photon_error_weights(source) @ seen >= detections[1] - room


@settings(max_examples=100, deadline=None)
@given(source=sources(classes=2), detections=numbers)
def test_one_decoy_needs_the_empty_pulses(source, detections):
    seen, room = counts(source, detections), slack(source, detections)
    weights, empty = decoy.single_photon_weights_one_decoy(source)
    assert weights @ seen - empty * detections[0] <= detections[1] + room
    assert decoy.single_photon_error_weights(source) @ seen >= detections[1] - room


@settings(max_examples=50, deadline=None)
@given(source=sources(), n0=st.floats(0, 1e6), n1=st.floats(1e3, 1e6), n2=st.floats(0, 1e6))
def test_single_photons_are_exact_up_to_two_photons(source, n0, n1, n2):
    """The bound is an identity when no pulse held more than two photons."""
    got = decoy.single_photon_weights(source) @ counts(source, [n0, n1, n2])
    assert got == pytest.approx(n1, abs=1e-7 * (n0 + n1 + n2) * float(source.weights.max()) ** 2)


def test_lim_2014_equations_2_and_3():
    """With a true vacuum the weights are those of the paper, written out here."""
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
    (mu1, mu2, _), tau1 = source.intensities, source.photon_probability(1)
    scale = mu1 * tau1 / (mu1 * mu2 - mu2**2)
    s = (mu2 / mu1) ** 2
    expected = scale * np.array([-s, 1.0, s - 1]) * source.weights
    assert decoy.single_photon_weights(source) == pytest.approx(expected, rel=1e-12)
    assert decoy.vacuum_weights(source) == pytest.approx([0, 0, source.photon_probability(0) / 0.25])
    errors = tau1 / mu2 * np.array([0, 1, -1]) * source.weights
    assert decoy.single_photon_error_weights(source) == pytest.approx(errors, rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(source=sources(spread=0.04), detections=numbers, data=st.data())
def test_intensities_may_wander_within_their_intervals(source, detections, data):
    """Each photon number's events come from pulses of intensities of Eve's choice: never overestimated."""
    seen = np.zeros(3)
    for n, events in enumerate(detections):
        for part in (0.3, 0.7):
            means = tuple(
                low + data.draw(st.sampled_from([0.0, 0.4, 1.0])) * (high - low)
                for low, high in source.intensity_intervals
            )
            seen += part * events * share(means, source.probabilities, n)
    room = slack(source, detections)
    assert decoy.vacuum_weights(source) @ seen <= detections[0] + room
    assert decoy.single_photon_weights(source) @ seen <= detections[1] + room
    assert decoy.single_photon_error_weights(source) @ seen >= detections[1] - room


def share(means, probabilities, n):
    joint = [p * math.exp(-mu) * mu**n for mu, p in zip(means, probabilities, strict=True)]
    return np.array(joint) / sum(joint)


def test_nominal_weights_do_not_hold_for_wandering_intensities():
    """Power of the test above: the weights of exact intensities overestimate when the decoy is brighter."""
    exact = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
    seen = 1e6 * share((0.8, 0.104, 0.0), exact.probabilities, 2)
    assert decoy.single_photon_weights(exact) @ seen > 1e3
    known = SourceModel(exact.intensities, exact.probabilities, ((0.768, 0.832), (0.096, 0.104), (0.0, 0.0)))
    assert decoy.single_photon_weights(known) @ seen <= 0


@settings(max_examples=60, deadline=None)
@given(source=st.one_of(sources(), sources(spread=0.03)))
def test_weights_hold_for_every_photon_number(source):
    tiny = 1e-9 * float(source.weights.max())
    single, error = decoy.single_photon_weights(source), decoy.single_photon_error_weights(source)
    nudge = np.array([1.0, 0.0, 1.0])
    assert holds_from(2, single - tiny * nudge, source)
    assert holds_from(2, -error - tiny * np.array([0.0, 1.0, 0.0]), source)
    worse = single + np.array([0.0, 0.05 * single[1], 0.0])
    assert not holds_from(2, worse, source)
    assert not holds_from(2, np.array([1e-9, 0.0, 0.0]), source)


def test_intervals_too_wide_claim_nothing():
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), ((0.15, 0.9), (0.01, 0.14), (0.0, 0.005)))
    assert decoy.single_photon_weights(source) @ np.array([1e5, 1e4, 10.0]) <= 1e5
    assert not decoy.single_photon_weights(source).any() or holds_from(
        2, decoy.single_photon_weights(source) - np.array([1e-9, 0.0, 1e-9]), source
    )


def test_class_shares_vector():
    """facts/streamed-announcement.md 7."""
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25))
    assert source.class_share(0) == pytest.approx([0.3205491065, 0.3227533155, 0.3566975780], abs=1e-10)
    assert source.class_share(1) == pytest.approx([0.8882102613, 0.1117897387, 0.0], abs=1e-10)
    assert source.class_share(2) == pytest.approx([0.9845112331, 0.0154887669, 0.0], abs=1e-10)


def test_least_share_of_keyed_classes():
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), ((0.76, 0.84), (0.09, 0.11), (0.0, 0.0)))
    exact = SourceModel(source.intensities, source.probabilities)
    assert source.share_of((True, True, False), 1) == 1.0
    ends = [
        share((signal, dim, 0.0), source.probabilities, 1)[0]
        for signal in (0.76, 0.84)
        for dim in (0.09, 0.11)
    ]
    assert source.share_of((True, False, False), 1) == pytest.approx(min(ends))
    assert exact.share_of((True, False, False), 1) == pytest.approx(0.8882102613)


@pytest.mark.parametrize(
    ("intensities", "probabilities", "intervals"),
    [
        ((0.1, 0.5, 0.0), (0.5, 0.25, 0.25), None),
        ((0.5, 0.3, 0.25), (0.5, 0.25, 0.25), None),
        ((0.5, 0.1, 0.1), (0.5, 0.25, 0.25), None),
        ((0.5, 0.1, 0.0), (0.5, 0.5, 0.0), None),
        ((0.5, 0.1, 0.0), (0.5, 0.25, 0.35), None),
        ((float("nan"), 0.1, 0.0), (0.5, 0.25, 0.25), None),
        ((0.5,), (1.0,), None),
        ((0.5, 0.0), (0.5, 0.5), None),
        ((0.5, 0.1), (0.5, 0.25, 0.25), None),
        ((0.5, 0.1), (0.5, 0.5), ((0.4, 0.6),)),
        ((0.5, 0.1), (0.5, 0.5), ((0.51, 0.6), (0.1, 0.1))),
        ((0.5, 0.1), (0.5, 0.5), ((0.2, 0.6), (0.1, 0.2))),
    ],
)
def test_impossible_sources_are_refused(intensities, probabilities, intervals):
    with pytest.raises(DataFormatError, match="expected"):
        SourceModel(intensities, probabilities, intervals)
