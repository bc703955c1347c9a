"""How the length moves, for every bound that makes one: over links, sources, block sizes and receivers.

Not among them: one decoy and the errors of its own key basis. Of the keyed signal they are not read at all.
Those of the revealed decoy only say how many pulses may have been empty: more of them lower n, and where n
falls by one the whole number of phase errors may fall with it, which can be worth more. Nothing in the proof
needs the length to fall with them. SatQuMA's lower bounds are not cut at 0; it is left out.
"""

import dataclasses
import math
from itertools import pairwise

import msgspec
import pytest
from attack_table import ONE_DECOY, covering
from eavesdropping import Link
from hypothesis import given, settings
from hypothesis import strategies as st
from link_attacks import MICIUS_LINK, MICIUS_PULSES, no_attack, shown
from security_models import EVEN_RECEIVER, MICIUS, TARGETS, leak

from satqkd.security import (
    BOUNDS,
    ReceiverModel,
    SecurityTargets,
    SourceModel,
    key_length,
)
from satqkd.security.tails import secret_fraction

replace = msgspec.structs.replace
SIGNAL, BRIGHT = ("signal",), ("signal", "decoy")
FINITE = [
    (bound, source)
    for source in (MICIUS, ONE_DECOY)
    for bound in covering(source)
    if bound != "asymptotic" and not bound.startswith("satquma")
]
finite = pytest.mark.parametrize(
    ("bound", "source"), FINITE, ids=[f"{bound}-{source.classes}" for bound, source in FINITE]
)
links = st.builds(
    Link,
    transmittance=st.floats(-4.3, -2).map(lambda x: 10**x),
    background=st.floats(-8, -6).map(lambda x: 10**x),
    optical_error=st.floats(0, 0.04),
)
classes_keyed = st.sampled_from([SIGNAL, BRIGHT])
SLOTS = 10**14
"""More than any block here has: some bounds want their number beforehand."""


def bits(rows, *, bound="variable-sharp", leaked=None, classes=SIGNAL, source=None, targets=TARGETS, **more):
    """Secret bits; `planned` defaults to the rows themselves."""
    leaked = leak(rows, classes) if leaked is None else leaked
    told = {"receiver": EVEN_RECEIVER, "planned": rows, "pulses": SLOTS} | more
    return key_length(
        rows, source, targets, leaked_bits=leaked, bound=bound, keyed_classes=classes, **told
    ).secret_bits


def answered(bound, source, classes):
    """The classes, or the signal alone where the bound does not answer for more."""
    return classes if bound in covering(source, classes) else SIGNAL


def block(link, source, sifted):
    """Rows with about this many signal detections in both bases."""
    gain = 1 - math.exp(-source.intensities[0] * link.transmittance)
    return shown(source, no_attack(link), sifted / (0.5 * source.probabilities[0] * gain))


def changed(rows, basis, class_name, **changes):
    """Rows with one of them altered: each keyword gives the function of the row that replaces the field."""
    return [
        replace(row, **{name: change(row) for name, change in changes.items()})
        if (row.basis, row.class_name) == (basis, class_name)
        else row
        for row in rows
    ]


# --- ceilings ------------------------------------------------------------------------------------------


@finite
@settings(max_examples=25, deadline=None)
@given(link=links, log_sifted=st.floats(4.5, 9), classes=classes_keyed)
def test_never_above_endless_decoys(bound, source, link, log_sifted, classes):
    """Single photons and their errors known exactly, every one of a keyed class counted."""
    rows, classes = block(link, source, 10**log_sifted), answered(bound, source, classes)
    single = no_attack(link)(1)
    gain = 1 - math.exp(-source.intensities[0] * link.transmittance)
    pulses = 10**log_sifted / (0.5 * source.probabilities[0] * gain)
    photons = pulses * source.joint(1)[: len(classes)].sum() * float(single.detected[0]) / 4
    entropy = photons * secret_fraction(float(single.wrong[0] / single.detected[0]))
    ceiling = sum(max(0.0, entropy - leaked) for leaked in leak(rows, classes).values())
    assert bits(rows, bound=bound, classes=classes) <= ceiling
    if source.classes == 3:
        assert bits(rows, bound=bound, classes=classes) <= bits(rows, bound="asymptotic", classes=classes)


def test_endless_blocks_with_one_decoy_are_a_ceiling_too():
    """Here fewer errors were seen than the weights of signal and decoy alone would allow."""
    rows = block(Link(1e-2, 1e-6, 0.03125), ONE_DECOY, 1e8)
    assert bits(rows) <= bits(rows, bound="asymptotic")


@finite
@pytest.mark.parametrize("classes", [SIGNAL, BRIGHT])
def test_nothing_at_eleven_point_eight_per_cent(bound, source, classes):
    """20 dB, 1e12 pulses, error 11.8 % of all light that arrives."""
    classes = answered(bound, source, classes)
    rows = shown(source, no_attack(Link(1e-2, 1e-9, 0.118)), 1e12)
    assert bits(rows, bound=bound, classes=classes) == 0
    assert bits(rows, bound=bound, classes=classes, leaked={"Z": 0, "X": 0}) > 0


@finite
@pytest.mark.parametrize("name", BRIGHT)
@pytest.mark.parametrize("classes", [SIGNAL, BRIGHT])
def test_nothing_without_counts_in_a_bright_class(bound, source, name, classes):
    classes = answered(bound, source, classes)
    rows = shown(source, no_attack(MICIUS_LINK), MICIUS_PULSES)
    for basis, other in ("ZX", "XZ"):
        dead = changed(rows, basis, name, detections=lambda row: 0, errors=lambda row: 0)
        both = changed(dead, other, name, detections=lambda row: 0, errors=lambda row: 0)
        asked = {"bound": bound, "classes": classes, "planned": rows}
        assert bits(both, **asked, leaked={"Z": 0, "X": 0}) == 0
        assert bits(dead, **asked, leaked={basis: 0}, keyed_bases=(basis,)) == 0


# --- what shortens ---------------------------------------------------------------------------------------


@finite
@settings(max_examples=15, deadline=None)
@given(link=links, log_sifted=st.floats(5.5, 8), classes=classes_keyed, more=st.integers(1, 500))
def test_errors_of_the_test_decoy_shorten(bound, source, link, log_sifted, classes, more):
    """Three classes: the decoy carries them. Two: the signal does, and the decoy's are taken off."""
    rows, classes = block(link, source, 10**log_sifted), answered(bound, source, classes)
    carrier = "decoy" if source.classes == 3 else "signal"
    leaked = {"Z": leak(rows, classes)["Z"]}
    worse = changed(rows, "X", carrier, errors=lambda row: min(row.detections, row.errors + more))
    before, after = (
        bits(each, bound=bound, classes=classes, leaked=leaked, keyed_bases=("Z",), planned=rows)
        for each in (rows, worse)
    )
    assert after <= before


@finite
@settings(max_examples=15, deadline=None)
@given(
    link=links,
    log_sifted=st.floats(5.5, 8),
    classes=classes_keyed,
    more=st.integers(1, 50_000),
    factor=st.floats(1.01, 1e6),
    whole=st.integers(2, 40),
)
def test_leak_and_small_epsilons_shorten_and_size_lengthens(
    bound, source, link, log_sifted, classes, more, factor, whole
):
    rows, classes = block(link, source, 10**log_sifted), answered(bound, source, classes)
    leaked = leak(rows, classes)
    asked = {"bound": bound, "classes": classes, "leaked": leaked}
    base = bits(rows, **asked)
    assert bits(rows, **asked | {"leaked": {b: v + more for b, v in leaked.items()}}) <= max(0, base - more)
    secrecy, correctness = TARGETS.epsilon_secrecy, TARGETS.epsilon_correctness
    for stricter in (
        SecurityTargets(secrecy / factor, correctness),
        SecurityTargets(secrecy, correctness / factor),
    ):
        assert bits(rows, **asked, targets=stricter) <= base
    grown = [replace(row, detections=whole * row.detections, errors=whole * row.errors) for row in rows]
    assert bits(grown, **asked | {"leaked": {b: whole * v for b, v in leaked.items()}}) >= whole * base


# --- what changes nothing ----------------------------------------------------------------------------------


@finite
@settings(max_examples=10, deadline=None)
@given(order=st.randoms(use_true_random=False), parts=st.integers(2, 5))
def test_order_of_rows_and_of_passes_is_nothing(bound, source, order, parts):
    """Passes of one block are summed row by row, in any order."""
    passes = [
        shown(
            source,
            no_attack(dataclasses.replace(MICIUS_LINK, transmittance=3e-4 * 0.5**i)),
            MICIUS_PULSES / parts,
        )
        for i in range(parts)
    ]
    lengths = set()
    for _ in range(3):
        order.shuffle(passes)
        total, *others = ([*rows] for rows in passes)
        for rows in others:
            total = [one + other for one, other in zip(total, rows, strict=True)]
        order.shuffle(total)
        planned = shown(source, no_attack(MICIUS_LINK), MICIUS_PULSES)
        lengths.add(bits(total, bound=bound, source=source, leaked={"Z": 1000, "X": 2000}, planned=planned))
    assert len(lengths) == 1


# --- uncertain intensities ---------------------------------------------------------------------------------


def within(source, spread):
    """The same source, each intensity known within this fraction."""
    intervals = tuple((mu * (1 - spread), mu * (1 + spread)) for mu in source.intensities)
    return SourceModel(source.intensities, source.probabilities, intervals)


@pytest.mark.parametrize("credit", [False, True])
@pytest.mark.parametrize("source", [MICIUS, ONE_DECOY], ids=["two decoys", "one decoy"])
@settings(max_examples=15, deadline=None)
@given(link=links, log_sifted=st.floats(5, 8), classes=classes_keyed, spread=st.floats(1e-6, 0.1))
def test_less_is_known_of_the_source_less_is_secret(source, credit, link, log_sifted, classes, spread):
    rows, classes = block(link, source, 10**log_sifted), answered("variable-sharp", source, classes)
    asked = {"classes": classes, "vacuum_credit": credit and source.classes == 3}
    exact, narrow, wide = (
        bits(rows, **asked, source=each)
        for each in (source, within(source, spread / 2), within(source, spread))
    )
    assert wide <= narrow <= exact


@pytest.mark.parametrize("source", [MICIUS, ONE_DECOY], ids=["two decoys", "one decoy"])
@pytest.mark.parametrize("classes", [SIGNAL, BRIGHT])
def test_closing_intervals_lead_to_the_exact_source(source, classes):
    """Continuous while the statements stay the same: a vacuum that may hold a photon costs one more."""
    classes = answered("variable-sharp", source, classes)
    rows = shown(source, no_attack(MICIUS_LINK), MICIUS_PULSES)
    exact = bits(rows, classes=classes, source=source)
    lost = [exact - bits(rows, classes=classes, source=within(source, 10.0**-k)) for k in range(2, 9)]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.02 * exact
    assert lost[-1] <= 2
    assert all(each < 0.2 * before + 4 for before, each in pairwise(lost))


# --- unequal detectors -------------------------------------------------------------------------------------

COVERING_MISMATCH = [name for name, bound in BOUNDS.items() if bound.mismatch]


@pytest.mark.parametrize("bound", COVERING_MISMATCH)
@settings(max_examples=20, deadline=None)
@given(
    link=links,
    log_sifted=st.floats(5.5, 8),
    spread=st.floats(1e-6, 0.9),
    dark=st.tuples(st.floats(1e-9, 1e-5), st.floats(0, 0.5)),
)
def test_unequal_detectors_only_shorten(bound, link, log_sifted, spread, dark):
    rows = block(link, MICIUS, 10**log_sifted)

    def length(**receiver):
        return bits(rows, bound=bound, receiver=ReceiverModel(**receiver))

    matched, half, told = length(), length(efficiency_spread=spread / 2), length(efficiency_spread=spread)
    assert told <= half <= matched
    swapped = length(efficiency_spread=spread, labels_swapped=True)
    assert told <= swapped <= matched
    probability, unequal = dark
    noisy = {"efficiency_spread": spread, "dark_probability": probability}
    assert length(**noisy, dark_spread=unequal) <= length(**noisy, dark_spread=unequal / 2) <= matched


@pytest.mark.parametrize("bound", COVERING_MISMATCH)
def test_swapped_labels_make_a_small_spread_cheap(bound):
    rows = shown(MICIUS, no_attack(MICIUS_LINK), 10 * MICIUS_PULSES)
    plain, swapped = (
        [
            bits(rows, bound=bound, receiver=ReceiverModel(efficiency_spread=spread, labels_swapped=each))
            for spread in (0.0, 0.001, 0.003, 0.01, 0.03)
        ]
        for each in (False, True)
    )
    assert plain == sorted(plain, reverse=True)
    assert swapped == sorted(swapped, reverse=True)
    assert plain[0] == swapped[0]
    assert all(s > p for p, s in zip(plain[1:], swapped[1:], strict=True))


# --- one decoy ---------------------------------------------------------------------------------------------


def test_one_decoy_reads_key_errors_of_revealed_rounds_alone():
    """See the module's text."""
    rows = shown(ONE_DECOY, no_attack(MICIUS_LINK), MICIUS_PULSES)

    def length(class_name, more):
        each = changed(rows, "Z", class_name, errors=lambda row: row.errors + more)
        return bits(each, leaked={"Z": 0}, keyed_bases=("Z",))

    base = length("decoy", 0)
    assert length("decoy", 300) < 0.99 * base
    assert length("signal", 300) == base
