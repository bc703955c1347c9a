"""A key length told step by step, so that a reviewer can recompute it by hand. Reads terms alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from satqkd.records import CLASS_NAMES
from satqkd.results import KeyLength
from satqkd.security.bounds import BOUNDS

Terms = Mapping[str, Any]


def explain(result: KeyLength) -> list[str]:
    """Lines of text: what was counted, every statement with its epsilon, every term of the sum."""
    terms, remark = result.terms, BOUNDS[result.bound].remark
    headline = f"{result.bound}: {result.secret_bits} secret bits"
    lines = [f"{headline} ({remark})" if remark else headline, *_source(terms["source"])]
    lines += [
        f"  receiver: {name.replace('_', ' ')} {_number(value)}" for name, value in terms["receiver"].items()
    ]
    for basis, proof in terms["bases"].items():
        lines += ["", f"basis {basis} is key, {_other(basis)} is test"]
        lines += [f"  {line}" for line in _proof(terms, basis, proof)]
    return lines


def _source(source: Terms) -> Iterator[str]:
    intervals = source.get("intensity_intervals", [None] * len(source["intensities"]))
    for name, mean, probability, interval in zip(
        CLASS_NAMES, source["intensities"], source["probabilities"], intervals, strict=False
    ):
        known = "" if interval is None else f", somewhere in {interval[0]:g} to {interval[1]:g}"
        yield f"  {name:<7} mean photon number {mean:g}{known}, sent with probability {probability:g}"


def _proof(terms: Terms, basis: str, proof: Terms) -> Iterator[str]:
    yield from _counted("key ", terms["counts"][basis])
    yield from _counted("test", terms["counts"][_other(basis)])
    yield from _epsilons(proof)
    for number, made in enumerate(proof.get("statements", []), start=1):
        yield f"statement {number}: {_statement(made)}"
    for what, weights in proof.get("weights", {}).items():
        yield f"weights of {what.replace('_', ' ')}: " + ", ".join(f"{weight:.10g}" for weight in weights)
    for name in _ESTIMATES:
        if proof.get(name) or name == "weight_set" in proof:
            yield f"{name.replace('_', ' ')}: {_number(proof[name])}"
    yield from _sum(proof)


def _counted(which: str, table: Terms) -> Iterator[str]:
    parts = (
        f"{name} {detections:.0f} ({errors:.0f} wrong)"
        for name, detections, errors in zip(CLASS_NAMES, table["detections"], table["errors"], strict=False)
    )
    yield f"{which} counts: {', '.join(parts)}"


def _epsilons(proof: Terms) -> Iterator[str]:
    if "epsilon_pa" in proof:
        estimate, amplification = proof["epsilon_at"], proof["epsilon_pa"]
        yield (
            f"epsilon of secrecy: 2 x {estimate:.6g} for the estimate + {amplification:.6g} for privacy "
            f"amplification = {2 * estimate + amplification:.6g}"
        )
    if "epsilon_event" in proof and "epsilon_at" in proof:
        yield (
            f"each of {proof['events']} statements may fail with {proof['epsilon_at']:.6g}^2 / "
            f"{proof['events']} = {proof['epsilon_event']:.6g}"
        )
    elif "epsilon_event" in proof:
        yield f"each of {proof['events']} statements may fail with {proof['epsilon_event']:.6g}"


def _statement(made: Terms) -> str:
    numbers = ", ".join(
        f"{words} {_number(made[name])}"
        for name, words in (
            ("seen", "seen"),
            ("of", "of"),
            ("unseen", "unseen"),
            ("probability", "probability"),
        )
        if name in made
    )
    return f"{made['what']}: {numbers}; {made['rule']} {_number(made['value'])}"


def _sum(proof: Terms) -> Iterator[str]:
    if "phase_error_rate" in proof:
        yield f"phase error rate: {proof['phase_error_rate']:.8g}"
    signs = (
        ("entropy_bits", "+"),
        ("leaked_bits", "-"),
        ("amplification_bits", "-"),
        ("verification_bits", "-"),
    )
    total = 0.0
    for name, sign in signs:
        if name in proof:
            total += proof[name] if sign == "+" else -proof[name]
            yield f"{sign} {proof[name]:>16.4f}  {name.replace('_', ' ')}"
    yield f"= {total:>16.4f}, so {proof['secret_bits']} secret bits"


def _other(basis: str) -> str:
    return "X" if basis == "Z" else "Z"


def _number(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(map(_number, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


_ESTIMATES = (
    "single_photons",
    "vacuum_upper",
    "vacuum",
    "keyed_single_photons",
    "test_single_photons",
    "test_vacuum_upper",
    "test_single_photon_errors",
    "phase_errors",
    "test_share",
    "weight_set",
    "theta",
    "alpha",
    "beta",
    "tangent_error_rate",
    "log_failure",
)
"""Told one by one, in this order, where they are and not 0."""
