"""Weights hold if and only if no adversary's expectation of e^f is above 1; how they are chosen."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from martingale_models import EPSILON, EVEN, EVERY, MICIUS, SIGNAL, bits, link, normalised
from security_models import holds_from

from satqkd.errors import ConfigError
from satqkd.security import SourceModel, decoy
from satqkd.security.weight_choice import Foretold, around, best_weights, ladder, quick_weights
from satqkd.security.weights import MARGIN, WeightSet, _joint_table, check_photon_numbers

VECTOR = WeightSet(
    tuple(normalised(0, 0.0513, -0.0464)), tuple(-normalised(0, -0.315, 0.219)), 0.019, 0.005194675032
)


def changed(**changes) -> WeightSet:
    return msgspec.structs.replace(VECTOR, **changes)


# --- which weights are refused -------------------------------------------------------------------------


def test_the_vector_holds_with_either_end_of_its_slopes():
    for theta in (0.005194675032, 0.005261044421 - 1e-11):
        changed(theta=theta).verify(MICIUS, EVERY, EVEN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": (0.0, 0.07, -0.03)}, "key: .* pulses of 0 photons"),
        ({"key": (-0.0008163, 0.06, -0.07)}, "key: .* pulses of 2 photons"),
        ({"key": (1e-6, 0.0, -1.0)}, "key: .* pulses of 2 photons"),
        ({"errors": (0.0, 0.2, -0.3)}, "errors: .* pulses of 0 photons"),
        ({"errors": (-1e-4, 0.3, -0.2)}, "errors: .* pulses of 4 photons"),
        ({"errors": (-1e-300, 40.0, 40.0)}, None),  # within the margin
        ({"errors": (-2e-12, 0.0, 0.0)}, "errors: .* pulses of 2 photons"),
        ({"theta": 0.00519467}, "without error"),
        ({"theta": 0.0052611}, "with error"),
        ({"errors": (0.0001191796, 0.3, -0.19)}, "with error"),
        ({"error_rate": 0.018}, "with error"),
        ({"error_rate": 0.5}, "error_rate"),
        ({"error_rate": 0.0}, "error_rate"),
        ({"theta": 0.0}, "theta"),
        ({"theta": math.nan}, "theta"),
        ({"theta": math.inf}, "theta"),
        ({"key": (math.nan, 0.0, 0.0)}, "key: expected 3 numbers"),
        ({"errors": (0.0, math.inf, 0.0)}, "errors: expected 3 numbers"),
        ({"key": (0.0, 0.0)}, "key: expected 3 numbers"),
    ],
)
def test_what_does_not_hold_is_refused_by_name(changes, message):
    if message is None:
        changed(**changes).verify(MICIUS, EVERY, EVEN)
        return
    with pytest.raises(ConfigError, match=message):
        changed(**changes).verify(MICIUS, EVERY, EVEN)


def test_a_negative_slope_would_make_key_of_nothing_and_is_refused():
    """Both lines of single photons hold, and (III) would give 4 600 bits for counts of zero."""
    weights = WeightSet(tuple(normalised(0, 0.5336, -0.4896)), (0.0, 3e-5, -2e-5), 0.05, -0.0106)
    q, c = MICIUS.class_share(1), np.exp(weights.key)
    lost, gained = weights.theta * weights.alpha, weights.theta * (weights.beta - weights.alpha)
    assert q @ c * math.exp(-lost) <= 1
    assert 0.5 * q @ c * math.exp(gained) + 0.5 * q @ np.exp(-np.array(weights.errors)) <= 1
    assert math.log(EPSILON) / weights.theta > 4_000
    with pytest.raises(ConfigError, match="theta > 0"):
        weights.verify(MICIUS, EVERY, EVEN)


def test_a_share_of_tests_must_be_possible():
    for share in ((0.0, 0.5), (0.5, 1.0), (0.6, 0.4)):
        with pytest.raises(ConfigError, match="test share"):
            VECTOR.verify(MICIUS, EVERY, share)


def test_weights_of_one_case_do_not_pass_in_another():
    """Of exact intensities, of an exact split, of all classes keyed: each is refused where less is known."""
    wide = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), ((0.8, 0.8), (0.099, 0.101), (0.0, 0.0)))
    leaking = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), ((0.8, 0.8), (0.1, 0.1), (0.0, 0.0005)))
    for source, keyed, share in (
        (wide, EVERY, EVEN),
        (leaking, EVERY, EVEN),
        (MICIUS, EVERY, (0.49, 0.51)),
        (MICIUS, EVERY, (0.45, 0.45)),
        (MICIUS, SIGNAL, EVEN),
    ):
        with pytest.raises(ConfigError):
            VECTOR.verify(source, keyed, share)


# --- against expectations written out ------------------------------------------------------------------


def expectations(weights, means, probabilities, keyed, t, errors):
    """E[e^f] of every choice in a slot, from the model itself; single photons with each error probability."""
    c, b = np.array(weights.key) - 2 * MARGIN, -np.array(weights.errors) - 2 * MARGIN
    mask = np.array(keyed)
    for n in range(60):
        joint = np.array(probabilities) * np.exp(-np.array(means)) * np.array(means) ** n
        if n == 1:
            q = joint / joint.sum()
            for e in errors:
                right = np.exp(np.where(mask, c - weights.theta * weights.alpha, c))
                wrong = np.exp(np.where(mask, c - weights.theta * (weights.alpha - weights.beta), c))
                key, test = q @ ((1 - e) * right + e * wrong), 1 - e + e * (q @ np.exp(b))
                yield (1 - t) * key + t * test
        elif joint.sum() > 0:
            q = joint / joint.sum()
            yield from (q @ np.exp(c), q @ np.exp(b), 1.0)


@st.composite
def cases(draw):
    dim = draw(st.sampled_from([0.0, 0.0, 0.001, 0.01]))
    weak = dim + draw(st.floats(0.05, 0.25))
    means = (weak + dim + draw(st.floats(0.1, 0.6)), weak, dim)
    p = np.array([draw(st.floats(0.05, 1)) for _ in range(3)])
    first, second, _ = (float(x) for x in p / p.sum())
    spread = draw(st.sampled_from([0.0, 0.0, 0.01, 0.03]))
    intervals = tuple((mu * (1 - spread), mu * (1 + spread) + spread * 0.001) for mu in means)
    source = SourceModel(means, (first, second, 1 - first - second), intervals if spread else None)
    t = draw(st.floats(0.1, 0.6))
    keyed = draw(st.sampled_from([EVERY, SIGNAL, (True, True, False)]))
    size, qber = 10 ** draw(st.floats(4, 8)), draw(st.floats(0.0, 0.06))
    gain = np.array(means) * 1e-3 + 1e-7
    counts = size * gain * np.array(source.probabilities) / float(gain @ source.probabilities)
    wrong = t / (1 - t) * counts * (qber + 5e-8 / gain)
    return source, keyed, (t, t * draw(st.sampled_from([1.0, 1.03]))), Foretold(counts, wrong)


@settings(max_examples=60, deadline=None)
@given(case=cases(), data=st.data())
def test_no_choice_and_no_wandering_intensity_expects_more_than_one(case, data):
    source, keyed, share, foretold = case
    weights = best_weights(source, keyed, share, foretold=foretold, epsilon=1e-21)
    place = st.sampled_from([0.0, 0.3, 1.0])
    intervals = source.intensity_intervals or [(mu, mu) for mu in source.intensities]
    for _ in range(3):
        means = [low + data.draw(place) * (high - low) for low, high in intervals]
        t = share[0] + data.draw(place) * (share[1] - share[0])
        every = list(expectations(weights, means, source.probabilities, keyed, t, (0, 0.2, 1)))
        assert max(every) <= 1


@settings(max_examples=60, deadline=None)
@given(case=cases(), which=st.integers(0, 6), step=st.sampled_from([1e-6, 1e-3, 0.1]))
def test_whatever_passes_holds_and_what_is_clearly_more_is_refused(case, which, step):
    """One number of a good set is moved: the check says what the expectations written out say."""
    source, keyed, share, foretold = case
    assume(source.exact and share[0] == share[1])
    good = best_weights(source, keyed, share, foretold=foretold, epsilon=1e-21)
    numbers = np.array([*good.key, *good.errors, good.theta])
    signs = np.array([1, 1, 1, -1, -1, -1, -1])
    numbers[which] += signs[which] * step * max(abs(numbers[which]), 1e-3)
    moved = WeightSet(tuple(numbers[:3]), tuple(numbers[3:6]), good.error_rate, float(numbers[6]))
    every = list(expectations(moved, source.intensities, source.probabilities, keyed, share[0], (0, 1)))
    if max(every) > 1:
        with pytest.raises(ConfigError):
            moved.verify(source, keyed, share)
    elif max(*every[:-1], 1 - 1e-9) < 1 - 1e-11:
        moved.verify(source, keyed, share)


@settings(max_examples=60, deadline=None)
@given(case=cases(), scale=st.floats(0.1, 3))
def test_the_check_of_photon_numbers_agrees_with_the_decoy_inequalities(case, scale):
    """Photon numbers tried one by one and the table of this room say the same of weights near the edge."""
    source, _, _, _ = case
    shape = decoy.single_photon_weights(source)
    assume(shape.any())
    v = np.log1p(scale * 1e-3 * shape / np.abs(shape).max()) + np.array([-1e-9, 0, -1e-9])
    for values in (v, v + np.array([0, 1e-5, 0])):
        low, high = source.joint_bounds(0)
        u = np.expm1(values)
        expected = holds_from(2, u, source) and float(np.maximum(u * low, u * high).sum()) <= 0
        if expected:
            check_photon_numbers("key", values, source)
        else:
            with pytest.raises(ConfigError):
                check_photon_numbers("key", values, source)


# --- choosing ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_chosen_weights_hold_and_are_short_numbers(case):
    source, keyed, share, foretold = case
    for choose in (best_weights, quick_weights):
        chosen = choose(source, keyed, share, foretold=foretold, epsilon=1e-21)
        chosen.verify(source, keyed, share)
        for number in (*chosen.key, *chosen.errors, chosen.error_rate, chosen.theta):
            assert number == float(f"{number:.6g}")
            assert math.copysign(1, number) > 0 or number < 0
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(chosen), type=WeightSet) == chosen


@pytest.mark.parametrize("size", [1e5, 1e6, 1e8])
@pytest.mark.parametrize("keyed", [EVERY, SIGNAL])
def test_no_small_move_betters_the_best(size, keyed):
    """Each free number moved both ways, the others following: never more than the rounding's worth."""
    foretold, _, _ = link(size, 30)
    best = best_weights(MICIUS, keyed, EVEN, foretold=foretold, epsilon=EPSILON)
    found = bits(best, foretold, keyed=keyed)
    assert found > 0
    rng = np.random.Generator(np.random.Philox(1))
    tried = 0
    for _ in range(4000):
        numbers = np.array([*best.key, *best.errors, best.error_rate, best.theta])
        numbers *= 1 + rng.normal(size=8) * 10 ** rng.uniform(-4, -1.5)
        numbers[:6] += rng.normal(size=6) * 1e-5
        moved = WeightSet(tuple(numbers[:3]), tuple(numbers[3:6]), float(numbers[6]), float(numbers[7]))
        try:
            assert bits(moved, foretold, keyed=keyed) <= found * (1 + 3e-5) + 1
            tried += 1
        except ConfigError:
            continue
    assert tried > 100


def test_an_uncertain_split_is_chosen_for_by_its_lower_end():
    """Fewer tests make every error weigh more; the other end then holds by itself."""
    foretold, _, _ = link(1e6, 30)
    wide, low = (
        best_weights(MICIUS, EVERY, share, foretold=foretold, epsilon=EPSILON)
        for share in ((0.45, 0.55), (0.45, 0.45))
    )
    assert wide == low


@pytest.mark.parametrize("size", [1e5, 1e7])
def test_no_small_move_betters_weights_of_uncertain_intensities(size):
    """They meet the lines of single photons at the worst ends: a shorter a, or a smaller theta, fails."""
    intervals = ((0.76, 0.84), (0.095, 0.105), (0.0, 0.002))
    source = SourceModel(MICIUS.intensities, MICIUS.probabilities, intervals)
    foretold, _, _ = link(size, 30)
    best = best_weights(source, EVERY, EVEN, foretold=foretold, epsilon=EPSILON)
    for changes in (
        {"errors": tuple(a * (1 - 3e-5) for a in best.errors)},
        {"theta": best.theta * (1 - 1e-5)},
    ):
        with pytest.raises(ConfigError, match="single photons"):
            msgspec.structs.replace(best, **changes).verify(source, EVERY, EVEN)


def test_poisson_weights_are_bounded_inside_their_interval_too():
    """e^-mu mu^n is largest at mu = n, which may lie between the ends."""
    source = SourceModel((5.0, 2.0, 0.0), (0.5, 0.25, 0.25), ((4.0, 6.0), (1.5, 2.6), (0.0, 0.1)))
    low, high = _joint_table(source).others
    means = np.array([np.linspace(*interval, 1001) for interval in source.intensity_intervals])
    for row, n in enumerate((0, 2, 3, 4, 5, 6, 7)):
        every = np.exp(-means) * (means / 6.0) ** n * np.array(source.probabilities)[:, None]
        assert low[row] == pytest.approx(every.min(axis=1), rel=1e-12)
        assert high[row] == pytest.approx(every.max(axis=1), rel=1e-5)


@pytest.mark.parametrize("size", [1e5, 1e6, 1e7])
def test_quick_weights_are_nearly_the_best(size):
    foretold, _, _ = link(size, 30)
    best, quick = (
        bits(choose(MICIUS, EVERY, EVEN, foretold=foretold, epsilon=EPSILON), foretold)
        for choose in (best_weights, quick_weights)
    )
    assert 0.99 * best < quick <= best * 1.0001


def test_nothing_foretold_claims_nothing():
    for counts in (np.zeros(3), np.array([0.0, 0.0, 5.0])):
        foretold = Foretold(counts, np.zeros(3))
        weights = best_weights(MICIUS, EVERY, EVEN, foretold=foretold, epsilon=EPSILON)
        weights.verify(MICIUS, EVERY, EVEN)
        assert bits(weights, foretold) <= 0


def test_intervals_too_wide_claim_nothing():
    source = SourceModel((0.8, 0.1, 0.0), (0.5, 0.25, 0.25), ((0.15, 0.9), (0.01, 0.14), (0.0, 0.005)))
    foretold, _, _ = link(1e6, 30)
    weights = best_weights(source, EVERY, EVEN, foretold=foretold, epsilon=EPSILON)
    assert bits(weights, foretold, source=source) <= 0


def test_two_classes_are_refused():
    source = SourceModel((0.6, 0.15), (0.7, 0.3))
    with pytest.raises(ConfigError, match="three classes"):
        best_weights(source, (True, False), EVEN, foretold=Foretold(np.ones(2), np.ones(2)), epsilon=1e-20)


def test_a_ladder_knows_the_settings_alone():
    sets = ladder(MICIUS, SIGNAL, EVEN, epsilon=EPSILON)
    assert 8 <= len(sets) <= 20
    assert sets == ladder(
        SourceModel(MICIUS.intensities, MICIUS.probabilities), SIGNAL, EVEN, epsilon=EPSILON
    )
    assert len(set(sets)) == len(sets)


def test_sets_around_a_prediction_are_eight_and_do_not_hold_elsewhere():
    foretold, _, _ = link(1e6, 30)
    sets = around(MICIUS, EVERY, EVEN, foretold=foretold, epsilon=EPSILON)
    assert len(sets) == 8
    for each in sets:
        each.verify(MICIUS, EVERY, EVEN)
        with pytest.raises(ConfigError):
            each.verify(MICIUS, EVERY, (0.4, 0.4))
