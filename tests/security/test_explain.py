"""A length recomputed by hand from its own terms and text, and tails by another library."""

import math
import re

import pytest
from scipy import special
from security_models import MICIUS, TARGETS, leak, micius_counts

from satqkd.security import ReceiverModel, SourceModel, key_length
from satqkd.security.explain import explain

CLASSES = ("signal", "decoy", "vacuum")


def result(**changes):
    counts = micius_counts()
    return key_length(counts, MICIUS, TARGETS, leaked_bits=leak(counts), **changes)


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize("credit", [False, True])
def test_a_reviewer_recomputes_the_length_from_the_terms(credit):
    found = result(vacuum_credit=credit)
    assert found.terms["source"]["intensities"] == (0.8, 0.1, 0.0)
    for basis, proof in found.terms["bases"].items():
        made = {each["what"]: each for each in proof["statements"]}
        assert len(made) == proof["events"] == (10 if credit else 8)
        table = found.terms["counts"][basis]["detections"]
        weights = proof["weights"]["single_photons"]
        bounds = [made[f"detections in key basis, {name}"]["value"] for name in ("decoy", "vacuum")]
        signal = sum(table) - sum(bounds)
        singles = weights[0] * signal + weights[1] * bounds[0] + weights[2] * bounds[1]
        assert proof["single_photons"] == math.floor(singles)
        assert proof["keyed_single_photons"] == made["keyed single photons"]["value"]
        rate = made["phase errors"]["value"] / made["phase errors"]["unseen"]
        bits = made["phase errors"]["unseen"] * (1 - entropy(rate))
        bits += made["keyed empty pulses"]["value"] if credit else 0
        spent = 2 * math.log2(1 / (2 * proof["epsilon_pa"])) + math.log2(2 / proof["epsilon_ev"])
        assert proof["secret_bits"] == math.floor(bits - proof["leaked_bits"] - spent)
        total = 2 * proof["epsilon_at"] + proof["epsilon_pa"]
        assert total == pytest.approx(found.terms["epsilon_secrecy"] / 2)
        assert proof["epsilon_event"] * len(made) == pytest.approx(proof["epsilon_at"] ** 2)


def test_every_statement_has_its_tail():
    """The probability of what was seen at the very value told, by scipy's beta functions: epsilon at most."""
    proof = result(vacuum_credit=True).terms["bases"]["Z"]
    epsilon = proof["epsilon_event"]
    checked = 0
    for made in proof["statements"]:
        if made["rule"] == "mean at least":
            tail = special.betainc(made["seen"], made["of"] - made["seen"] + 1, made["value"] / made["of"])
        elif made["rule"] == "mean at most":
            tail = special.betaincc(made["seen"] + 1, made["of"] - made["seen"], made["value"] / made["of"])
        elif made["rule"] == "binomial at least":
            tail = special.betaincc(made["value"], made["of"] - made["value"] + 1, made["probability"])
        else:
            continue
        checked += 1
        assert 0.5 * epsilon < tail <= epsilon * (1 + 1e-6)
    assert checked == 9


def test_the_text_holds_every_number_of_the_sum():
    found = result()
    text = "\n".join(explain(found))
    for proof in found.terms["bases"].values():
        for made in proof["statements"]:
            assert f"{made['what']}: " in text
        for name in ("entropy_bits", "leaked_bits", "amplification_bits", "verification_bits"):
            assert f"{proof[name]:.4f}" in text
    signed = re.findall(r"^  ([+-]) +([\d.]+)", text, re.M)
    totals = re.findall(r"= +(-?[\d.]+), so (\d+) secret bits", text)
    assert len(totals) == 2
    for basis, (total, secret) in enumerate(totals):
        own = signed[4 * basis : 4 * basis + 4]
        assert sum(float(sign + number) for sign, number in own) == pytest.approx(float(total), abs=1e-3)
        assert int(secret) == math.floor(float(total))


def test_what_was_vouched_for_is_told():
    source = SourceModel(MICIUS.intensities, MICIUS.probabilities, ((0.79, 0.81), (0.099, 0.101), (0, 0)))
    counts = micius_counts()
    found = key_length(
        counts,
        source,
        TARGETS,
        leaked_bits=leak(counts),
        receiver=ReceiverModel(efficiency_spread=0.001, labels_swapped=True),
    )
    text = "\n".join(explain(found))
    assert "somewhere in 0.79 to 0.81" in text
    assert "errors by unequal detectors" in text
    assert "efficiency spread 0.001" in text


def test_an_unreviewed_derivation_says_so():
    receiver = ReceiverModel(x_share=(0.5, 0.5))
    assert "not externally reviewed" in explain(result(bound="variable-martingale", receiver=receiver))[0]
