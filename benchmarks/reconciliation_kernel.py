"""Speed of the LDPC decoder's kernel against a C++ decoder of the same structure and against its plain twin.

`reference_ldpc.cpp` is compiled here with -O3 -march=native. All three get the same frame and a fixed number
of sweeps; what they leave in their arrays is compared to the last bit before anything is timed. The runs take
turns, the best of several counts, the clock is the process's own time. A sweep is one pass over all checks:
Mbit/s are key bits times sweeps.

    python benchmarks/reconciliation_kernel.py
"""

import argparse
import ctypes
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from compiled import compiled

from satqkd.distill import codes, reconcile
from satqkd.distill.leak_class import choose_class
from satqkd.kernels import ldpc, ldpc_plain

SIZES: Final = (65_536, 262_144, 1_048_576)
QBER: Final = 0.02
SWEEPS: Final = 10
REQUIRED: Final = 0.75
"""Speed of the kernel in that of the C++ decoder, at least."""
SOURCE: Final = Path(__file__).with_name("reference_ldpc.cpp")
_NEVER: Final = 10_000
"""A patience that does not end."""


class Task(NamedTuple):
    """A frame as the kernel takes it."""

    matrix: codes.Code
    posterior: np.ndarray
    signs: np.ndarray


Run = Callable[[np.ndarray, np.ndarray], int]
"""Decodes in place: posterior, messages."""


def reference_decoder(folder: str) -> ctypes.CDLL | None:
    """The C++ decoder, or None."""
    reference = compiled(SOURCE, folder)
    if reference is not None:
        reference.sweeps.restype = ctypes.c_int64
    return reference


def task(n_bits: int) -> Task:
    """A frame with a few more errors than its class can take: no sweep is spared by an early end."""
    leak_class = choose_class(QBER, frame_length=n_bits, sample_bits=10**12, further_rounds=5)
    assert leak_class is not None
    matrix = codes.code(n_bits, leak_class)
    rng = np.random.default_rng(n_bits)
    sent = rng.integers(0, 2, n_bits, dtype=np.uint8)
    received = sent ^ (rng.random(n_bits) < 1.1 * QBER).astype(np.uint8)
    reliability = np.int16(np.rint(np.log(1 / QBER - 1) * ldpc.LLR_SCALE))
    flat = np.full(matrix.columns * matrix.lift, ldpc.KNOWN_LLR, np.int16)
    flat[:n_bits] = np.where(received, -reliability, reliability)
    columns = flat.reshape(matrix.lift, matrix.columns).T
    posterior = np.concatenate([columns, columns[:, : ldpc.LANES]], axis=1).reshape(-1)
    return Task(matrix, posterior, -reconcile.syndrome_of(sent, matrix).astype(np.int16))


def by_kernel(given: Task, sweeps: int) -> Run:
    matrix = given.matrix
    parts = (matrix.row_start, matrix.column, matrix.shift, matrix.lift, given.signs, _scratch(matrix))
    return lambda posterior, messages: ldpc.sweeps(posterior, messages, *parts, sweeps, _NEVER)


def by_reference(library: ctypes.CDLL, given: Task, sweeps: int) -> Run:
    matrix, scratch = given.matrix, _scratch(given.matrix)

    def run(posterior: np.ndarray, messages: np.ndarray) -> int:
        return int(
            library.sweeps(
                *map(_pointer, (posterior, messages, matrix.row_start)),
                ctypes.c_int64(matrix.rows),
                *map(_pointer, (matrix.column, matrix.shift)),
                ctypes.c_int64(matrix.lift),
                *map(_pointer, (given.signs, scratch)),
                ctypes.c_int64(sweeps),
                ctypes.c_int64(_NEVER),
            )
        )

    return run


def _scratch(matrix: codes.Code) -> np.ndarray:
    return np.empty(2 * int(np.diff(matrix.row_start).max()) * ldpc.LANES, np.int16)


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def outcome(run: Run, given: Task) -> tuple[float, int, np.ndarray, np.ndarray]:
    """Seconds, what the run returned, and what it left of posterior and messages."""
    posterior = given.posterior.copy()
    messages = np.zeros(given.matrix.column.size * given.matrix.lift, np.int16)
    began = time.process_time()
    told = run(posterior, messages)
    return time.process_time() - began, told, posterior, messages


def best_alternated(runs: list[Run], given: Task, repeats: int) -> list[float]:
    """Shortest time in seconds of each, the runs taking turns."""
    times = [[outcome(run, given)[0] for run in runs] for _ in range(repeats)]
    return [min(of_one) for of_one in zip(*times, strict=True)]


def same(runs: list[Run], given: Task) -> bool:
    """Whether all return the same and leave the same posterior and messages."""
    first, *others = (outcome(run, given)[1:] for run in runs)
    return all(
        told == first[0] and np.array_equal(posterior, first[1]) and np.array_equal(messages, first[2])
        for told, posterior, messages in others
    )


def plain_seconds(given: Task, sweeps: int) -> tuple[float, bool]:
    """Seconds of the numpy twin, and whether it ends with the kernel's posterior."""
    matrix = given.matrix
    width = matrix.lift + ldpc.LANES
    posterior = given.posterior.reshape(-1, width)[:, : matrix.lift].astype(np.int64)
    messages = np.zeros((matrix.column.size, matrix.lift), np.int64)
    target = (given.signs < 0).astype(np.int64).reshape(matrix.rows, -1)
    began = time.process_time()
    ldpc_plain.sweeps_plain(
        posterior, messages, matrix.row_start, matrix.column, matrix.shift, target, sweeps
    )
    seconds = time.process_time() - began
    left = outcome(by_kernel(given, sweeps), given)[2].reshape(-1, width)[:, : matrix.lift]
    return seconds, np.array_equal(posterior, left)


def print_kernel(sizes: Sequence[int] = SIZES, *, repeats: int = 15) -> None:
    """The table of all sizes; the plain twin at the first."""
    with tempfile.TemporaryDirectory() as folder:
        reference = reference_decoder(folder)
        width = "" if reference is None else " AVX-512" if reference.wide_masks() else " AVX2"
        print(f"Kernel, {SWEEPS} sweeps, QBER {100 * QBER:g} %: Mbit/s times sweeps")
        print(f"        n   kernel C++{width:8s}  ratio required met  results")
        for n_bits in sizes:
            print(_against_reference(reference, n_bits, repeats), flush=True)
    given = task(sizes[0])
    plain_s, agrees = plain_seconds(given, 2)
    (kernel_s,) = best_alternated([by_kernel(given, 2)], given, repeats)
    verdict = "same" if agrees else "DIFFERS"
    print(f"{sizes[0]:9d}   {plain_s / kernel_s:.0f} times the plain twin in numpy, results {verdict}")


def _against_reference(library: ctypes.CDLL | None, n_bits: int, repeats: int) -> str:
    given = task(n_bits)
    runs = [by_kernel(given, SWEEPS)] + ([by_reference(library, given, SWEEPS)] if library else [])
    work = n_bits * SWEEPS / 1e6
    if library is None:
        return f"{n_bits:9d} {work / best_alternated(runs, given, repeats)[0]:8.0f}"
    agree = all(same([by_kernel(given, k), by_reference(library, given, k)], given) for k in (1, 3, SWEEPS))
    kernel_s, reference_s = best_alternated(runs, given, repeats)
    ratio = reference_s / kernel_s
    return (
        f"{n_bits:9d} {work / kernel_s:8.0f} {work / reference_s:11.0f} {ratio:6.2f} {REQUIRED:8.2f} "
        f"{'yes' if ratio >= REQUIRED else 'no':3s}  {'same' if agree else 'DIFFER'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bits of a frame")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each, of which the best counts")
    given = parser.parse_args()
    print_kernel(given.sizes, repeats=given.repeats)


if __name__ == "__main__":
    main()
