"""No bound promises more than an attack leaves, where what it leaves is computed from the attack alone.

The pages' tables are compared with what `attack_table` computes.
"""

import math
from functools import cache

import attack_table
import numpy as np
import pytest
from attack_table import ONE_DECOY, SIGNAL, covering, left_over, promised
from eavesdropping import (
    UNTOUCHED,
    Link,
    cloned,
    measured,
    operated,
    per_class,
    shifted,
    unambiguous,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from link_attacks import (
    ATTACKS,
    MICIUS_LINK,
    MICIUS_PULSES,
    X,
    Z,
    by_arrival,
    hidden,
    injecting,
    intercepted,
    knowing_all,
    no_attack,
    shown,
    splitting,
    time_shifted,
    unknown_bits,
)
from security_models import MICIUS, leak

from documentation import page, section
from satqkd.security import BOUNDS, decoy
from satqkd.security.tails import binary_entropy, secret_fraction

LINKS = {
    "Micius": MICIUS_LINK,
    "20 dB": Link(transmittance=1e-2, background=1e-6, optical_error=0.005),
    "45 dB": Link(transmittance=3e-5, background=3e-7, optical_error=0.01),
    "30 dB, poor optics": Link(transmittance=1e-3, background=1e-7, optical_error=0.03),
}
KEYED = (SIGNAL, ("signal", "decoy"))
EVERY_SIZE = ("variable-sharp", "variable", "asymptotic")
SOURCES = {"two decoys": MICIUS, "one decoy": ONE_DECOY}


def sharp(source, attack, *, pulses=MICIUS_PULSES, bound="variable-sharp"):
    rows = shown(source, attack, pulses)
    return promised(rows, bound, planned=rows, pulses=pulses)


def left(source, attack, pulses, classes=SIGNAL):
    leaked = leak(shown(source, attack, pulses), classes)
    return left_over(unknown_bits(source, attack, pulses, classes), leaked)


# --- the table: nothing promised that is not left ----------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("name", ATTACKS)
def test_no_bound_promises_more_than_is_left(name, source):
    for link in LINKS.values():
        attack, none = cache(ATTACKS[name](link, source)), cache(no_attack(link))
        for pulses in (1e9, MICIUS_PULSES, 1e13):
            rows, told = shown(source, attack, pulses), shown(source, none, pulses)
            for classes in KEYED:
                limit = left(source, attack, pulses, classes)
                asked = {"planned": told, "pulses": pulses}
                for bound in covering(source, classes):
                    if bound in EVERY_SIZE or pulses == MICIUS_PULSES:
                        assert promised(rows, bound, classes, **asked) <= limit, (link, pulses, bound)
                if source.classes == 3:
                    assert promised(rows, "variable-sharp", classes, **asked, vacuum_credit=True) <= limit


def test_something_is_promised_where_most_is_left():
    for source in SOURCES.values():
        for name in ("beam splitting", "intercept-resend, 10 %", "hidden, optics 3 %"):
            attack = ATTACKS[name](MICIUS_LINK, source)
            share = sharp(source, attack, pulses=1e13) / left(source, attack, 1e13)
            assert share > 0.25


def test_the_worst_attack_leaves_hardly_more_than_endless_decoys_promise():
    """So a bound that claimed two per cent more would be caught."""
    for link in (MICIUS_LINK, LINKS["20 dB"]):
        attack = hidden(link, MICIUS)
        ceiling = sharp(MICIUS, attack, pulses=1e13, bound="asymptotic")
        assert 0.98 * left(MICIUS, attack, 1e13) < ceiling <= left(MICIUS, attack, 1e13)


@settings(max_examples=80, deadline=None)
@given(
    factors=st.lists(st.floats(0, 2), min_size=5, max_size=5),
    empty=st.floats(-8, -5).map(lambda x: 10**x),
    error=st.floats(0, 0.06),
    fraction=st.floats(0, 0.1),
    angle=st.sampled_from([Z, X, math.pi / 8]),
    log_pulses=st.floats(9, 13),
    source=st.sampled_from(list(SOURCES.values())),
)
def test_any_yields_and_any_mixture(factors, empty, error, fraction, angle, log_pulses, source):
    single = (1 - fraction) * operated(cloned(error)) + fraction * operated(measured(angle))
    arrivals = {n: factor * n * 1e-3 for n, factor in enumerate(factors, 1)}
    attack = cache(by_arrival(MICIUS_LINK, {0: empty, **arrivals}, single=single))
    pulses = 10**log_pulses
    rows, told = (shown(source, each, pulses) for each in (attack, no_attack(MICIUS_LINK)))
    for bound in covering(source):
        if BOUNDS[bound].proved or bound == "asymptotic":
            asked = {"planned": told, "pulses": pulses}
            assert promised(rows, bound, **asked) <= left(source, attack, pulses)


# --- bounds that lack something are seen to fail -----------------------------------------------------------


def all_taken_for_single_photons(rows):
    """Signal detections x (1 - h(QBER of the other basis)) - leak."""
    signal = {row.basis: row for row in rows if row.class_name == "signal"}
    rate = {basis: row.errors / row.detections for basis, row in signal.items()}
    kept = {
        basis: row.detections * secret_fraction(rate["X" if basis == "Z" else "Z"])
        for basis, row in signal.items()
    }
    return left_over(kept, leak(rows))


def test_a_bound_without_decoys_promises_what_splitting_took():
    attack = splitting(MICIUS_LINK, MICIUS)
    rows = shown(MICIUS, attack, MICIUS_PULSES)
    assert left(MICIUS, attack, MICIUS_PULSES) == 0
    assert all_taken_for_single_photons(rows) > 1e6
    assert promised(rows, "asymptotic", planned=rows) == 0


def test_errors_of_the_key_basis_say_nothing_of_its_secrecy():
    attack = intercepted(MICIUS_LINK, 1.0, Z)
    rows = shown(MICIUS, attack, MICIUS_PULSES)
    own = {row.basis: row.errors / row.detections for row in rows if row.class_name == "signal"}
    photons = MICIUS.class_share(1)[0] * decoy.single_photon_weights(MICIUS) @ detections(rows, "Z")
    assert photons * secret_fraction(own["Z"]) - leak(rows)["Z"] > 1e5
    assert unknown_bits(MICIUS, attack, MICIUS_PULSES, SIGNAL)["Z"] < 1e3
    assert promised(rows, "asymptotic", planned=rows) == 0


def test_one_decoy_that_forgets_empty_pulses_takes_them_for_single_photons():
    attack = injecting(MICIUS_LINK, ONE_DECOY)
    rows = shown(ONE_DECOY, attack, MICIUS_PULSES)
    weights, _ = decoy.single_photon_weights_one_decoy(ONE_DECOY)
    errors = decoy.single_photon_error_weights(ONE_DECOY) @ [row.errors for row in rows if row.basis == "X"]
    photons = weights @ detections(rows, "Z")
    assert photons * secret_fraction(errors / photons) > 1e5
    assert attack(1).unknown.max() == 0
    assert promised(rows, "asymptotic", planned=rows) == 0


def detections(rows, basis):
    return np.array([row.detections for row in rows if row.basis == basis], dtype=float)


# --- what no bound of this kind sees -----------------------------------------------------------------------


def test_attacks_that_leave_the_counts_alone_are_not_seen():
    honest = shown(MICIUS, no_attack(MICIUS_LINK), MICIUS_PULSES)
    blinded = knowing_all(MICIUS_LINK)
    assert shown(MICIUS, blinded, MICIUS_PULSES) == honest
    assert left(MICIUS, blinded, MICIUS_PULSES) == 0 < promised(honest, "variable-sharp", planned=honest)


def test_a_time_shift_is_paid_for_only_where_the_spread_is_told():
    spread = 0.6
    attack = time_shifted(MICIUS_LINK, MICIUS, spread)
    rows, limit = shown(MICIUS, attack, MICIUS_PULSES), left(MICIUS, attack, MICIUS_PULSES)
    matched, told, swapped = (
        promised(rows, "variable-sharp", planned=rows, receiver=each) for each in attack_table.vouched(spread)
    )
    assert max(told, swapped) <= limit < matched


def test_diodes_that_differ_by_the_yield_of_a_photon_are_fatal():
    promise = attack_table.promised_at(0.0)
    assert promise <= attack_table.left_at(0.0)
    kill = attack_table.killing_distance()
    assert attack_table.left_at(kill) < 1
    assert attack_table.promised_at(kill) == pytest.approx(promise, abs=2)
    assert 0.3 < kill / attack_table.honest_yield() < 1


# --- what Eve knows ----------------------------------------------------------------------------------------


def test_entropies_in_closed_form():
    for angle, wrong, unknown in (
        (Z, (0.0, 0.5), (0.0, 1.0)),
        (X, (0.5, 0.0), (1.0, 0.0)),
        (math.pi / 8, (0.25, 0.25), (binary_entropy(math.cos(math.pi / 8) ** 2),) * 2),
    ):
        got = operated(measured(angle))
        assert got.wrong == pytest.approx(wrong, abs=1e-12)
        assert got.unknown == pytest.approx(unknown, abs=1e-12)
    for error in (0.0, 0.01, 0.11, 0.5):
        got = operated(cloned(error))
        assert got.wrong == pytest.approx([error] * 2, abs=1e-12)
        assert got.unknown == pytest.approx([1 - binary_entropy(error)] * 2, abs=1e-9)
    assert operated(UNTOUCHED).unknown == pytest.approx([1, 1])
    assert shifted(0.4).unknown == pytest.approx([binary_entropy(0.7)] * 2)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), register=st.integers(1, 5), strength=st.floats(0.01, 3))
def test_no_operation_beats_the_uncertainty_relation(seed, register, strength):
    """H(Z | Eve) >= 1 - h(error in X), and the same with X and Z turned round."""
    rng = np.random.default_rng(seed)
    random = rng.normal(size=(2 * register, 2)) + 1j * rng.normal(size=(2 * register, 2))
    start = np.zeros((2, register, 2), dtype=complex)
    start[:, 0] = np.eye(2)
    isometry, _ = np.linalg.qr(start.reshape(-1, 2) + strength * random)
    got = operated(isometry.reshape(2, register, 2))
    for unknown, error in zip(got.unknown, got.wrong[::-1], strict=True):
        assert unknown >= 1 - binary_entropy(error) - 1e-9


def test_unambiguous_discrimination():
    """Dusek, Jahma and Lutkenhaus, PRA 62, 022306 (2000): 1 - 2^-floor((n-1)/2)."""
    for photons in range(1, 9):
        assert unambiguous(photons) == pytest.approx(1 - 0.5 ** ((photons - 1) // 2), abs=1e-12)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_hidden_attacks_are_hidden(link):
    """Counts and the decoy's errors are those of the link without an attacker."""
    for source in SOURCES.values():
        attacked, honest = hidden(link, source), no_attack(link)
        gains = [per_class(source, each, "detected")[:, :2] for each in (attacked, honest)]
        assert gains[0] == pytest.approx(gains[1], rel=1e-9)
        errors = [per_class(source, each, "wrong")[:, 1] for each in (attacked, honest)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-9)


# --- the page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", attack_table.TABLES, ids=lambda table: table.__name__)
def test_the_page_holds_the_table_as_computed(table):
    assert table() in page("attacks.md")


def test_the_page_defines_every_attack():
    defined = section(page("attacks.md"), "## The attacks")
    for name in ATTACKS:
        assert f"**{name}**" in defined or f"| {name} |" in defined
