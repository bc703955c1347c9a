"""SatQuMA's bound against what the program itself printed, and what must never happen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satquma_runs import INTENSITIES, PROBABILITIES, RUNS, Run
from scipy import stats

from satqkd.errors import ConfigError, DataFormatError
from satqkd.security.fixed_length import phase_error_rate
from satqkd.security.satquma import leak_bits, satquma
from satqkd.security.tails import binary_entropy

ZERO = np.zeros(3)


def terms(run: Run, tails="chernoff", **changed):
    columns = {name: np.array(getattr(run, name)) for name in ("key", "test", "test_errors")}
    given_too = {
        "intensities": INTENSITIES,
        "probabilities": PROBABILITIES,
        "leaked_bits": run.leaked_bits,
        "epsilon_secrecy": 1e-9,
        "epsilon_correctness": 1e-15,
        "tails": tails,
    }
    return satquma(**(columns | given_too | changed))


def named(run: Run) -> str:
    return f"{run.noise:g}, {run.extra_loss_db} dB"


@pytest.mark.parametrize("run", RUNS, ids=named)
def test_every_term_is_the_programs_with_chernoff(run: Run) -> None:
    found = terms(run)
    assert found["length_bits"] == pytest.approx(run.chernoff_bits, rel=1e-11)
    assert found["secret_bits"] == math.floor(run.chernoff_bits)
    assert found["phase_error_rate"] == pytest.approx(run.phase_error, rel=1e-12)
    assert found["vacuum"] == pytest.approx(run.vacuum, rel=1e-12)
    assert found["single_photons"] == pytest.approx(run.single_photons, rel=1e-12)
    assert found["test_single_photons"] == pytest.approx(run.test_single_photons, rel=1e-12)
    assert found["test_single_photon_errors"] == pytest.approx(run.test_single_photon_errors, rel=1e-12)


@pytest.mark.parametrize("run", RUNS, ids=named)
def test_the_length_is_the_programs_with_hoeffding(run: Run) -> None:
    found = terms(run, "hoeffding")
    assert max(0.0, found["length_bits"]) == pytest.approx(run.hoeffding_bits, rel=1e-11)
    assert found["phase_error_rate"] == pytest.approx(run.hoeffding_phase_error, rel=1e-12)


def test_the_errors_of_small_samples_are_capped_and_those_of_the_largest_are_not() -> None:
    capped = {
        named(run) for run in RUNS if run.test_single_photon_errors == pytest.approx(sum(run.test_errors))
    }
    assert capped == {named(run) for run in RUNS} - {"5e-07, 0 dB"}


def test_fixed_costs_are_six_terms_and_one_tag() -> None:
    found = terms(RUNS[0])
    assert found["amplification_bits"] == pytest.approx(6 * math.log2(21e9))
    assert found["verification_bits"] == pytest.approx(math.log2(2e15))
    assert (found["events"], found["epsilon_event"]) == (21, pytest.approx(1e-9 / 21))


class TestLeak:
    """Against the program's four modes; a pass 16 dB darker, noise 1e-8 and 0.1 %."""

    SIFTED, ERRORS = 302303.8870900981, 684.9778148764676

    @pytest.mark.parametrize(
        ("mode", "bits"),
        [
            ("block", 8125.940880647795),
            ("logm", 8290.803016983144),
            ("mxtot", 794.5742652567023),
            ("none", 0.0),
        ],
    )
    def test_modes_of_a_small_block(self, mode: str, bits: float) -> None:
        assert leak_bits(self.SIFTED, self.ERRORS, mode=mode) == pytest.approx(bits, rel=1e-12)

    @pytest.mark.parametrize("run", RUNS, ids=named)
    @pytest.mark.parametrize("mode", ["block", "logm"])
    def test_the_runs(self, run: Run, mode: str) -> None:
        assert leak_bits(sum(run.key), run.key_errors, mode=mode) == pytest.approx(run.leaked_bits, rel=1e-12)

    @pytest.mark.parametrize(
        ("sifted", "qber", "bits"),
        [
            (1e3, 0.01, 194.4394369159509),
            (1e4, 0.03, 2405.3328430711426),
            (9999.99, 0.02, 1846.1321811643477),
            (1e5, 0.005, 5485.728691650769),
        ],
    )
    def test_small_blocks_take_the_finite_one_way_length(
        self, sifted: float, qber: float, bits: float
    ) -> None:
        assert leak_bits(sifted, sifted * qber, mode="logm") == pytest.approx(bits, rel=1e-11)

    @pytest.mark.parametrize("epsilon", [1e-12, 0.01])
    @pytest.mark.parametrize("sifted", [*range(40, 50), 1_000, 54_321])
    @pytest.mark.parametrize("qber", [0.005, 0.03])
    def test_the_quantile_is_that_of_scipy(self, sifted: int, qber: float, epsilon: float) -> None:
        errors = math.ceil(sifted * qber)
        q = errors / sifted
        if epsilon == 0.01:  # just below a step, so that the factor beside epsilon decides
            epsilon = 0.99 * float(stats.binom.cdf(sifted - errors - 2, sifted, 1 - q))
        quantile = stats.binom.ppf(epsilon * (1 + sifted**-0.5), sifted, 1 - q)
        missing = sifted * (1 - q) - quantile - 1
        finite = missing * math.log((1 - q) / q) - 0.5 * math.log(sifted) + math.log(epsilon)
        found = leak_bits(sifted, errors, mode="logm", efficiency=0.0, epsilon_correctness=epsilon)
        assert found == pytest.approx(max(0.0, sifted * binary_entropy(q) + finite), rel=1e-11)

    @pytest.mark.parametrize("mode", ["block", "logm", "mxtot", "none"])
    def test_no_errors_leak_nothing(self, mode: str) -> None:
        assert leak_bits(1e6, 0, mode=mode) == leak_bits(0, 0, mode=mode) == 0

    @pytest.mark.parametrize("mode", ["block", "logm"])
    def test_more_than_half_wrong_leaks_everything(self, mode: str) -> None:
        assert leak_bits(1e4, 9e3, mode=mode) == pytest.approx(1.16e4)

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(DataFormatError, match="errors <= sifted"):
            leak_bits(10, 11)
        with pytest.raises(ConfigError, match="block, logm, mxtot or none, got 'cascade'"):
            leak_bits(10, 1, mode="cascade")


def test_vacuum_light_is_subtracted_with_its_upper_bound() -> None:
    """Lim's equation 2 by hand; the program's own code has the lower bound there, which claims more."""
    key, mu3 = np.array([1.1e7, 6e5, 2e4]), 1e-3
    mu = np.array([0.7921, 0.1707, mu3])
    beta = math.log(21e9)
    weights = np.exp(mu) / PROBABILITIES
    low = weights[2] * (key[2] - beta / 2 - math.sqrt(2 * beta * key[2] + beta**2 / 4))
    high = weights[1] * (key[1] + beta + math.sqrt(2 * beta * key[1] + beta**2))
    tau0 = float(PROBABILITIES @ np.exp(-mu))
    expected = tau0 * (mu[1] * low - mu3 * high) / (mu[1] - mu3)
    assert 0 < expected == pytest.approx(terms(RUNS[0], intensities=mu, key=key)["vacuum"])


def test_no_counts_are_no_key() -> None:
    for tails in ("chernoff", "hoeffding"):
        found = terms(RUNS[0], tails, key=ZERO, test=ZERO, test_errors=ZERO, leaked_bits=0.0)
        assert found["secret_bits"] == 0
        assert found["phase_error_rate"] == 0.5
        assert all(math.isfinite(value) for value in found.values())


def test_a_dead_signal_laser_is_no_key() -> None:
    """Decoys alone seem to come from single photons in numbers above what was detected at all."""
    run = RUNS[0]
    columns = {"key": np.array([0, 5e5, 1e3]), "test": np.array(run.test), "leaked_bits": 0.0}
    assert terms(run, **columns)["single_photons"] == 0
    assert terms(run, **columns)["secret_bits"] == 0


def test_no_error_seen_does_not_claim_certainty() -> None:
    run = RUNS[0]
    none, one = (terms(run, test_errors=np.array([wrong, 0.0, 0.0])) for wrong in (0.0, 1.0))
    assert none["phase_error_rate"] == one["phase_error_rate"] > 1e-5


def test_fungs_correction_without_meaning_is_one_half() -> None:
    """A loose epsilon makes its logarithm negative; no correction at all would be the wrong reading."""
    assert phase_error_rate(1.0, 1000.0, 1000.0, epsilon=100.0) == 0.5
    assert phase_error_rate(3.0, 10.0, 1e6, epsilon=1e-12) == 0.5
    assert phase_error_rate(10.0, 10.0, 1e6, epsilon=1e-12) == 0.5
    assert phase_error_rate(0.0, 0.5, 1e6, epsilon=1e-12) == 0.5


@settings(max_examples=60, deadline=None)
@given(
    run=st.sampled_from(RUNS),
    tails=st.sampled_from(["chernoff", "hoeffding"]),
    share=st.floats(0.0, 1.0),
    extra=st.integers(0, 2),
)
def test_more_test_errors_and_more_leak_never_mean_more_key(run: Run, tails, share, extra) -> None:
    errors = np.array(run.test_errors)
    more = errors + share * (np.array(run.test) - errors) * (np.arange(3) == extra) * (extra < 2)
    assert terms(run, tails, test_errors=more)["secret_bits"] <= terms(run, tails)["secret_bits"]
    dearer = terms(run, tails, leaked_bits=run.leaked_bits * (1 + share))
    assert dearer["secret_bits"] <= terms(run, tails)["secret_bits"]


@settings(max_examples=60, deadline=None)
@given(run=st.sampled_from(RUNS), tails=st.sampled_from(["chernoff", "hoeffding"]), loss=st.floats(0.01, 1.0))
def test_fewer_counts_of_the_same_kind_are_less_key(run: Run, tails, loss) -> None:
    fewer = {name: loss * np.array(getattr(run, name)) for name in ("key", "test", "test_errors")}
    found = terms(run, tails, leaked_bits=loss * run.leaked_bits, **fewer)
    assert found["secret_bits"] <= loss * terms(run, tails)["secret_bits"] + 1
    assert found["secret_bits"] <= loss * sum(run.key)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"key": np.zeros(2)}, "key basis: expected 3 counts"),
        ({"key": np.array([1.0, math.nan, 0.0])}, "key basis"),
        ({"test_errors": np.array([1e9, 0.0, 0.0])}, "0 <= errors <= detections"),
        ({"test_errors": np.array([-1.0, 0.0, 0.0])}, "0 <= errors <= detections"),
        ({"intensities": np.array([0.5, 0.3, 0.2])}, "source intensities: expected"),
        ({"intensities": np.array([0.1, 0.5, 0.0])}, "source intensities: expected"),
        ({"intensities": np.array([0.9, 0.1, 0.3])}, "source intensities: expected"),
        ({"probabilities": np.array([0.5, 0.5, 0.5])}, "sum of 1"),
        ({"probabilities": np.array([0.5, 0.5, 0.0])}, "above 0"),
    ],
)
def test_columns_that_are_none_are_refused(changed: dict, told: str) -> None:
    with pytest.raises(DataFormatError, match=told):
        terms(RUNS[0], **changed)


def test_other_tails_are_refused() -> None:
    with pytest.raises(ConfigError, match="chernoff or hoeffding, got 'normal'"):
        terms(RUNS[0], "normal")
