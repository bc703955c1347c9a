"""The whole distillation of a block at each end: reconciliation, verification, amplification, on one core
an end.

Errors are independent. Both ends run in this process and hand their strings over directly; each call's
processor time counts for its end. Sifting and the codes of messages are not in it. The reference is 5 Mbit
of sifted key a second for the slower end. Prints a line a policy and QBER.

    python benchmarks/chain.py --sifted 2e6
"""

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from satqkd.config import Protocol
from satqkd.distill import amplify, verify
from satqkd.distill.readiness import warm_up
from satqkd.distill.reconciliation import class_of, correction_of, reference_of

REFERENCE_MBIT_S = 5.0
POLICIES = (("ldpc", 0), ("ldpc", 5), ("cascade-fewest-rounds", 5))
Result = TypeVar("Result")


class Ends:
    """Processor seconds by end."""

    def __init__(self) -> None:
        self.spent_s = {"satellite": 0.0, "station": 0.0}

    def at(self, end: str, work: Callable[[], Result]) -> Result:
        """Do some work and charge an end for it."""
        began = time.process_time()
        result = work()
        self.spent_s[end] += time.process_time() - began
        return result


def chain(sifted: int, qber: float, rules: Protocol) -> tuple[dict[str, float], float]:
    """Seconds by end, and f: bits said both ways over the entropy of the errors."""
    rng, ends = np.random.default_rng(1), Ends()
    sent = rng.integers(0, 2, sifted, dtype=np.uint8)
    received = sent ^ (rng.random(sifted) < qber).astype(np.uint8)
    chosen = class_of(qber, sifted, 10**6, rules)
    above = ends.at("satellite", lambda: reference_of(sent, chosen, rules))
    below = ends.at("station", lambda: correction_of(received, chosen, qber, rules))
    parities = ends.at("satellite", above.opening)
    while above.verdicts_awaited:
        verdicts = ends.at("station", lambda said=parities: below.take(said))
        parities = ends.at("satellite", lambda said=verdicts: above.take(said))
    secret, tag_seed = sifted // 3, rng.bytes(verify.seed_bytes(1e-15))
    seed = rng.bytes((amplify.seed_bits_needed(sifted, secret) + 7) // 8)
    tags, keys = [], []
    for end, string, method in (("satellite", above.bits, "fft"), ("station", below.bits, "clmul")):
        tags.append(ends.at(end, lambda bits=string: verify.tag(bits, tag_seed, 1e-15)))
        keys.append(
            ends.at(end, lambda bits=string, how=method: amplify.amplify(bits, secret, seed, method=how))
        )
    assert verify.matches(*tags) and np.array_equal(*keys)
    entropy = -qber * np.log2(qber) - (1 - qber) * np.log2(1 - qber)
    return ends.spent_s, above.account.leaked_bits / sifted / entropy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sifted", type=float, default=2e6, help="bits")
    sifted = int(parser.parse_args().sifted)
    print("policy, further rounds     QBER %      f  satellite Mbit/s  station Mbit/s  slower / 5")
    for policy, rounds in POLICIES:
        rules = Protocol(reconciliation=policy, further_rounds=rounds)  # type: ignore[arg-type]
        warm_up(rules)
        for qber in (0.01, 0.02, 0.05):
            spent_s, f = chain(sifted, qber, rules)
            above, below = (sifted / 1e6 / spent_s[end] for end in ("satellite", "station"))
            ratio = min(above, below) / REFERENCE_MBIT_S
            name = f"{policy}, {rounds}"
            print(f"{name:26s} {100 * qber:6.1f} {f:6.3f} {above:17.1f} {below:15.1f} {ratio:11.2f}")


if __name__ == "__main__":
    main()
