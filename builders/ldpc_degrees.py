"""Climb to better degree distributions of the LDPC family; prints rows for `distill/codes.py`.

A step moves some weight between degrees and is kept when the decoder needs fewer iterations on frames of
262144 bits with a fixed number of errors. Whenever that gets easy the target efficiency is made harder.

    python builders/ldpc_degrees.py 0.0522 --efficiency 1.12 --seconds 80
"""

import argparse
import time

import numpy as np

from satqkd.distill import codes
from satqkd.distill.reconcile import SyndromeDecoder, syndrome_of
from satqkd.security.tails import binary_entropy

N_BITS = 262_144
FRAMES = 3
MAX_ITERATIONS = 120
EASY = 35.0


def qber_at(leak: float, efficiency: float) -> float:
    """The error rate whose entropy times the efficiency is the leak, by bisection."""
    low, high = 1e-5, 0.25
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if efficiency * binary_entropy(middle) < leak else (low, middle)
    return low


def score(weights: tuple[float, ...], leak_class: int, efficiency: float) -> float:
    """Mean iterations of a few frames; a frame that fails counts more the more bits stay wrong."""
    codes._DISTRIBUTIONS.clear()
    codes._DISTRIBUTIONS[codes.LEAK_FRACTIONS[leak_class]] = weights
    codes.code.cache_clear()
    matrix = codes.code(N_BITS, leak_class)
    qber = qber_at(matrix.rows_bits / N_BITS, efficiency)
    rng = np.random.default_rng(5)
    total = 0.0
    for _ in range(FRAMES):
        errors = np.zeros(N_BITS, np.uint8)
        errors[rng.choice(N_BITS, round(qber * N_BITS), replace=False)] = 1
        found = SyndromeDecoder(matrix).decode(
            syndrome_of(errors, matrix), np.zeros_like(errors), crossover=qber, max_iterations=MAX_ITERATIONS
        )
        wrong = int((found.bits != errors).sum())
        total += found.iterations if found.converged else 1.25 * MAX_ITERATIONS + wrong / 100
    return total / FRAMES


def climb(leak_class: int, efficiency: float, seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    leak = codes.LEAK_FRACTIONS[leak_class]
    known = np.array(list(codes._DISTRIBUTIONS.values()))
    known *= 128 / known.sum(axis=1, keepdims=True)
    current = tuple(float(np.interp(leak, list(codes._DISTRIBUTIONS), part)) for part in known.T)
    best = score(current, leak_class, efficiency)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        source, sink = rng.choice(len(current), 2, replace=False)
        step = min(current[source], float(rng.choice([0.5, 1, 2, 4])))
        trial = list(current)
        trial[source] -= step
        trial[sink] += step
        if step == 0 or trial[0] > 0.97 * 128 * leak:
            continue
        result = score(tuple(trial), leak_class, efficiency)
        if result < best:
            best, current = result, tuple(trial)
            print(f"f {efficiency:.2f}  iterations {best:.1f}  {leak}: {tuple(round(w, 1) for w in current)}")
        if best < EASY:
            efficiency -= 0.01
            best = score(current, leak_class, efficiency)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("leak", type=float, help="leak fraction; the nearest class is climbed")
    parser.add_argument("--efficiency", type=float, default=1.12)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    distances = [abs(leak - given.leak) for leak in codes.LEAK_FRACTIONS]
    climb(int(np.argmin(distances)), given.efficiency, given.seconds, given.seed)


if __name__ == "__main__":
    main()
