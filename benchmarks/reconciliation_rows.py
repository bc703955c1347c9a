"""One row of the reconciliation benchmark: what is asked, and what the frames of one size and QBER came to.

Frames are dialogues in memory, each of its own, or single attempts. Knows no table and no picture.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from satqkd.bits import Bits
from satqkd.distill import codes, ldpc_dialogue, reconcile
from satqkd.distill.ldpc_dialogue import LdpcCorrection, LdpcReference
from satqkd.distill.leak_class import choose_class
from satqkd.security.tails import binary_entropy

ASKED_QBERS: Final = (0.005, 0.01, 0.02, 0.03, 0.05)
REQUIRED: Final = {
    65_536: (1.30, 1.20, 1.18, 1.16, 1.15),
    262_144: (1.18, 1.14, 1.13, 1.13, 1.12),
    1_048_576: (1.12, 1.11, 1.10, 1.10, 1.09),
}
STRETCH: Final = {262_144: (1.12, 1.09, 1.07, 1.06, 1.05)}
STRETCH_ROUNDS: Final = 6
FLOOR_SIGMAS: Final = 2.326  # of the normal distribution, one in a hundred above
_KNOWN: Final = 10**12


class Row(NamedTuple):
    """What the frames of one size, QBER and policy came to."""

    n_bits: int
    qber: float
    f_first: float
    """Of the syndromes alone."""
    leaks: np.ndarray
    """(frames,) f of each, charged as it is."""
    failed: int
    undetected: int
    rounds: np.ndarray
    """(frames,) round trips."""
    iterations: int
    station_s: float
    satellite_s: float

    @property
    def f(self) -> float:
        return float(self.leaks.mean())

    @property
    def f_error(self) -> float:
        """Standard error of f; not a number for a single frame."""
        return float(self.leaks.std(ddof=1) / np.sqrt(self.leaks.size)) if self.leaks.size > 1 else np.nan

    @property
    def mbit(self) -> float:
        return self.n_bits * self.leaks.size / 1e6

    @property
    def key(self) -> tuple[int, float]:
        return self.n_bits, self.qber


class Counting(reconcile.Attempt):
    """An attempt that adds up the iterations of all attempts: no dialogue tells them."""

    iterations = 0

    def run(self, max_iterations: int, patience: int) -> reconcile.Decoded:
        found = super().run(max_iterations, patience)
        Counting.iterations += found.iterations
        return found


ldpc_dialogue.Attempt = Counting  # the name by which dialogues make theirs


def asked(table: Mapping[int, tuple[float, ...]], n_bits: int, qber: float) -> float | None:
    """The f asked for, where one is."""
    return dict(zip(ASKED_QBERS, table.get(n_bits, ()), strict=False)).get(qber)


def floor_f(n_bits: int, qber: float) -> float:
    """Least f of a one-way code of one length that fails once in a hundred: 1 + z sqrt(v / n) / h2."""
    spread = np.sqrt(qber * (1 - qber) / n_bits) * np.log2((1 - qber) / qber)
    return float(1 + FLOOR_SIGMAS * spread / binary_entropy(qber))


def frames(n_bits: int, qber: float, count: int) -> Iterator[tuple[Bits, Bits]]:
    """Strings of the satellite and of the station, the same for every table."""
    rng = np.random.default_rng([n_bits, round(1e6 * qber)])
    for _ in range(count):
        sent = rng.integers(0, 2, n_bits, dtype=np.uint8)
        yield sent, sent ^ (rng.random(n_bits) < qber).astype(np.uint8)


def by_dialogue(n_bits: int, qber: float, count: int, further_rounds: int) -> Row:
    """Each frame a dialogue of its own, so that its round trips are its own."""
    leak_class = choose_class(qber, frame_length=n_bits, sample_bits=_KNOWN, further_rounds=further_rounds)
    if leak_class is None:
        leak_class = reconcile.CLASS_COUNT - 1
    entropy = n_bits * binary_entropy(qber)
    leaks, rounds = np.empty(count), np.empty(count, int)
    failed = undetected = 0
    seconds = np.zeros(2)
    Counting.iterations = 0
    for index, (sent, received) in enumerate(frames(n_bits, qber, count)):
        above = LdpcReference(sent, leak_class, frame_bits=n_bits, further_rounds=further_rounds)
        below = LdpcCorrection(received, leak_class, qber, frame_bits=n_bits, further_rounds=further_rounds)
        seconds += hold(above, below)
        leaks[index], rounds[index] = above.account.leaked_bits / entropy, above.account.rounds
        failed += above.account.failed
        undetected += not above.failed_bits and not np.array_equal(above.bits, below.bits)
    return Row(
        n_bits, qber, reconcile.syndrome_bits(n_bits, leak_class) / entropy,
        leaks, failed, undetected, rounds, Counting.iterations, seconds[1], seconds[0],
    )  # fmt: skip


def hold(above: LdpcReference, below: LdpcCorrection) -> tuple[float, float]:
    """The whole dialogue: seconds at the satellite and at the station."""
    satellite_s = station_s = 0.0
    began = time.process_time()
    parities = above.opening()
    satellite_s += time.process_time() - began
    while below.parities_awaited:
        began = time.process_time()
        verdicts = below.take(parities)
        done = time.process_time()
        parities = above.take(verdicts)
        station_s += done - began
        satellite_s += time.process_time() - done
    return satellite_s, station_s


def by_one_attempt(n_bits: int, qber: float, count: int, f: float) -> Row:
    """The class of the leak nearest to f, one thorough attempt a frame."""
    entropy = binary_entropy(qber)
    leak_class = int(np.argmin(np.abs(np.array(codes.LEAK_FRACTIONS) - f * entropy)))
    matrix = codes.code(n_bits, leak_class)
    f_said = matrix.rows_bits / (n_bits * entropy)
    leaks = np.full(count, f_said)
    failed = undetected = iterations = 0
    seconds = np.zeros(2)
    for index, (sent, received) in enumerate(frames(n_bits, qber, count)):
        began = time.process_time()
        told = reconcile.syndrome_of(sent, matrix)
        said = time.process_time()
        found = reconcile.Attempt(matrix, told, received, qber).run(*reconcile.THOROUGH)
        seconds += (said - began, time.process_time() - said)
        iterations += found.iterations
        if not found.converged:
            failed += 1
            leaks[index] = 1 / entropy
        else:
            undetected += not np.array_equal(found.bits, sent)
    rounds = np.ones(count, int)
    return Row(n_bits, qber, f_said, leaks, failed, undetected, rounds, iterations, seconds[1], seconds[0])
