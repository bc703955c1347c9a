"""V7: a pass of the planner SatQuMA 2.0.0, counted and turned into key here, against what it prints.

Its baseline: a zenith pass of 401 s with 26.99 dB at the zenith, fixed source settings, two sets of noise,
four extra losses. The figures are those of the program itself, run with its loss file; they test the bound
`satqkd.security.satquma` and the arithmetic of counts, not a sky. Its 401 transmittances are not shipped: a
Gauss rule of four of them with the seconds each stands for has the same first eight moments, which counts and
errors, smooth in the transmittance, hardly tell apart (1e-6).
"""

from typing import Final

import msgspec
import numpy as np

from satqkd.security.satquma import Tails, leak_bits, satquma
from satqkd.security.source import Floats
from satqkd.validation.rows import Number, Row, listed_row, relative, row

PROGRAM: Final = (
    "cnqo-qcomms/SatQuMA 2.0.0, run with its FS_loss_XI0.csv: P_X 0.7611, probabilities 0.7501, 0.1749, "
    "0.075, intensities 0.7921, 0.1707, 0, 100 MHz, +-200 s, afterpulse 1e-3, epsilon 1e-9 and 1e-15, leak "
    "1.16 n h(Q)"
)
TOLERANCE: Final = 0.001
_WHY: Final = "four transmittances stand for its 401"

PULSES_PER_S: Final = 1e8
TRANSMITTANCES: Final = (2.73915e-4, 6.9126e-4, 1.38504e-3, 1.92453e-3)
DURATIONS_S: Final = (152.457, 120.609, 72.7417, 55.1925)
EXTRA_LOSSES_DB: Final = (0.0, 4.0, 8.0, 12.0)
PLACES: Final = tuple(f"{each:g} dB more" for each in EXTRA_LOSSES_DB)
AFTERPULSE: Final = 1e-3
KEYED_BASIS: Final = 0.7611
"""Probability of X at either end."""
INTENSITIES: Final = (0.7921, 0.1707, 0.0)
PROBABILITIES: Final = (0.7501, 0.1749, 0.075)
EPSILON_SECRECY: Final = 1e-9
EPSILON_CORRECTNESS: Final = 1e-15


class Noise(msgspec.Struct, frozen=True):
    """One of the program's settings."""

    probability: float
    """Of an extraneous count, half of a dark pulse's click."""
    error: float
    """Of light, without extraneous counts and afterpulses."""


class Printed(msgspec.Struct, frozen=True):
    """What the program printed for the four extra losses, rounded to whole bits."""

    noise: Noise
    sifted_bits: tuple[int, ...]
    qber: tuple[float, ...]
    chernoff_bits: tuple[int, ...]
    hoeffding_bits: tuple[int, ...]


NOISY: Final = Printed(
    Noise(probability=5e-7, error=0.005),
    sifted_bits=(12_034_110, 4_806_225, 1_927_604, 781_423),
    qber=(0.00645048, 0.00788738, 0.01146007, 0.02020956),
    chernoff_bits=(3_679_915, 1_303_786, 398_119, 51_219),
    hoeffding_bits=(3_043_641, 889_567, 0, 0),
)
QUIET: Final = Printed(
    Noise(probability=1e-7, error=0.001),
    sifted_bits=(12_015_518, 4_787_627, 1_909_004, 762_822),
    qber=(0.00169194, 0.00198322, 0.00271337, 0.00453803),
    chernoff_bits=(4_560_302, 1_756_113, 650_207, 216_358),
    hoeffding_bits=(4_067_064, 1_424_581, 363_036, 0),
)
SMALL_LEAK_BITS: Final = 8290.80
"""Its `logM` for the noise and loss below; there its 1.16 n h(Q) is smaller, 8125.94."""
SMALL_NOISE: Final = Noise(probability=1e-8, error=0.001)
SMALL_EXTRA_LOSS_DB: Final = 16.0


class Counts(msgspec.Struct, frozen=True, eq=False):
    """Expected counts of one pass by class, float64 of shape (3,)."""

    key: Floats
    key_errors: Floats
    test: Floats
    test_errors: Floats


def rows() -> list[Row]:
    """All of them."""
    return [
        sifted(NOISY),
        qber(NOISY),
        key("V7c", NOISY, "chernoff"),
        key("V7d", NOISY, "hoeffding"),
        key("V7e", QUIET, "chernoff"),
        key("V7f", QUIET, "hoeffding"),
        small_leak(),
    ]


def sifted(printed: Printed) -> Row:
    """V7a: detections of the key basis."""
    return listed_row(
        "V7a",
        f"SatQuMA's sifted bits, {_named(printed.noise)}",
        places=PLACES,
        published=printed.sifted_bits,
        computed=[round(float(each.key.sum())) for each in _passes(printed.noise)],
        share=TOLERANCE,
        why=_WHY,
        source=PROGRAM,
    )


def qber(printed: Printed) -> Row:
    """V7b: error rate of the key basis, all classes."""
    return listed_row(
        "V7b",
        f"SatQuMA's QBER, {_named(printed.noise)}",
        places=PLACES,
        published=printed.qber,
        computed=[round(float(each.key_errors.sum() / each.key.sum()), 8) for each in _passes(printed.noise)],
        share=TOLERANCE,
        why=_WHY,
        source=PROGRAM,
    )


def key(row_id: str, printed: Printed, tails: Tails) -> Row:
    """V7c to f: key lengths."""
    bits = printed.chernoff_bits if tails == "chernoff" else printed.hoeffding_bits
    return listed_row(
        row_id,
        f"SatQuMA's key, {tails}, {_named(printed.noise)}, bits",
        places=PLACES,
        published=bits,
        computed=[secret_bits(each, tails) for each in _passes(printed.noise)],
        share=TOLERANCE,
        why=_WHY,
        source=PROGRAM,
    )


def small_leak() -> Row:
    """V7g: the finite one-way length, which decides in blocks below some 3e5 bits."""
    counted = counts(SMALL_NOISE, extra_loss_db=SMALL_EXTRA_LOSS_DB)
    sifted_bits, errors = float(counted.key.sum()), float(counted.key_errors.sum())
    leaked_bits = leak_bits(sifted_bits, errors, mode="logm", epsilon_correctness=EPSILON_CORRECTNESS)
    return row(
        "V7g",
        "SatQuMA's leak of 302304 sifted bits, its logM, bits",
        published=SMALL_LEAK_BITS,
        computed=round(leaked_bits, 2),
        tolerance=relative(
            SMALL_LEAK_BITS, TOLERANCE, why=f"{_WHY}, and it jumps by 6 bits at a whole error"
        ),
        blind=True,
        source=f"{PROGRAM}; here {_named(SMALL_NOISE)}, {SMALL_EXTRA_LOSS_DB:g} dB more, leak logM",
        kind="model",
    )


def counts(noise: Noise, *, extra_loss_db: float) -> Counts:
    r"""Counts of the pass by Lim's channel with afterpulses, as the program has it.

    Per slot and class :math:`D_k=(1+p_a)(1-(1-2p_e)e^{-\mu_k\eta})` clicks and
    :math:`p_e+p_aD_k/2+e(1-e^{-\mu_k\eta})` errors a pulse. The program gives each class of a slot the slot's
    mean error rate instead of its own; so does this.
    """
    transmittance = np.array(TRANSMITTANCES) * 10 ** (-extra_loss_db / 10)
    empty = np.exp(-np.outer(INTENSITIES, transmittance))
    clicks = (1 + AFTERPULSE) * (1 - (1 - 2 * noise.probability) * empty)
    errors = noise.probability + AFTERPULSE * clicks / 2 + noise.error * (1 - empty)
    probabilities = np.array(PROBABILITIES)
    mean_rate = (probabilities @ errors) / (probabilities @ clicks)
    seen = PULSES_PER_S * np.array(DURATIONS_S) * probabilities[:, None] * clicks
    wrong = seen * mean_rate
    matched_key, matched_test = KEYED_BASIS**2, (1 - KEYED_BASIS) ** 2
    return Counts(
        key=matched_key * seen.sum(axis=1),
        key_errors=matched_key * wrong.sum(axis=1),
        test=matched_test * seen.sum(axis=1),
        test_errors=matched_test * wrong.sum(axis=1),
    )


def secret_bits(counted: Counts, tails: Tails) -> Number:
    """The key of these counts by the program's bound and its leak of 1.16 n h(Q)."""
    intensities: Floats = np.array(INTENSITIES)
    terms = satquma(
        counted.key,
        counted.test,
        counted.test_errors,
        intensities=intensities,
        probabilities=np.array(PROBABILITIES),
        leaked_bits=leak_bits(float(counted.key.sum()), float(counted.key_errors.sum())),
        epsilon_secrecy=EPSILON_SECRECY,
        epsilon_correctness=EPSILON_CORRECTNESS,
        tails=tails,
    )
    return int(terms["secret_bits"])


def _passes(noise: Noise) -> list[Counts]:
    return [counts(noise, extra_loss_db=each) for each in EXTRA_LOSSES_DB]


def _named(noise: Noise) -> str:
    return f"noise {noise.probability:g}, error {100 * noise.error:g} %"
