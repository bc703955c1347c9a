"""Efficiency, failures and speed of LDPC reconciliation, by QBER and frame size.

Every bit is wrong independently with the QBER, which the chooser of the class knows (`sample_bits` huge):
the fluctuation of the frame itself is in the failures. f counts all syndrome bits, in its second column with
the failed frames charged whole.

    python benchmarks/reconciliation.py --bits 10e6
"""

import argparse
import time

import numpy as np

from satqkd.distill import codes
from satqkd.distill.reconcile import SyndromeDecoder, syndrome_of
from satqkd.security.tails import binary_entropy

QBERS = (0.005, 0.0075, 0.01, 0.02, 0.03, 0.05)
SIZES = (8192, 65_536, 262_144)


def measure(n_bits: int, qber: float, frames: int) -> str:
    leak_class = codes.choose_class(qber, frame_length=n_bits, sample_bits=10**12)
    assert leak_class is not None
    codes.code.cache_clear()
    began = time.perf_counter()
    matrix = codes.code(n_bits, leak_class)
    build_s = time.perf_counter() - began
    decoder = SyndromeDecoder(matrix)
    rng = np.random.default_rng(1)
    failed = wrong = iterations = 0
    encode_s = decode_s = 0.0
    for _ in range(frames):
        sent = rng.integers(0, 2, n_bits, dtype=np.uint8)
        received = sent ^ (rng.random(n_bits) < qber)
        began = time.perf_counter()
        syndrome = syndrome_of(sent, matrix)
        encode_s += time.perf_counter() - began
        began = time.perf_counter()
        found = decoder.decode(syndrome, received, crossover=qber)
        decode_s += time.perf_counter() - began
        iterations += found.iterations
        failed += not found.converged
        wrong += found.converged and not np.array_equal(found.bits, sent)
    entropy = n_bits * binary_entropy(qber)
    f = matrix.rows_bits / entropy
    charged = (matrix.rows_bits * (frames - failed) + n_bits * failed) / frames / entropy
    mbit = n_bits * frames / 1e6
    return (
        f"{n_bits:7d} {100 * qber:5.2f} {f:6.3f} {charged:7.3f} {failed:4d}/{frames:<5d} {wrong:6d} "
        f"{iterations / frames:6.1f} {mbit / decode_s:8.1f} {mbit / encode_s:8.1f} {build_s:7.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=float, default=5e6, help="key bits per row of the table")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    measure(8192, 0.02, 1)
    print("      n  QBER%      f  f+fail  failed   undet   iter  dec Mb/s syn Mb/s build s")
    for n_bits in given.sizes:
        for qber in QBERS:
            print(measure(n_bits, qber, max(4, int(given.bits / n_bits))), flush=True)


if __name__ == "__main__":
    main()
