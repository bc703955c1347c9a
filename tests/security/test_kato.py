"""Tails that hold for adaptive variables, and the bound made of Kato's class by class."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from martingale_models import EPSILON, EVEN, EVERY, FIXED_COST, MICIUS, SIGNAL, link
from security_models import EVEN_RECEIVER, TARGETS, leak, micius_counts

from satqkd.errors import ConfigError
from satqkd.security import SourceModel, key_length
from satqkd.security.adaptive import (
    best_slope,
    kato_count_lower,
    kato_lower,
    kato_upper,
    martingale_lower,
    martingale_upper,
)
from satqkd.security.kato import kato, kato_events
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.weight_choice import Foretold

PULSES = 27_300_000_000

# --- vectors of facts/streamed-announcement.md 7 -------------------------------------------------------


def test_vector_1_kato():
    assert kato_upper(5_200, 1e6, guess=5_000, epsilon=1e-10) == pytest.approx(5_703.598185979, rel=1e-12)
    assert kato_lower(5_200, 1e6, guess=5_000, epsilon=1e-10) == pytest.approx(4_726.783034969, rel=1e-12)
    assert kato_upper(6_100, 1e4, guess=6_000, epsilon=1e-10) == pytest.approx(6_427.374918143, rel=1e-12)
    assert kato_lower(6_100, 1e4, guess=6_000, epsilon=1e-10) == pytest.approx(5_765.884628222, rel=1e-12)


def test_vector_2_martingale():
    assert best_slope(5_000, 1e5, epsilon=1e-10, upper=True) == pytest.approx(0.0970343486, abs=1e-10)
    assert best_slope(5_000, 1e5, epsilon=1e-10, upper=False) == pytest.approx(0.0999435186, abs=1e-10)
    up = martingale_upper(5_200, 101_000, slope=0.065, epsilon=1e-10)
    assert up == pytest.approx(5_726.471433233, rel=1e-12)
    down = martingale_lower(5_200, 101_000, slope=0.07, epsilon=1e-10)
    assert down == pytest.approx(4_710.507871568, rel=1e-12)
    assert martingale_upper(125, math.inf, slope=0.8, epsilon=1e-10) == pytest.approx(
        223.410789588, rel=1e-11
    )
    assert martingale_lower(125, math.inf, slope=0.8, epsilon=1e-10) == pytest.approx(62.808305525, rel=1e-11)


# --- tails ---------------------------------------------------------------------------------------------


def exact_failure(fails, trials, choices):
    """Largest probability that `fails(A, X)` at the end, over all strategies that pick each probability from
    the choices (tenths) knowing the past.  fails: boolean of shape (tenths + 1, count + 1)."""
    value = fails.astype(float)
    for left in range(trials):
        steps, seen = 10 * (trials - left - 1) + 1, trials - left
        best = np.zeros((steps, seen))
        for tenths in choices:
            moved = value[tenths : tenths + steps]
            best = np.maximum(
                best, (1 - tenths / 10) * moved[:, :seen] + tenths / 10 * moved[:, 1 : seen + 1]
            )
        value = best
    return float(value[0, 0])


def grid(trials):
    return np.arange(10 * trials + 1)[:, None] / 10, np.arange(trials + 1)[None, :]


@pytest.mark.parametrize("guess", [4, 20, 30])
def test_every_adaptive_strategy_on_a_grid(guess):
    """n = 40, each probability a tenth, chosen knowing all before: exact, and no bound is idle."""
    trials, epsilon = 40, 0.01
    mean, seen = grid(trials)
    up, down = (best_slope(guess, trials, epsilon=epsilon, upper=u) for u in (True, False))
    bounds = {
        "kato upper": mean
        > np.vectorize(lambda x: kato_upper(x, trials, guess=guess, epsilon=epsilon))(seen),
        "kato lower": mean
        < np.vectorize(lambda x: kato_lower(x, trials, guess=guess, epsilon=epsilon))(seen),
        "upper": mean > np.vectorize(lambda x: martingale_upper(x, trials, slope=up, epsilon=epsilon))(seen),
        "lower": mean
        < np.vectorize(lambda x: martingale_lower(x, trials, slope=down, epsilon=epsilon))(seen),
    }
    worst = {name: exact_failure(fails, trials, range(11)) for name, fails in bounds.items()}
    assert max(worst.values()) <= epsilon
    assert min(worst["upper"], worst["lower"]) > 0.003
    assert max(worst["kato upper"], worst["kato lower"]) > 1e-4


def test_the_exhaustive_check_sees_a_bound_that_is_too_tight():
    """Power: a tenth of the deviation taken off, and clairvoyant strategies exceed epsilon."""
    trials, guess = 40, 20
    mean, seen = grid(trials)
    slope = best_slope(guess, trials, epsilon=0.01, upper=True)
    bound = np.vectorize(lambda x: martingale_upper(x, trials, slope=slope, epsilon=0.01))(seen)
    assert exact_failure(mean > seen + 0.9 * (bound - seen), trials, range(11)) > 0.01


sizes = st.floats(4, 12).map(lambda x: 10**x)


@settings(max_examples=200, deadline=None)
@given(trials=sizes, share=st.floats(-12, -0.001), drift=st.floats(0.5, 2), epsilon=st.floats(-25, -1))
def test_upper_and_lower_enclose_the_count_and_meet_their_guess(trials, share, drift, epsilon):
    guess, epsilon = max(1.0, trials * 10**share), 10**epsilon
    if guess > 0.9 * trials:
        return
    count = min(guess * drift, trials)
    low = kato_lower(count, trials, guess=guess, epsilon=epsilon)
    high = kato_upper(count, trials, guess=guess, epsilon=epsilon)
    assert low <= count <= high
    width = math.sqrt(-2 * guess * math.log(epsilon)) - math.log(epsilon)
    assert high - count < 4 * width
    assert count - low < 4 * width
    s = best_slope(guess, trials, epsilon=epsilon, upper=True)
    assert kato_upper(guess, trials, guess=guess, epsilon=epsilon) >= (
        martingale_upper(guess, trials, slope=s, epsilon=epsilon) * (1 - 1e-6)
    )
    s = best_slope(guess, trials, epsilon=epsilon, upper=False)
    assert kato_lower(guess, trials, guess=guess, epsilon=epsilon) <= (
        martingale_lower(guess, trials, slope=s, epsilon=epsilon) * (1 + 1e-6) + 1e-9 * guess
    )


@settings(max_examples=100, deadline=None)
@given(trials=sizes, share=st.floats(0.001, 0.9), count=st.floats(0.5, 2))
def test_a_count_from_its_expectation_turns_the_upper_bound_round(trials, share, count):
    guess = share * trials
    seen = min(guess * count, trials)
    mean = kato_upper(seen, trials, guess=guess, epsilon=1e-20)
    assert kato_count_lower(mean, trials, guess=guess, epsilon=1e-20) == pytest.approx(
        seen, rel=1e-6, abs=1e-6
    )


def test_guesses_matter_little_for_the_phase_errors():
    """A guess ten times off doubles the width, no more."""
    right = kato_upper(4e3, 1e10, guess=4e3, epsilon=1e-21) - 4e3
    for guess in (4e2, 4e4):
        assert right < kato_upper(4e3, 1e10, guess=guess, epsilon=1e-21) - 4e3 < 3 * right


# --- the bound -----------------------------------------------------------------------------------------


def problem(size, loss_db, *, source=MICIUS, keyed=EVERY, epsilon_at=2.5e-11, **changes):
    foretold, _, _ = link(size, loss_db, source=source)
    table = BasisCounts(foretold.detections, foretold.errors)
    base = BasisProblem(
        source=source,
        key=table,
        test=table,
        keyed=keyed,
        leaked_bits=0.0,
        epsilon_secrecy=2 * epsilon_at / (1 - 1 / 64),
        epsilon_correctness=1e-15,
        test_share=EVEN,
        foretold=foretold,
        pulses=int(2 * size * 10 ** (loss_db / 10) / 0.4997),
    )
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    ("loss_db", "size", "expected"),
    [(30, 3e6, 332_539), (30, 1e7, 1_209_036), (38, 3e6, 300_268), (38, 1e7, 1_127_783)],
)
def test_table_of_the_fact_page_where_its_decoys_outdo_the_cap(loss_db, size, expected):
    """facts/streamed-announcement.md 6, column Kato, which does not cap test errors by those seen."""
    _, leaked, _ = link(size, loss_db)
    terms = kato(problem(size, loss_db))
    assert terms["events"] == 7
    assert terms["epsilon_at"] ** 2 == pytest.approx(EPSILON)
    assert terms["entropy_bits"] - leaked - FIXED_COST == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(
    ("loss_db", "size", "page"), [(30, 1e5, 1_124), (30, 1e6, 94_470), (38, 1e6, 80_098)]
)
def test_errors_are_capped_by_those_that_were_seen(loss_db, size, page):
    _, leaked, _ = link(size, loss_db)
    base = problem(size, loss_db)
    terms = kato(base)
    assert terms["test_single_photon_errors"] == base.test.errors.sum()
    assert terms["entropy_bits"] - leaked - FIXED_COST > page


def test_statements_are_counted():
    leaky = SourceModel((0.8, 0.1, 0.001), (0.5, 0.25, 0.25))
    assert kato_events(problem(1e6, 30)) == 7
    assert kato_events(problem(1e6, 30, keyed=SIGNAL)) == 8
    assert kato_events(problem(1e6, 30, source=leaky)) == 8


def length_of(counts, **arguments):
    arguments = {"receiver": EVEN_RECEIVER, "planned": micius_counts(), "pulses": PULSES} | arguments
    return key_length(counts, None, TARGETS, leaked_bits=leak(counts), bound="variable-kato", **arguments)


def test_a_little_under_the_default_bound_at_micius_counts():
    counts = micius_counts()
    default = key_length(counts, None, TARGETS, leaked_bits=leak(counts)).secret_bits
    assert 0.93 * default < length_of(counts).secret_bits < default


def test_a_wrong_plan_costs_key():
    counts = micius_counts()
    right = length_of(counts).secret_bits
    for sifted, qber in ((200_000, 0.011), (8_000_000, 0.011), (1_671_072, 0.04)):
        planned = micius_counts(sifted=sifted, qber=qber)
        assert 0.5 * right < length_of(counts, planned=planned).secret_bits < right
        terms = length_of(counts, planned=planned).terms["bases"]["Z"]
        exact = length_of(counts).terms["bases"]["Z"]
        assert terms["phase_errors"] > exact["phase_errors"]
        if sifted != 1_671_072:
            assert terms["single_photons"] < exact["single_photons"]
    assert length_of(counts, pulses=2 * PULSES).secret_bits == pytest.approx(right, rel=1e-3)


def test_guesses_are_the_plan_s_and_never_the_block_s():
    """Of errors by class where decoys decide; of single-photon errors where all that were seen count."""
    large, small = (problem(size, 30, epsilon_at=1e-10) for size in (1e8, 1e5))
    for base, term in ((large, "test_single_photon_errors"), (small, "phase_errors")):
        wrong = Foretold(base.foretold.detections, 5 * base.foretold.errors)
        other = kato(msgspec.structs.replace(base, foretold=wrong))
        assert other[term] > kato(base)[term]
    assert kato(small)["test_single_photon_errors"] == small.test.errors.sum()


def test_what_is_fixed_beforehand_must_be_given():
    counts = micius_counts()
    for missing in ({"planned": None}, {"pulses": None}):
        with pytest.raises(ConfigError, match="planned and pulses"):
            length_of(counts, **missing)
    with pytest.raises(ConfigError, match="pulses: expected at least"):
        length_of(counts, pulses=1000)


def test_an_uncertain_split_costs_key_by_its_lower_end():
    counts = micius_counts()
    exact, low, wide = (
        length_of(counts, receiver=msgspec.structs.replace(EVEN_RECEIVER, x_share=share)).terms["bases"]["Z"]
        for share in ((0.5, 0.5), (0.49, 0.49), (0.49, 0.51))
    )
    assert exact["phase_errors"] < low["phase_errors"] == wide["phase_errors"]
