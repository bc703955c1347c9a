"""Adversaries that see bases and classes while they act: no bound here fails more often than it may.

By exhaustion: dynamic programming over all adaptive strategies, exact. By dice: strategies that gamble, stop
when ahead, go by the last label, hear late. And a hypergeometric bound, which is not made for this, fails in
the same kind of simulation: the tests can see failure.
"""

import math

import msgspec
import numpy as np
import pytest
from adaptive_attacks import ERRORS, KEY, PHASE, SINGLES, Exhaustive, Game, gambles, third
from martingale_models import EVEN, EVERY, MICIUS, SIGNAL, link

from satqkd.errors import ConfigError
from satqkd.randomness import stream
from satqkd.security import SourceModel, tails
from satqkd.security.martingale import phase_errors_upper, secret_bits_lower, single_photons_lower
from satqkd.security.weight_choice import best_weights
from satqkd.security.weights import WeightSet

EPSILON = 0.01
LOG_FAILURE = -math.log(EPSILON)
LEAKY = SourceModel((0.6, 0.15, 0.003), (0.7, 0.2, 0.1))


def small_block_weights(size, source=MICIUS, keyed=EVERY, t=0.5) -> WeightSet:
    """Good ones for so few detections at one in a hundred."""
    foretold, _, _ = link(size, 20, source=source, qber=0.02)
    return best_weights(source, keyed, (t, t), foretold=foretold, epsilon=EPSILON)


# --- every strategy ----------------------------------------------------------------------------------------


def tangent(ratio: float) -> float:
    """The x0 with beta / alpha = ratio, which is above 2."""
    low, high = 1e-12, 0.5
    for _ in range(100):
        x0 = (low + high) / 2
        steeper = math.log2((1 - x0) / x0) > ratio * (1 + math.log2(1 - x0))
        low, high = (x0, high) if steeper else (low, x0)
    return low


def on_lattice(good: WeightSet, source, keyed, share, pitch) -> WeightSet:
    """The nearest set whose c, a, theta alpha and theta beta are multiples of the pitch and that holds."""
    key = tuple((np.floor(np.array(good.key) / pitch) * pitch).tolist())
    lost = math.ceil(good.theta * good.alpha / pitch) * pitch
    for less in range(100):
        back = (math.floor(good.theta * good.beta / pitch) - less) * pitch
        x0 = tangent(back / lost)
        errors = tuple((np.ceil(np.array(good.errors) / pitch) * pitch).tolist())
        candidate = WeightSet(key, errors, x0, lost / (1 + math.log2(1 - x0)))
        try:
            candidate.verify(source, keyed, share)
        except ConfigError:
            continue
        return candidate
    raise AssertionError("no set on the lattice holds")


def worst_case(choices, coefficients, *, pitch, slots):
    found = Exhaustive(choices, coefficients, pitch=pitch, log_failure=LOG_FAILURE, depth=25)
    return found.run(slots)


CASES = [
    (MICIUS, EVERY, 0.5, 1_000),
    (MICIUS, EVERY, 0.5, 10_000),
    (MICIUS, SIGNAL, 0.5, 3_000),
    (MICIUS, SIGNAL, 0.3, 5_000),
    (LEAKY, EVERY, 0.3, 3_000),
    (LEAKY, (True, True, False), 0.5, 10_000),
]


@pytest.mark.parametrize(("source", "keyed", "t", "size"), CASES)
def test_no_strategy_beats_three(source, keyed, t, size):
    pitch = 0.002
    weights = on_lattice(small_block_weights(size, source, keyed, t), source, keyed, (t, t), pitch)
    worst = worst_case(gambles(source, keyed, t), third(weights), pitch=pitch, slots=300)
    assert 0.2 * EPSILON < worst <= EPSILON


@pytest.mark.parametrize(("source", "keyed", "t", "size"), CASES)
def test_no_strategy_beats_one_or_two(source, keyed, t, size):
    """Slopes rounded to the lattice on the safe side, which `single_photons_lower` and its like need not."""
    pitch = 0.002
    weights = on_lattice(small_block_weights(size, source, keyed, t), source, keyed, (t, t), pitch)
    c, a = np.array(weights.key), np.array(weights.errors)
    mask, q = np.array(keyed), source.class_share(1)
    gained = q * np.exp(c)
    theta = math.log(gained[mask].sum() / (1 - gained[~mask].sum()))
    key = np.array([*c, 0, 0, 0, -math.ceil(theta / pitch) * pitch, 0])
    rest = 1 - t * float(q @ np.exp(-a)) - (1 - t) * float(q[~mask].sum())
    u = math.log(rest / ((1 - t) * float(q[mask].sum())))
    phase = np.array([0, 0, 0, *-a, 0, math.floor(u / pitch) * pitch])
    choices = gambles(source, keyed, t)
    for coefficients in (key, phase):
        assert 0.2 * EPSILON < worst_case(choices, coefficients, pitch=pitch, slots=600) <= EPSILON


@pytest.mark.parametrize(
    "broken",
    [
        lambda w: {"theta": 0.9 * w.theta},
        lambda w: {"key": (w.key[0], w.key[1] + 0.03, w.key[2])},
        lambda w: {"key": (w.key[0], w.key[1], w.key[2] + 0.1)},
        lambda w: {"errors": (w.errors[0], w.errors[1] - 0.06, w.errors[2])},
        lambda w: {"errors": (-0.01, w.errors[1], w.errors[2])},
        lambda w: {"errors": (w.errors[0], w.errors[1], w.errors[2] - 0.06)},
    ],
)
def test_weights_that_verify_refuses_are_beaten(broken):
    """Power: each condition is there for a reason, and exhaustion finds it."""
    pitch = 0.002
    good = on_lattice(small_block_weights(3_000), MICIUS, EVERY, EVEN, pitch)
    bad = msgspec.structs.replace(good, **broken(good))
    with pytest.raises(ConfigError):
        bad.verify(MICIUS, EVERY, EVEN)
    coefficients = np.rint(third(bad) / pitch) * pitch
    assert worst_case(gambles(MICIUS, EVERY, 0.5), coefficients, pitch=pitch, slots=2_000) > EPSILON


@pytest.mark.soak
@pytest.mark.parametrize(("source", "keyed", "t", "size"), CASES)
def test_no_strategy_beats_three_in_a_longer_block(source, keyed, t, size):
    pitch = 0.001
    weights = on_lattice(small_block_weights(size, source, keyed, t), source, keyed, (t, t), pitch)
    worst = worst_case(gambles(source, keyed, t), third(weights), pitch=pitch, slots=10_000)
    assert 0.4 * EPSILON < worst <= EPSILON


# --- strategies with dice ----------------------------------------------------------------------------------


def always(name):
    return lambda game: np.full(game.runs, game.number[name])


def until_ahead(strategy):
    """Optional stopping: empty slots from the moment that what she heard is ahead."""
    return lambda game: np.where(game.heard >= LOG_FAILURE, -1, strategy(game))


def honest(error_rate=0.02, background=0.02):
    """A channel: mostly single photons, a share of pairs and of empty pulses that err half of the time."""

    def choose(game):
        u, v = game.rng.random(game.runs), game.rng.random(game.runs)
        one = np.where(v < error_rate, game.number["one photon, wrong"], game.number["one photon, right"])
        dark = np.where(v < 0.5, game.number["0 photons, key"], game.number["0 photons, error"])
        dark = np.where(game.rng.random(game.runs) < 0.25, -1, dark)
        pair = np.where(v < 0.5, game.number["2 photons, key"], -1)
        return np.where(u < background, dark, np.where(u < 0.3, pair, one))

    return choose


def bold(game):
    """Behind, gamble high with empty pulses; near the goal, take the smallest steps."""
    high, low = game.number["0 photons, key"], game.number["2 photons, key"]
    return np.where(game.heard < 0.5 * LOG_FAILURE, high, low)


def label_watcher(game):
    """Err as long as errors are not seen; after one that was, send right ones."""
    right, wrong = game.number["one photon, right"], game.number["one photon, wrong"]
    return np.where(game.tested, right, wrong)


def mixed(game):
    """Anything at random."""
    return game.rng.integers(-1, len(game.number), game.runs)


STRATEGIES = {
    "always wrong": until_ahead(always("one photon, wrong")),
    "always right": until_ahead(always("one photon, right")),
    "empty pulses keyed": until_ahead(always("0 photons, key")),
    "pairs keyed": until_ahead(always("2 photons, key")),
    "empty pulses wrong": until_ahead(always("0 photons, error")),
    "bold": until_ahead(bold),
    "label watcher": until_ahead(label_watcher),
    "mixed": until_ahead(mixed),
    "honest": until_ahead(honest()),
    "honest, never stops": honest(),
}


def played(strategy, weights, *, runs, slots, lag, name, keyed=EVERY, t=0.5):
    choices = gambles(MICIUS, keyed, t)
    rng = stream(11, "security", name)
    return Game(choices, third(weights), runs=runs, lag=lag, rng=rng).play(strategy, slots)


def allowed(runs):
    return EPSILON * runs + 3.5 * math.sqrt(EPSILON * runs)


@pytest.mark.parametrize("lag", [0, 20])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_do_not_beat_three(strategy, lag):
    runs, slots = 3_000, 250
    weights = small_block_weights(3_000)
    game = played(STRATEGIES[strategy], weights, runs=runs, slots=slots, lag=lag, name=f"{strategy}-{lag}")
    assert (game.highest >= LOG_FAILURE).sum() <= allowed(runs)
    claimed = [
        secret_bits_lower(
            weights, MICIUS, EVERY, EVEN, detections=row[KEY], errors=row[ERRORS], epsilon=EPSILON
        )
        for row in game.tally[:200]
    ]
    truth = weights.alpha * game.tally[:, SINGLES] - weights.beta * game.tally[:, PHASE]
    # The sum that was followed is the bound's own claim.
    follows = (game.sum - LOG_FAILURE) / weights.theta
    assert np.array(claimed) - truth[:200] == pytest.approx(follows[:200], abs=1e-6)


def test_an_adversary_comes_near_what_is_allowed():
    """Power: there is little slack, so a bound that fails a few times too often would be seen."""
    runs = 6_000
    rates = {
        name: (
            played(
                STRATEGIES[name], small_block_weights(3_000), runs=runs, slots=600, lag=0, name=f"near-{name}"
            ).highest
            >= LOG_FAILURE
        ).mean()
        for name in ("always wrong", "always right", "bold")
    }
    assert max(rates.values()) > 0.005


def test_a_slope_half_as_large_is_seen_to_fail():
    weights = small_block_weights(3_000)
    greedy = msgspec.structs.replace(weights, theta=0.5 * weights.theta)
    runs = 3_000
    game = played(STRATEGIES["always right"], greedy, runs=runs, slots=600, lag=0, name="greedy")
    assert (game.highest >= LOG_FAILURE).sum() > 2 * allowed(runs)


@pytest.mark.soak
@pytest.mark.parametrize("keyed", [EVERY, SIGNAL])
@pytest.mark.parametrize("lag", [0, 300])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_do_not_beat_three_in_a_longer_block(strategy, lag, keyed):
    runs, slots = 10_000, 3_000
    weights = small_block_weights(30_000, keyed=keyed)
    game = played(
        STRATEGIES[strategy],
        weights,
        runs=runs,
        slots=slots,
        lag=lag,
        name=f"soak-{strategy}-{lag}-{keyed}",
        keyed=keyed,
    )
    assert (game.highest >= LOG_FAILURE).sum() <= allowed(runs)


def test_one_and_two_hold_at_the_end_of_an_honest_block_and_under_attack():
    """Counts into `single_photons_lower` and `phase_errors_upper` themselves, truths beside them."""
    runs, weights = 1_500, small_block_weights(3_000)
    c, a = np.array(weights.key), np.array(weights.errors)
    for name in ("honest", "always wrong", "mixed"):
        game = played(STRATEGIES[name], weights, runs=runs, slots=250, lag=0, name=f"parts-{name}")
        fewer = more = 0
        for row in game.tally:
            singles = single_photons_lower(c, MICIUS, EVERY, detections=row[KEY], epsilon=EPSILON)
            phase = phase_errors_upper(a, MICIUS, EVERY, EVEN, errors=row[ERRORS], epsilon=EPSILON)
            fewer += singles > row[SINGLES]
            more += phase < row[PHASE]
        assert max(fewer, more) <= allowed(runs)


# --- power: the bound that is not made for this ------------------------------------------------------------


class SampleAttack:
    """Single photons only. Eve errs in every round, watches labels, and sends right ones for good from the
    round in which the errors seen are fewer than the bound allows for those she made."""

    def __init__(self, *, rounds, t, runs, name):
        self.rounds, self.t, self.runs = rounds, t, runs
        self.rng = stream(13, "security", name)

    def tested_after(self):
        """Test errors among the first j wrong rounds, j = 0.., one row after another for each run."""
        for _ in range(self.runs):
            yield np.concatenate([[0], np.cumsum(self.rng.random(self.rounds) < self.t)])

    def failures(self, most_unseen, holds):
        """Runs in which a rule for stopping, `most_unseen[m]`, ends with a bound that does not hold."""
        failed = 0
        for tested in self.tested_after():
            unseen = np.arange(tested.size) - tested
            ahead = np.flatnonzero(unseen > most_unseen[np.minimum(tested, most_unseen.size - 1)])
            stop = int(ahead[0]) if ahead.size else self.rounds
            m = int(tested[stop])
            rest = int(self.rng.binomial(self.rounds - stop, self.t))
            failed += not holds(m, m + rest, self.rounds - m - rest, stop - m)
        return failed


def hypergeometric_limits(rounds, t):
    """The bound at the expected sizes, by errors seen, every one up to where it allows all."""
    tests, keys = round(rounds * t), round(rounds * (1 - t))
    limits = []
    for m in range(tests + 1):
        limits.append(tails.phase_errors_upper(m, tests, keys, epsilon=EPSILON))
        if limits[-1] >= keys:
            break
    return np.array(limits)


def sample_holds(m, tests, keys, unseen):
    return unseen <= tails.phase_errors_upper(m, tests, keys, epsilon=EPSILON)


def test_the_hypergeometric_bound_fails_when_labels_are_told_early():
    rounds, t, runs = 2_000, 0.5, 3_000
    limits = hypergeometric_limits(rounds, t)
    adaptive = SampleAttack(rounds=rounds, t=t, runs=runs, name="adaptive")
    assert 0.015 * runs < adaptive.failures(limits, sample_holds) < 0.06 * runs


def test_the_hypergeometric_bound_holds_when_they_are_told_at_the_end():
    """The same number of wrong rounds, but fixed: within epsilon."""
    rounds, t, runs = 2_000, 0.5, 2_000
    rng = stream(13, "security", "fixed")
    failed = 0
    for wrong in (20, 200, 600):
        for _ in range(runs // 3):
            m = int(rng.binomial(wrong, t))
            rest = int(rng.binomial(rounds - wrong, t))
            failed += not sample_holds(m, m + rest, rounds - m - rest, wrong - m)
    assert failed <= allowed(runs)


def test_the_martingale_holds_where_the_hypergeometric_bound_fails():
    """Every class weighs alike, which leaves (II) with single photons alone."""
    rounds, t, runs = 2_000, 0.5, 3_000
    a = np.full(3, 0.08)

    def limit(m):
        return phase_errors_upper(a, MICIUS, EVERY, (t, t), errors=np.array([m, 0.0, 0.0]), epsilon=EPSILON)

    limits = np.array([limit(float(m)) for m in range(rounds)])
    attack = SampleAttack(rounds=rounds, t=t, runs=runs, name="martingale")
    failed = attack.failures(limits, lambda m, tests, keys, unseen: unseen <= limits[m])
    assert 0.003 * runs < failed <= allowed(runs)


@pytest.mark.soak
@pytest.mark.parametrize(("t", "least"), [(0.5, 0.04), (0.2, 0.04)])
def test_the_hypergeometric_bound_fails_more_often_in_larger_blocks(t, least):
    rounds, runs = 20_000, 3_000
    limits = hypergeometric_limits(rounds, t)
    adaptive = SampleAttack(rounds=rounds, t=t, runs=runs, name=f"adaptive-{t}")
    assert adaptive.failures(limits, sample_holds) > least * runs
