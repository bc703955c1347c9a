"""Sampled skies: shares, persistence, distance against theory, and wrong models that the same checks reject.

Errors are told in standard errors of many sites or years that have nothing to do with each other, so that no
theory of the sampler's own stands behind them.
"""

import contextlib
import io
import re
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from documentation import page
from satqkd.config.weather import Weather
from satqkd.errors import ConfigError
from satqkd.plan.clear_sky import ClearSky, distances_m
from satqkd.plan.diversity import diversity
from satqkd.plan.weather import SkyModel, States, _taps
from satqkd.randomness import stream

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR_S = 3600.0
YEAR = 8760
ALONE = Weather(correlation_m=1.0)
"""Sites that know nothing of each other."""


def sky_of(places: dict[str, tuple[float, float, float]]) -> ClearSky:
    """Sites by latitude, longitude (degrees) and a probability that holds all year."""
    latitude, longitude, clear = np.array(list(places.values()), dtype=np.float64).reshape(-1, 3).T
    return ClearSky(
        names=tuple(places),
        latitude_rad=np.radians(latitude),
        longitude_rad=np.radians(longitude),
        monthly=np.repeat(clear[:, None], 12, axis=1),
        rows=(None,) * len(places),
    )


def many(n: int, clear: float) -> ClearSky:
    """n sites, 200 km and more from each other."""
    return sky_of({f"s{k:03}": (-60 + 2.0 * (k % 60), 30.0 * (k // 60), clear) for k in range(n)})


def pairs(n: int, apart_deg: float, clear: float) -> ClearSky:
    """n pairs of sites on the equator, each pair thousands of km from the next."""
    west = {f"a{k:02}": (0.0, 24.0 * k, clear) for k in range(n)}
    east = {f"b{k:02}": (0.0, 24.0 * k + apart_deg, clear) for k in range(n)}
    return sky_of(west | east)


def sampled(sky: ClearSky, weather: Weather = ALONE, *, steps: int = YEAR, seed: int = 1) -> States:
    return SkyModel(sky, weather).sample(START, step_s=HOUR_S, steps=steps, seed=seed)


def standard_errors(estimates: NDArray[np.float64], truth: float) -> float:
    """How far the mean of independent estimates lies from the truth."""
    error = estimates.std(ddof=1) / np.sqrt(estimates.size)
    return float(abs(estimates.mean() - truth) / error)


def both_clear(p: float, hidden: float) -> float:
    """Probability that two Gaussians of this correlation are both below the p-quantile, by quadrature."""
    u = norm.ppf(p)
    return float(multivariate_normal.cdf([u, u], cov=[[1.0, hidden], [hidden, 1.0]]))


def coins(sky: ClearSky, steps: int = YEAR) -> States:
    """The wrong model: no persistence, no distance, the right shares."""
    rng = stream(1, "tests", "coins")
    return rng.random((len(sky.names), steps)) < sky.monthly[:, :1]


class TestShares:
    @pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
    def test_a_site_is_clear_as_often_as_its_probability_says(self, p: float) -> None:
        assert standard_errors(sampled(many(100, p)).mean(axis=1), p) < 4

    def test_a_threshold_at_another_month_would_be_seen(self) -> None:
        assert standard_errors(sampled(many(100, 0.35)).mean(axis=1), 0.3) > 8

    @pytest.mark.parametrize("p", [0.0, 1.0])
    def test_what_is_certain_happens_always(self, p: float) -> None:
        assert sampled(many(3, p), steps=100).mean() == p

    def test_each_month_of_a_season_keeps_its_own_share(self) -> None:
        flat = many(100, 0.5)
        season = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1])
        sky = ClearSky(
            names=flat.names,
            latitude_rad=flat.latitude_rad,
            longitude_rad=flat.longitude_rad,
            monthly=np.tile(season, (100, 1)),
            rows=flat.rows,
        )
        clear = sampled(sky)
        hours = np.arange(YEAR).astype("timedelta64[h]") + np.datetime64("2025-01-01T00", "h")
        month = hours.astype("datetime64[M]").astype(int) % 12
        for each in range(12):
            assert standard_errors(clear[:, month == each].mean(axis=1), season[each]) < 4


class TestPersistence:
    LAGS = (1, 6, 12, 24, 48)

    def product(self, clear: States, lag: int) -> NDArray[np.float64]:
        """Share of moments at which a site is clear and will be after the lag, by site."""
        return np.asarray((clear[:, lag:] & clear[:, :-lag]).mean(axis=1))

    @pytest.mark.parametrize("lag", LAGS)
    def test_at_one_half_the_correlation_is_that_of_a_two_state_chain(self, lag: int) -> None:
        """Both clear: p (p + (1 - p) exp(-lag / persistence))."""
        clear = sampled(many(200, 0.5))
        assert standard_errors(self.product(clear, lag), 0.25 * (1 + np.exp(-lag / 12))) < 4

    @pytest.mark.parametrize("lag", LAGS)
    def test_at_any_probability_it_is_that_of_the_hidden_gaussian(self, lag: int) -> None:
        hidden = np.sin(np.pi / 2 * np.exp(-lag / 12))
        assert standard_errors(self.product(sampled(many(200, 0.2)), lag), both_clear(0.2, hidden)) < 4

    def test_a_sky_without_persistence_is_rejected(self) -> None:
        clear = coins(many(200, 0.5))
        assert standard_errors(self.product(clear, 6), 0.25 * (1 + np.exp(-6 / 12))) > 50

    def test_a_hidden_chain_that_is_exponential_itself_is_rejected(self) -> None:
        """Also where its persistence is such that the states lose a factor e in 12 h."""
        for persistence in (12.0, 12 / -np.log(np.sin(np.pi / (2 * np.e)))):
            r = np.exp(-1 / persistence)
            noise = stream(1, "tests", "chain").standard_normal((200, YEAR))
            z = noise[:, 0].copy()
            clear = np.empty(noise.shape, dtype=np.bool_)
            for k in range(YEAR):
                z = r * z + np.sqrt(1 - r * r) * noise[:, k]
                clear[:, k] = z < 0
            assert standard_errors(self.product(clear, 1), 0.25 * (1 + np.exp(-1 / 12))) > 10

    def test_the_step_does_not_change_how_long_a_sky_lasts(self) -> None:
        model = SkyModel(many(200, 0.5), ALONE)
        for step_s, lag in ((900.0, 24), (3 * HOUR_S, 2)):
            clear = model.sample(START, step_s=step_s, steps=4000, seed=2)
            assert standard_errors(self.product(clear, lag), 0.25 * (1 + np.exp(-0.5))) < 4

    @given(st.floats(0.005, 30))
    def test_the_weights_have_the_correlation_that_is_promised(self, steps_per_e: float) -> None:
        step_s, lags = 43_200.0 * steps_per_e, np.arange(20)
        taps = _taps(step_s, 43_200.0)
        padded = np.concatenate([taps, np.zeros(20)])
        found = [float(padded[: taps.size] @ padded[k : k + taps.size]) for k in lags]
        np.testing.assert_allclose(found, np.sin(np.pi / 2 * np.exp(-lags * steps_per_e)), atol=1e-9)

    @pytest.mark.parametrize("step_s", [0.0, -1.0, 0.5, float("nan"), float("inf")])
    def test_a_step_that_makes_no_sense_is_refused(self, step_s: float) -> None:
        with pytest.raises(ConfigError, match="step of at least"):
            SkyModel(many(1, 0.5), ALONE).sample(START, step_s=step_s, steps=10, seed=1)

    def test_no_moments_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="at least one moment, got -1"):
            SkyModel(many(1, 0.5), ALONE).sample(START, step_s=HOUR_S, steps=-1, seed=1)


class TestDistance:
    N = 15

    def together(self, clear: States) -> NDArray[np.float64]:
        """Share of moments at which both of a pair are clear; eight stretches of each pair."""
        both = clear[: self.N] & clear[self.N :]
        stretches = both[:, : both.shape[1] // 8 * 8].reshape(self.N * 8, -1)
        return np.asarray(stretches.mean(axis=1))

    @pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
    @pytest.mark.parametrize("apart_deg", [0.3, 2.7, 8.0])
    def test_two_sites_are_as_alike_as_the_copula_says(self, p: float, apart_deg: float) -> None:
        clear = sampled(pairs(self.N, apart_deg, p), Weather(), steps=4 * YEAR)
        hidden = np.exp(-np.radians(apart_deg) * 6371.0088 / 300)
        assert standard_errors(self.together(clear), both_clear(p, hidden)) < 4

    def test_at_one_half_it_is_the_law_of_arcsines(self) -> None:
        clear = sampled(pairs(self.N, 1.0, 0.5), Weather(), steps=4 * YEAR)
        hidden = np.exp(-np.radians(1.0) * 6371.0088 / 300)
        assert standard_errors(self.together(clear), 0.25 + np.arcsin(hidden) / (2 * np.pi)) < 4

    def test_sites_that_know_nothing_of_each_other_are_rejected(self) -> None:
        hidden = np.exp(-np.radians(2.7) * 6371.0088 / 300)
        sky = pairs(self.N, 2.7, 0.5)
        for wrong in (coins(sky, 4 * YEAR), sampled(sky, ALONE, steps=4 * YEAR)):
            assert standard_errors(self.together(wrong), both_clear(0.5, hidden)) > 8

    def test_distances_go_the_short_way_round(self) -> None:
        found = distances_m(np.radians([0.0, 0.0, 90.0, 0.0]), np.radians([-179.0, 179.0, 12.0, 1.0]))
        quarter = np.pi / 2 * 6_371_008.8
        wanted = [0, quarter / 45, quarter, 2 * quarter]
        np.testing.assert_allclose(found[0], wanted, rtol=1e-12, atol=1e-3)

    def test_sites_at_one_place_have_one_sky_and_their_own_thresholds(self) -> None:
        sky = sky_of({"dome": (47.0, 15.0, 0.4), "roof": (47.0, 15.0, 0.4), "yard": (47.0, 15.0, 0.7)})
        dome, roof, yard = sampled(sky, Weather())
        assert (dome == roof).all() and (yard | ~dome).all() and yard.mean() > dome.mean()

    @given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=12))
    def test_any_places_have_a_joint_sky(self, places: list[tuple[float, float]]) -> None:
        sky = sky_of({f"s{k}": (*place, 0.5) for k, place in enumerate(places)})
        for weather in (Weather(), Weather(correlation_m=1e8)):
            assert sampled(sky, weather, steps=2).shape == (len(places), 2)


class TestSeeds:
    PLACES = {
        "graz": (47.07, 15.49, 0.5),
        "vienna": (48.21, 16.37, 0.5),
        "berlin": (52.52, 13.4, 0.5),
        "rome": (41.9, 12.5, 0.7),
    }

    def test_a_seed_gives_the_same_skies_again_and_another_seed_others(self) -> None:
        sky = sky_of(self.PLACES)
        first = sampled(sky, Weather(), seed=5)
        assert (first == sampled(sky, Weather(), seed=5)).all()
        assert 0.3 < (first != sampled(sky, Weather(), seed=6)).mean() < 0.7

    def test_the_order_of_sites_changes_the_rows_alone(self) -> None:
        clear = sampled(sky_of(self.PLACES), Weather())
        turned = sampled(sky_of(dict(reversed(self.PLACES.items()))), Weather())
        assert (clear == turned[::-1]).all()

    def test_a_longer_run_begins_with_the_shorter(self) -> None:
        sky = sky_of(self.PLACES)
        longer = sampled(sky, Weather(), steps=9000)
        for steps in (1, 3519, 3520, 3521, 7300):
            assert (sampled(sky, Weather(), steps=steps) == longer[:, :steps]).all()

    def test_another_site_changes_those_after_it_in_the_alphabet(self) -> None:
        before = sampled(sky_of(self.PLACES), Weather())
        after = sampled(sky_of(self.PLACES | {"munich": (48.14, 11.58, 0.5)}), Weather())
        assert (before[[0, 2]] == after[[0, 2]]).all()  # graz, berlin
        assert (before[[1, 3]] != after[[1, 3]]).any(axis=1).all()  # vienna, rome

    def test_pieces_follow_each_other_and_are_bounded(self) -> None:
        model = SkyModel(many(4, 0.5), Weather())
        pieces = list(model.blocks(START, step_s=HOUR_S, steps=20_000, seed=3))
        assert all(clear.shape[1] <= 4096 for _, clear in pieces)
        assert [first for first, _ in pieces] == np.cumsum(
            [0, *(c.shape[1] for _, c in pieces[:-1])]
        ).tolist()
        joined = np.concatenate([clear for _, clear in pieces], axis=1)
        assert (joined == model.sample(START, step_s=HOUR_S, steps=20_000, seed=3)).all()

    def test_a_sky_lasts_over_the_seams_of_pieces(self) -> None:
        model = SkyModel(many(300, 0.5), ALONE)
        pieces = [clear for _, clear in model.blocks(START, step_s=HOUR_S, steps=40_000, seed=4)][:-1]
        changed = np.mean([a[:, -1] != b[:, 0] for a, b in pairwise(pieces)], axis=0)
        assert len(pieces) > 8
        assert standard_errors(changed, (1 - np.exp(-1 / 12)) / 2) < 4
        again = np.mean([a[:, :3000] == b[:, :3000] for a, b in pairwise(pieces)], axis=(0, 2))
        assert standard_errors(again, 0.5) < 4

    def test_a_site_alone_draws_by_its_name(self) -> None:
        graz, vienna = (sampled(sky_of({name: (47.0, 15.0, 0.5)})) for name in ("graz", "vienna"))
        assert 0.3 < (graz != vienna).mean() < 0.7

    def test_no_sites_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="expected a site, got none"):
            SkyModel(sky_of({}), Weather())


class TestDiversity:
    CLEAR = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0, 0]], bool)

    def test_moments_are_counted(self) -> None:
        pair, one = diversity(self.CLEAR, ["a", "b", "c"], [("c", "a"), ("b",)])
        assert (pair.availability, pair.any_clear, pair.best) == ((3 / 8, 2 / 8), 5 / 8, 3 / 8)
        assert pair.gain == pytest.approx(2 / 3)
        assert pair.independent == pytest.approx(1 - 5 / 8 * 6 / 8)
        assert pair.independent_gain == pytest.approx(pair.independent / (3 / 8) - 1)
        assert (one.any_clear, one.gain, one.independent_gain) == (1 / 4, 0, pytest.approx(0))

    def test_sites_near_each_other_gain_less_than_if_they_were_independent(self) -> None:
        near, far = ({"a": (50.0, 0.0, 0.5), "b": (50.0, east, 0.5)} for east in (1.0, 90.0))
        (close,) = diversity(sampled(sky_of(near), Weather(), steps=4 * YEAR), ["a", "b"], [["a", "b"]])
        (apart,) = diversity(sampled(sky_of(far), Weather(), steps=4 * YEAR), ["a", "b"], [["a", "b"]])
        assert close.any_clear < close.independent - 0.1
        assert apart.any_clear == pytest.approx(apart.independent, abs=0.02)

    def test_a_sky_that_is_never_clear_gains_nothing(self) -> None:
        (found,) = diversity(np.zeros((2, 5), bool), ["a", "b"], [["a", "b"]])
        assert (found.any_clear, found.gain, found.independent_gain) == (0, 0, 0)

    @pytest.mark.parametrize(("group", "told"), [(["a", "x"], "got x"), ([], "got none")])
    def test_a_group_of_unknown_sites_is_refused(self, group: list[str], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            diversity(self.CLEAR, ["a", "b", "c"], [group])

    @pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"]])
    def test_states_of_other_sites_are_refused(self, names: list[str]) -> None:
        with pytest.raises(ConfigError, match="give a row a site"):
            diversity(self.CLEAR, names, [["a"]])


def test_the_page_shows_what_its_example_prints() -> None:
    ((example, printed),) = re.findall(
        r"^```python\n(.*?)^```\n+```\n(.*?)^```$", page("weather.md"), re.M | re.S
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(example, "docs/weather.md", "exec"), {})
    assert out.getvalue() == printed
