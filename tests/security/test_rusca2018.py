"""The one-decoy bound: its published-form vector, the truth behind random counts, what must never happen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import DataFormatError
from satqkd.security.rusca2018 import rusca2018
from satqkd.security.tails import binary_entropy, secret_fraction

R1 = {
    "key": np.array([8_875_913.0, 1_124_087.0]),
    "key_errors": np.array([185_856.0, 26_055.0]),
    "test": np.array([165_048.0, 20_902.0]),
    "test_errors": np.array([3_456.0, 484.0]),
    "intensities": np.array([0.51, 0.15]),
    "probabilities": np.array([0.7, 0.3]),
    "leaked_bits": 1_776_924.0,
    "epsilon_secrecy": 1e-9,
    "epsilon_correctness": 1e-15,
}


def test_vector_r1() -> None:
    """Its vacuum from below is negative and must not be charged."""
    found = rusca2018(**R1)
    assert found["length_bits"] == pytest.approx(1_464_719.08873, abs=5e-6)
    assert found["secret_bits"] == 1_464_719
    assert found["vacuum"] == 0
    assert (found["events"], found["epsilon_event"]) == (19, pytest.approx(1e-9 / 19))


def test_the_leak_of_vector_r1_is_the_usual_one() -> None:
    """1.2 times the Shannon limit: its key errors are those of the key basis."""
    n, m = R1["key"].sum(), R1["key_errors"].sum()
    assert 1.2 * n * binary_entropy(m / n) == pytest.approx(R1["leaked_bits"], abs=0.5)


def test_terms_of_vector_r1_add_up() -> None:
    found = rusca2018(**R1)
    spent = found["leaked_bits"] + found["amplification_bits"] + found["verification_bits"]
    assert found["length_bits"] == pytest.approx(found["entropy_bits"] - spent)
    assert found["amplification_bits"] == pytest.approx(6 * math.log2(19e9))
    assert found["vacuum_upper"] == pytest.approx(167_020.179259)


def truth(rng: np.random.Generator, pulses: float):
    """Expected counts of a source whose yields of 0 to 9 photons are drawn; true empty and single counts."""
    mu, p = R1["intensities"], R1["probabilities"]
    yields = np.sort(rng.uniform(1e-6, 1e-3, 10))
    errors = yields * rng.uniform(0.0, 0.1, 10)
    errors[0] = yields[0] / 2
    photons = np.arange(10)
    factorial = np.cumprod(np.concatenate(([1.0], photons[1:])))
    joint = pulses * p[:, None] * np.exp(-mu[:, None]) * mu[:, None] ** photons / factorial
    return joint @ yields, joint @ errors, joint.sum(axis=0) * yields, joint.sum(axis=0) * errors


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.floats(8.0, 13.0))
def test_photon_numbers_are_bounded_on_the_right_side(seed: int, exponent: float) -> None:
    rng = np.random.default_rng(seed)
    key, key_errors, photons, _ = truth(rng, 10**exponent)
    test, test_errors, test_photons, wrong = truth(rng, 10 ** (exponent - 1))
    columns = {"key": key, "key_errors": key_errors, "test": test, "test_errors": test_errors}
    found = rusca2018(**(R1 | columns | {"leaked_bits": 0.0}))
    assert found["vacuum"] <= photons[0] <= found["vacuum_upper"]
    assert found["single_photons"] <= photons[1]
    assert found["test_single_photons"] <= test_photons[1]
    assert found["test_single_photon_errors"] >= wrong[1]


def test_more_errors_in_the_key_basis_are_fewer_single_photons() -> None:
    """They may come from empty pulses. Errors of both classes count: the smaller of two bounds is used."""
    noisier = rusca2018(**(R1 | {"key_errors": 1.5 * R1["key_errors"]}))
    assert noisier["single_photons"] < rusca2018(**R1)["single_photons"]
    assert noisier["vacuum_upper"] > rusca2018(**R1)["vacuum_upper"]


def test_the_smaller_bound_of_both_classes_is_taken() -> None:
    """A signal class full of errors leaves the decoy's bound of the vacuum standing."""
    wrong = R1["key_errors"] * np.array([1.0, 0.1])
    mu, p = R1["intensities"], R1["probabilities"]
    log = math.log(19e9)
    width_m, width_n = (math.sqrt(0.5 * total * log) for total in (wrong.sum(), R1["key"].sum()))
    decoy_only = 2 * (float(p @ np.exp(-mu)) * math.exp(mu[1]) / p[1] * (wrong[1] + width_m) + width_n)
    assert rusca2018(**(R1 | {"key_errors": wrong}))["vacuum_upper"] == pytest.approx(decoy_only)


def test_the_vacuum_from_below_is_credited() -> None:
    """By hand, of a block with so many empty pulses that the bound is positive."""
    key, mu, p = np.array([8.4e6, 1.6e6]), R1["intensities"], R1["probabilities"]
    width = math.sqrt(0.5 * key.sum() * math.log(19e9))
    low = math.exp(mu[1]) / p[1] * (key[1] - width)
    high = math.exp(mu[0]) / p[0] * (key[0] + width)
    expected = float(p @ np.exp(-mu)) / (mu[0] - mu[1]) * (mu[0] * low - mu[1] * high)
    found = rusca2018(**(R1 | {"key": key, "key_errors": 5 * R1["key_errors"]}))
    assert 0 < expected == pytest.approx(found["vacuum"])
    kept = found["single_photons"] * secret_fraction(found["phase_error_rate"])
    assert found["entropy_bits"] == pytest.approx(expected + kept)


def test_no_counts_are_no_key() -> None:
    nothing = {name: np.zeros(2) for name in ("key", "key_errors", "test", "test_errors")}
    found = rusca2018(**(R1 | nothing | {"leaked_bits": 0.0}))
    assert found["secret_bits"] == 0
    assert found["phase_error_rate"] == 0.5
    assert all(math.isfinite(value) for value in found.values())


def test_a_dead_signal_laser_is_no_key() -> None:
    key = {"key": np.array([0.0, 1e7]), "key_errors": np.array([0.0, 1e4]), "leaked_bits": 0.0}
    assert rusca2018(**(R1 | key))["secret_bits"] == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"key": np.zeros(3)}, "key basis: expected 2 counts"),
        ({"key_errors": np.array([1e9, 0.0])}, "key basis.*errors <= detections"),
        ({"test_errors": np.array([0.0, math.inf])}, "test basis.*errors <= detections"),
        ({"intensities": np.array([0.51, 0.0])}, "source intensities: expected"),
        ({"intensities": np.array([0.15, 0.51])}, "source intensities: expected"),
    ],
)
def test_columns_that_are_none_are_refused(changed: dict, told: str) -> None:
    with pytest.raises(DataFormatError, match=told):
        rusca2018(**(R1 | changed))
