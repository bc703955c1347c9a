"""The optimiser finds what grids and dice do not beat and keeps limits; its quick bound never flatters."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from satqkd.errors import ConfigError, DataFormatError
from satqkd.security import ReceiverModel, SecurityTargets, SourceModel, key_length, variable
from satqkd.security.channel import Channel, SourceSettings
from satqkd.security.optimise import Optimum, expected_key_of, optimise
from satqkd.security.plan import (
    Policy,
    Prior,
    Scenario,
    exact_bits,
    exact_key,
    expected_rows,
    fixed_length,
    variable_length,
)
from satqkd.security.problem import BasisCounts, BasisProblem
from satqkd.security.quick import quick_bits
from satqkd.security.quick_sharp import QuickSharp
from satqkd.security.settings_space import SettingsLimits, SettingsSpace
from satqkd.security.simplex import climb

POLICY = Policy(
    security=SecurityTargets(1e-9, 1e-15), keyed_bases=("Z",), keyed_classes=("signal", "decoy", "vacuum")
)
FREE = SettingsLimits(station_basis_z_probability=None)


def link(sifted: float = 1e6, *, loss_db: float = 30.0, noise: float = 5e-7, error: float = 0.008) -> Channel:
    """A steady link that gives so many sifted bits at 0.5 photons a pulse and even bases."""
    eta = 10 ** (-loss_db / 10)
    gain = 1 - (1 - noise) * math.exp(-0.5 * eta)
    return Channel.of(pulses=[2 * sifted / gain], transmittance=eta, optical_error=error, noise=noise)


def worth(channel: Channel, source: SourceSettings, policy: Policy = POLICY) -> float:
    return float(quick_bits(source, *(table[None] for table in channel.counts(source)), policy)[0])


def drawn(rng: np.random.Generator, *, classes: int = 3) -> SourceSettings:
    mu = rng.uniform(0.2, 1.0)
    p = rng.dirichlet(np.ones(classes))
    z = rng.uniform(0.3, 0.99)
    intensities = (mu, mu * rng.uniform(0.05, 0.6), 0.0)[:classes]
    return SourceSettings(intensities, (*p[:-1].tolist(), 1 - float(p[:-1].sum())), z, z)


class TestQuickBound:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 100_000))
    def test_it_never_gives_more_than_the_bound_itself(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        classes = int(rng.integers(2, 4))
        source = drawn(rng, classes=classes)
        assume(min(source.probabilities) > 1e-3)
        keyed = [(True, False, False), (True, True, False), (True, True, True)][rng.integers(3)]
        keyed = (True, False) if classes == 2 else keyed
        receiver = ReceiverModel(efficiency_spread=float(rng.choice([0.0, 0.01])), dark_probability=1e-7)
        channel = link(
            10 ** rng.uniform(3.5, 8),
            loss_db=rng.uniform(20, 45),
            noise=10 ** rng.uniform(-8, -6),
            error=rng.uniform(0, 0.05),
        )
        n, m = (np.round(table) for table in channel.counts(source))
        m = np.minimum(n, m)
        problem = BasisProblem(
            source=source.model,
            key=BasisCounts(n[0], m[0]),
            test=BasisCounts(n[1], m[1]),
            keyed=keyed,
            leaked_bits=0.07 * n[0, 0],
            epsilon_secrecy=1e-9,
            epsilon_correctness=1e-15,
            receiver=receiver,
        )
        quick = QuickSharp(source.model, keyed, POLICY.security, receiver)
        assert quick.events == variable.sharp_events(problem)
        terms = variable.sharp(problem)
        exact = terms["entropy_bits"] - sum(
            terms[name] for name in ("leaked_bits", "amplification_bits", "verification_bits")
        )
        tables = (table.tolist() for table in (n[0], m[0], n[1], m[1]))
        got = quick.bits(*tables, problem.leaked_bits)
        assert got <= exact + 1e-6
        if exact > 3e4:
            assert got > 0.9 * exact

    def test_other_bounds_are_taken_as_they_are(self) -> None:
        channel, source = link(1e8), SourceSettings((0.6, 0.2, 0.0), (0.6, 0.3, 0.1), 0.8, 0.8)
        for bound in ("variable", "lim2014", "asymptotic"):
            policy = msgspec.structs.replace(POLICY, bound=bound)
            exact = exact_key(source, channel, policy).secret_bits
            assert worth(channel, source, policy) == pytest.approx(exact, rel=1e-4)
            assert exact > 1e6

    def test_the_answer_is_of_the_function_both_ends_call(self) -> None:
        channel, source = link(), SourceSettings((0.6, 0.2, 0.0), (0.6, 0.3, 0.1), 0.8, 0.8)
        rows = expected_rows(source, channel)
        n = sum(row.detections for row in rows if row.basis == "Z")
        m = sum(row.errors for row in rows if row.basis == "Z")
        wanted = key_length(
            rows,
            SourceModel(source.intensities, source.probabilities),
            POLICY.security,
            leaked_bits={"Z": math.ceil(POLICY.leak(n, m))},
            keyed_bases=("Z",),
            keyed_classes=("signal", "decoy", "vacuum"),
        )
        assert exact_key(source, channel, POLICY).secret_bits == wanted.secret_bits > 1e5


class TestOptimum:
    def test_neither_dice_nor_a_grid_around_beat_it(self) -> None:
        for sifted, loss_db in ((1e5, 30), (1e6, 38), (1e7, 25)):
            channel = link(sifted, loss_db=loss_db)
            best = optimise([Scenario(channel)], POLICY, FREE).settings
            most = worth(channel, best)
            rng = np.random.default_rng(int(sifted))
            space = SettingsSpace(FREE)
            centre = space.coordinates(best)
            for _ in range(150):
                assert worth(channel, drawn(rng)) <= most
                near = space.settings(centre + rng.uniform(-0.5, 0.5, centre.size))
                assert worth(channel, near) <= most * (1 + 1e-4)
            for axis in range(space.dimension):
                for step in (-0.2, -0.05, 0.05, 0.2):
                    near = space.settings(centre + step * np.eye(space.dimension)[axis])
                    assert worth(channel, near) <= most * (1 + 1e-4)

    def test_it_doubles_what_fixed_settings_of_published_links_give(self) -> None:
        channel = link(1e6)
        usual = SourceSettings((0.5, 0.1, 0.0), (0.5, 0.25, 0.25), 0.5, 0.5)
        found = optimise([Scenario(channel)], POLICY, FREE)
        assert found.expected_bits > 3 * exact_key(usual, channel, POLICY).secret_bits > 0

    def test_it_is_never_worse_than_what_it_starts_from(self) -> None:
        channel = link(1.6e4)
        far = optimise([Scenario(channel)], POLICY, FREE)
        near = optimise([Scenario(channel)], POLICY, FREE, starts=[far.settings])
        assert worth(channel, near.settings) >= worth(channel, far.settings) * (1 - 1e-3) > 0
        assert near.evaluations < 0.7 * far.evaluations

    def test_two_searches_find_the_same(self) -> None:
        channel = link(2e5)
        first, again = (optimise([Scenario(channel)], POLICY, FREE) for _ in range(2))
        assert first.settings == again.settings and first.evaluations == again.evaluations

    def test_the_order_of_passes_makes_no_difference(self) -> None:
        passes = [
            Scenario(link(sifted, loss_db=loss), weight, Prior.gaussian(2.0, nodes=3))
            for sifted, loss, weight in ((1e5, 32, 0.1), (1e6, 28, 0.7), (3e5, 40, 0.3), (2e5, 35, 1.0))
        ]
        asked: list[list[float]] = []

        def spy(source: SourceSettings, n: np.ndarray, m: np.ndarray, policy: Policy) -> np.ndarray:
            asked[-1].append(float(n.sum()))
            return quick_bits(source, n, m, policy)

        found = []
        for each in (passes, passes[::-1]):
            asked.append([])
            found.append(optimise(each, POLICY, FREE, bits=spy, tolerance=1e-4))
        first, turned = found
        assert asked[0] == asked[1] and first.settings == turned.settings
        assert first.expected_bits == pytest.approx(turned.expected_bits, rel=1e-12)

    def test_one_decoy_wins_where_little_light_arrives(self) -> None:
        def best(sifted: float, loss_db: float) -> list[float]:
            policy = msgspec.structs.replace(POLICY, keyed_classes=("signal",))
            limits = [msgspec.structs.replace(FREE, decoys=n) for n in (1, 2)]
            channel = Scenario(link(sifted, loss_db=loss_db))
            return [optimise([channel], policy, each).expected_bits for each in limits]

        one, two = best(1e5, 25)
        assert two > 1.02 * one > 0
        one, two = best(1e8, 45)
        assert one > 1.02 * two > 0

    def test_streams_of_passes_are_worth_their_sum(self) -> None:
        channels = (link(2e5), link(1e6))
        found = optimise([Scenario(each, 0.5) for each in channels], POLICY, FREE)
        alone = [exact_key(found.settings, each, POLICY).secret_bits for each in channels]
        assert found.expected_bits == pytest.approx(0.5 * sum(alone))
        assert [row.tolist() for row in found.lengths_bits] == [[float(bits)] for bits in alone]


class TestLimits:
    @pytest.mark.parametrize(
        "limits",
        [
            SettingsLimits(intensities=(0.8, 0.1, 0.0), station_basis_z_probability=None),
            SettingsLimits(probabilities=(0.5, 0.25, 0.25), station_basis_z_probability=0.5),
            SettingsLimits(basis_z_probability=0.5, station_basis_z_probability=0.5),
            SettingsLimits(intensity_range=(0.2, 0.5), least_probability=0.1),
            SettingsLimits(vacuum_intensity=0.002, station_basis_z_probability=None),
            SettingsLimits(decoys=1, intensity_range=(0.15, 0.4)),
            SettingsLimits(station_basis_z_probability=None, bases_alike=True),
            SettingsLimits(
                intensities=(0.8, 0.1, 0.0),
                probabilities=(0.5, 0.25, 0.25),
                basis_z_probability=0.5,
                station_basis_z_probability=0.5,
            ),
        ],
        ids=lambda each: str({k: v for k, v in msgspec.structs.asdict(each).items() if v}),
    )
    def test_every_limit_is_kept_and_more_freedom_is_no_less_key(self, limits: SettingsLimits) -> None:
        policy = msgspec.structs.replace(POLICY, keyed_classes=("signal",))
        channel = link(3e6)
        found = optimise([Scenario(channel)], policy, limits)
        source, space = found.settings, SettingsSpace(limits)
        assert space.allows(source)
        for name in ("intensities", "probabilities", "basis_z_probability", "station_basis_z_probability"):
            given = getattr(limits, name)
            assert given is None or getattr(source, name) == given
        low, high = limits.intensity_range
        if limits.intensities is None:
            assert source.intensities[0] <= high and source.intensities[1] >= low
        assert source.intensities[2:] == (limits.vacuum_intensity,)[: 2 * limits.decoys - 2]
        if limits.probabilities is None:
            assert min(source.probabilities) >= limits.least_probability
        if limits.bases_alike:
            assert source.basis_z_probability == source.station_basis_z_probability
        assert sum(source.probabilities) == pytest.approx(1, abs=1e-12)
        wider = optimise([Scenario(channel)], policy, msgspec.structs.replace(FREE, decoys=limits.decoys))
        assert 0 < found.expected_bits <= wider.expected_bits * 1.001

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10_000), st.sampled_from([1, 2]), st.floats(0, 0.01), st.floats(0.5, 30))
    def test_every_point_is_allowed_and_found_again(
        self, seed: int, decoys: int, vacuum: float, reach: float
    ) -> None:
        limits = SettingsLimits(
            decoys=decoys,
            vacuum_intensity=vacuum,
            station_basis_z_probability=None,
            intensity_range=(0.02, 0.9),
        )
        space = SettingsSpace(limits)
        place = np.random.default_rng(seed).uniform(-reach, reach, space.dimension)
        source = space.settings(place)
        assert space.allows(source) and space.allows(space.rounded(source))
        assert source.model.classes == decoys + 1
        if reach < 3:
            assert space.coordinates(source) == pytest.approx(place, abs=1e-6)

    def test_what_is_told_has_four_decimals(self) -> None:
        source = optimise([Scenario(link(1e6))], POLICY, FREE).settings
        told = (*source.intensities, *source.probabilities, source.basis_z_probability)
        assert all(round(value, 4) == value for value in told)

    def test_intervals_grow_with_the_intensities(self) -> None:
        limits = SettingsLimits(relative_intervals=((0.95, 1.05), (0.9, 1.1)), vacuum_interval=(0.0, 1e-4))
        found = optimise([Scenario(link(1e7))], POLICY, limits)
        signal, decoy, vacuum = found.settings.intensity_intervals
        assert signal == pytest.approx(
            (0.95 * found.settings.intensities[0], 1.05 * found.settings.intensities[0])
        )
        assert decoy == pytest.approx(
            (0.9 * found.settings.intensities[1], 1.1 * found.settings.intensities[1])
        )
        assert vacuum == (0.0, 1e-4)
        exact = optimise([Scenario(link(1e7))], POLICY, SettingsLimits())
        assert 0 < found.expected_bits < 0.9 * exact.expected_bits

    def test_intervals_that_would_meet_are_gone_around(self) -> None:
        wide = SettingsLimits(relative_intervals=((0.6, 1.4), (0.6, 1.4)), vacuum_interval=(0.0, 0.0))
        found = optimise([Scenario(link(1e7))], msgspec.structs.replace(POLICY, bound="variable-sharp"), wide)
        (signal, _), (_, decoy) = found.settings.intensity_intervals[:2]
        assert decoy < signal
        with pytest.raises(DataFormatError, match="do not meet"):
            hopeless = SettingsLimits(
                intensities=(0.5, 0.4, 0.0),
                relative_intervals=((0.7, 1.3), (0.7, 1.3)),
                vacuum_interval=(0.0, 0.0),
            )
            optimise([Scenario(link(1e7))], POLICY, hopeless)

    @pytest.mark.parametrize(
        ("wrong", "part"),
        [
            ({"decoys": 3}, "1 or 2"),
            ({"intensities": (0.5, 0.1)}, "expected 3"),
            ({"probabilities": (0.5, 0.5)}, "expected 3"),
            ({"intensity_range": (0.5, 0.4)}, "widen"),
            ({"vacuum_intensity": 0.01, "intensity_range": (0.005, 0.9)}, "widen"),
            ({"least_probability": 0.4}, "0.333"),
            ({"basis_z_probability": 1.0}, "below 1"),
        ],
    )
    def test_limits_that_leave_nothing_are_explained(self, wrong: dict[str, object], part: str) -> None:
        with pytest.raises(ConfigError, match=part):
            SettingsLimits(**wrong)

    def test_what_the_bound_does_not_cover_is_refused_before_the_search(self) -> None:
        with pytest.raises(ConfigError, match="keyed decoy"):
            optimise([Scenario(link())], POLICY, SettingsLimits(decoys=1))
        with pytest.raises(ConfigError, match="2 classes"):
            policy = Policy(security=POLICY.security, bound="variable")
            optimise([Scenario(link())], policy, SettingsLimits(decoys=1))
        with pytest.raises(ConfigError, match="variable-sharp"):
            optimise([Scenario(link())], msgspec.structs.replace(POLICY, bound="best"))
        with pytest.raises(ConfigError, match="at least one"):
            optimise([], POLICY)


class TestNoKey:
    def test_a_link_too_short_is_told_how_many_pulses_it_lacks(self) -> None:
        channel = link(8e3)
        found = optimise([Scenario(channel)], POLICY, FREE)
        assert found.expected_bits == 0 and found.missing_factor is not None
        assert 1.0 < found.missing_factor < 4
        enough, short = (channel.scaled(found.missing_factor * factor) for factor in (1.05, 0.9))
        assert optimise([Scenario(enough)], POLICY, FREE).expected_bits > 0
        assert optimise([Scenario(short)], POLICY, FREE).expected_bits == 0

    def test_a_link_with_too_many_errors_is_told_that_none_would_do(self) -> None:
        found = optimise([Scenario(link(1e6, error=0.118))], POLICY, FREE)
        assert (found.expected_bits, found.missing_factor) == (0, None)

    def test_a_link_that_rounding_robs_of_its_last_bits_lacks_nothing_else(self) -> None:
        def hopeful(source: SourceSettings, n: np.ndarray, m: np.ndarray, policy: Policy) -> np.ndarray:
            return np.maximum(quick_bits(source, n, m, policy), 1.0)

        found = optimise([Scenario(link(5e3))], POLICY, FREE, bits=hopeful)
        assert (found.expected_bits, found.missing_factor) == (0, 1.0)

    def test_a_link_near_the_least_size_is_found_from_where_no_start_gives_key(self) -> None:
        channel = link(1.6e4)
        space = SettingsSpace(FREE)
        assert max(worth(channel, each) for each in space.usual) < 0
        assert optimise([Scenario(channel)], POLICY, FREE).expected_bits > 50


class TestMartingale:
    POLICY = msgspec.structs.replace(POLICY, bound="variable-martingale")

    def test_quick_weights_come_near_those_of_a_block(self) -> None:
        source = SourceSettings((0.63, 0.07, 0.0), (0.93, 0.06, 0.01), 0.92, 0.92)
        for sifted in (1e5, 1e6, 1e7):
            channel = link(sifted)
            exact = exact_key(source, channel, self.POLICY).secret_bits
            assert 0.99 * exact < worth(channel, source, self.POLICY) < 1.1 * exact

    def test_its_optimum_is_half_as_much_again_as_others(self) -> None:
        satquma = msgspec.structs.replace(POLICY, bound="satquma")
        channel = link(6.5e5, loss_db=40, noise=1e-6, error=0.005)
        sharp, martingale, other = (
            optimise([Scenario(channel)], policy, FREE) for policy in (POLICY, self.POLICY, satquma)
        )
        sifted = channel.counts(other.settings)[0][0].sum()
        assert 0.9e6 < sifted < 1.1e6
        assert martingale.expected_bits > 1.6 * sharp.expected_bits
        assert martingale.expected_bits > 1.5 * other.expected_bits > 0
        # Fewer test rounds and decoys are needed.
        assert martingale.settings.basis_z_probability > sharp.settings.basis_z_probability
        assert martingale.settings.probabilities[0] > sharp.settings.probabilities[0]

    def test_neither_dice_nor_a_grid_around_beat_it(self) -> None:
        channel = link(1e6)
        best = optimise([Scenario(channel)], self.POLICY, FREE).settings
        space, rng = SettingsSpace(FREE), np.random.default_rng(1)
        most, centre = worth(channel, best, self.POLICY), space.coordinates(best)
        for _ in range(60):
            assert worth(channel, drawn(rng), self.POLICY) <= most
            near = space.settings(centre + rng.uniform(-0.5, 0.5, centre.size))
            assert worth(channel, near, self.POLICY) <= most * (1 + 1e-3)

    def test_weights_are_fixed_by_the_loss_foretold_not_by_the_one_that_comes(self) -> None:
        source = SourceSettings((0.63, 0.07, 0.0), (0.93, 0.06, 0.01), 0.92, 0.92)
        channel = link(1e6)
        lossy = exact_key(source, channel, self.POLICY, loss_db=6.0)
        planned = expected_rows(source, channel)
        wanted = key_length(
            expected_rows(source, channel, loss_db=6.0),
            source.model,
            POLICY.security,
            leaked_bits=lossy.terms["leaked_bits"],
            bound="variable-martingale",
            keyed_bases=("Z",),
            keyed_classes=("signal", "decoy", "vacuum"),
            receiver=self.POLICY.receiver_at(source),
            planned=planned,
        )
        assert lossy.secret_bits == wanted.secret_bits > 0

    def test_the_share_of_test_rounds_follows_the_settings(self) -> None:
        source = SourceSettings((0.6, 0.1, 0.0), (0.8, 0.1, 0.1), 0.9, 0.8)
        in_z, in_x = 0.9 * 0.8, 0.1 * 0.2
        low, high = self.POLICY.receiver_at(source).test_share("Z")
        assert low < in_x / (in_x + in_z) < high < low + 1e-9
        low, high = self.POLICY.receiver_at(source).test_share("X")
        assert low < in_z / (in_x + in_z) < high
        spread = msgspec.structs.replace(self.POLICY, basis_spread=0.01)
        low, high = spread.receiver_at(source).test_share("Z")
        for q in (0.79, 0.81):
            edge = 0.1 * (1 - q) / (0.1 * (1 - q) + 0.9 * q)
            assert min(abs(low - edge), abs(high - edge)) < 1e-9
        assert optimise([Scenario(link(1e6))], spread, FREE).expected_bits > 0


class TestPrior:
    def test_one_loss_leaves_nothing_to_choose(self) -> None:
        bits = np.array([123.0])
        assert variable_length(bits, Prior()) == fixed_length(bits, Prior()) == 123

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(-1e3, 1e6), min_size=1, max_size=12), st.booleans(), st.integers(0, 1000))
    def test_a_fixed_length_never_gives_more(self, bits: list[float], continuous: bool, seed: int) -> None:
        weights = np.random.default_rng(seed).dirichlet(np.ones(len(bits)))
        prior = Prior(tuple(weights.tolist()), tuple(range(len(bits))), continuous)
        column = np.array(bits)
        assert 0 <= fixed_length(column, prior) <= variable_length(column, prior) + 1e-6

    def test_a_key_in_proportion_to_the_light_has_the_known_values(self) -> None:
        prior = Prior.even(3.0)
        slope = 3.0 * math.log(10) / 10
        bits = 10 ** (-np.array(prior.losses_db) / 10)
        assert variable_length(bits, prior) == pytest.approx(math.exp(slope**2 / 2), rel=1e-3)
        z = np.linspace(-3, 3, 2001)
        phi = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in z])
        assert fixed_length(bits, prior) == pytest.approx(float((np.exp(-slope * z) * phi).max()), rel=5e-3)

    def test_three_decibels_make_lengths_that_follow_the_counts_worth_two_and_a_half_times(self) -> None:
        prior = Prior.even(3.0)
        for sifted in (1e5, 1e6):
            scenario = Scenario(link(sifted), 1.0, prior)
            search = Scenario(link(sifted), 1.0, Prior.gaussian(3.0))
            free = optimise([search], POLICY, FREE).settings
            fixed = optimise(
                [msgspec.structs.replace(scenario, prior=Prior.even(3.0, nodes=17))],
                POLICY,
                FREE,
                fixed=True,
                tolerance=1e-4,
            ).settings
            variable_bits = variable_length(exact_bits(free, scenario, POLICY), prior)
            fixed_bits = max(
                fixed_length(exact_bits(each, scenario, POLICY), prior) for each in (free, fixed)
            )
            assert variable_bits > 2.5 * fixed_bits > 0

    def test_normal_nodes_have_the_moments_of_a_normal(self) -> None:
        for prior in (Prior.gaussian(2.5), Prior.even(2.5)):
            weights, losses = np.array(prior.weights), np.array(prior.losses_db)
            assert weights @ losses == pytest.approx(0, abs=1e-12)
            assert weights @ losses**2 == pytest.approx(2.5**2, rel=2e-3)
        assert Prior.gaussian(0.0) == Prior.even(0.0) == Prior()

    def test_weights_that_do_not_add_up_are_refused(self) -> None:
        for weights, losses in (((0.5, 0.4), (0.0, 1.0)), ((1.5, -0.5), (0.0, 1.0)), ((1.0,), (0.0, 1.0))):
            with pytest.raises(DataFormatError, match="sum of 1"):
                Prior(weights, losses)

    def test_settings_are_chosen_for_the_losses_that_may_come(self) -> None:
        # Key comes from the lucky losses alone, for which there are more photons: less is spent on decoys.
        lucky = Prior((0.5, 0.5), (0.0, 60.0))
        found = optimise([Scenario(link(1e6), 1.0, lucky)], POLICY, FREE)
        sure = optimise([Scenario(link(1e6))], POLICY, FREE)
        assert found.settings == sure.settings
        assert found.expected_bits == pytest.approx(sure.expected_bits / 2)


class TestClimb:
    def test_a_narrow_curved_ridge_is_climbed(self) -> None:
        def ridge(x: np.ndarray) -> float:
            return -(100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)

        found = climb(ridge, np.array([-1.2, 1.0]), tolerance=1e-12, evaluations=2000, rounds=10)
        assert found.place == pytest.approx([1.0, 1.0], abs=1e-3)

    def test_no_dimension_and_no_slope_end_at_the_start(self) -> None:
        assert climb(lambda _: 7.0, np.array([])).value == 7.0
        flat = climb(lambda _: 7.0, np.array([1.0, 2.0]))
        assert flat.place.tolist() == [1.0, 2.0] and flat.evaluations < 20

    def test_calls_are_counted_and_bounded(self) -> None:
        calls = []

        def bowl(x: np.ndarray) -> float:
            calls.append(x)
            return -float(x @ x)

        found = climb(bowl, np.array([3.0, 4.0, 5.0]), evaluations=60, tolerance=0.0)
        assert found.evaluations == len(calls) <= 70
        assert found.value > -50


def test_an_optimum_adds_up() -> None:
    scenario = Scenario(link(1e6), 0.3, Prior.gaussian(3.0))
    found: Optimum = optimise([scenario], POLICY, FREE)
    assert expected_key_of(found.lengths_bits, [scenario]) == pytest.approx(found.expected_bits)
    assert found.expected_bits == pytest.approx(
        0.3 * float(np.dot(scenario.prior.weights, found.lengths_bits[0]))
    )
