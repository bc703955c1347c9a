"""Search the degree distributions of the LDPC family and write `satqkd/distill/degrees.py`.

At each leak fraction, from the largest down, each beginning with the one before: density evolution
(`density_evolution.py`) at the largest error rate that the distribution decodes; a linear programme for the
small step in the shares of the degrees that most quickens the slowest iteration (errors of the next
iteration are linear in the shares); again while the threshold improves. Check degrees are two consecutive
ones, the mean column degree is given by `mean_degree`, degree 2 holds no more columns than a zigzag has. No
dice: the same table comes out again (to the last digit of the linear programme's solver). Takes about half
an hour.

    python builders/ldpc_degrees.py                 # print thresholds, write the table
    python builders/ldpc_degrees.py --leaks 0.16    # one leak, print only
"""

import argparse
import time
from pathlib import Path

import numpy as np
from density_evolution import Degrees, evolve
from scipy.optimize import linprog

from satqkd.security.tails import binary_entropy

LEAKS = (0.62, 0.5, 0.4, 0.31, 0.24, 0.18, 0.135, 0.1, 0.075, 0.056, 0.042, 0.031, 0.023)
DEGREES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50, 60)
ITERATIONS = 250
ZIGZAG = 0.97
"""Degree-2 columns, of the rows."""
START = {2: 0.06, 3: 0.22, 8: 0.2, 10: 0.1, 30: 0.2, 40: 0.22}
FIRST_STEP, LAST_STEP, TOLERANCE = 0.12, 0.01, 5e-4
TABLE = Path(__file__).parents[1] / "src" / "satqkd" / "distill" / "degrees.py"


def mean_degree(leak: float) -> float:
    """Mean column degree: denser columns come nearer the limit and cost time; most matter at small leaks."""
    return float(np.interp(np.log(leak), np.log([0.02, 0.045, 0.16, 0.31, 0.62]), [10, 9.2, 7.4, 6.3, 5.0]))


def error_at(leak: float, efficiency: float) -> float:
    """The error rate whose entropy times the efficiency is the leak, by bisection."""
    low, high = 1e-6, 0.3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if efficiency * binary_entropy(middle) < leak else (low, middle)
    return low


def check_degrees(mean: float) -> Degrees:
    """Two consecutive degrees of this mean over nodes, as shares of the edges."""
    low = int(mean)
    nodes = {low: 1 - (mean - low), low + 1: mean - low}
    return {degree: share * degree / mean for degree, share in nodes.items() if share > 0}


def threshold(leak: float, columns: Degrees, *, low: float, high: float) -> float:
    """Least efficiency that decodes within ITERATIONS, between low and high, to 0.0005."""
    checks = check_degrees(mean_degree(leak) / leak)
    while high - low > 5e-4:
        middle = (low + high) / 2
        good = evolve(error_at(leak, middle), columns, checks, iterations=ITERATIONS).converged
        low, high = (low, middle) if good else (middle, high)
    return high


def projected(leak: float, columns: Degrees) -> Degrees:
    """The nearest distribution (sum of changes) that has the mean degree and the zigzag's bound."""
    size, given = len(DEGREES), np.array([columns.get(d, 0.0) for d in DEGREES])
    eye = np.eye(size)
    found = linprog(
        np.r_[np.zeros(size), np.ones(size)],
        A_ub=np.block([[eye, -eye], [-eye, -eye]]),
        b_ub=np.r_[given, -given],
        A_eq=np.hstack([np.array(_constraints()), np.zeros((2, size))]),
        b_eq=[1.0, 1 / mean_degree(leak)],
        bounds=[(0, _most_two(leak)), *[(0, 1)] * (2 * size - 1)],
    )
    return dict(zip(DEGREES, np.maximum(found.x[:size], 0).tolist(), strict=True))


def _constraints() -> list[list[float]]:
    return [[1.0] * len(DEGREES), [1 / d for d in DEGREES]]


def _most_two(leak: float) -> float:
    return 2 * ZIGZAG * leak / mean_degree(leak)


def stepped(leak: float, columns: Degrees, error: float, step: float) -> Degrees | None:
    """The distribution within `step` of this one whose slowest iteration is quickest; None if none is."""
    checks = check_degrees(mean_degree(leak) / leak)
    course = evolve(error, columns, checks, iterations=2 * ITERATIONS, asked=DEGREES)
    rows = [
        [parts[d] / before for d in DEGREES] + [1.0]
        for before, parts in zip(course.errors, course.by_degree, strict=False)
    ]
    now = np.array([columns.get(d, 0.0) for d in DEGREES])
    upper = np.minimum(now + step, [_most_two(leak), *[1.0] * (len(DEGREES) - 1)])
    found = linprog(
        [0.0] * len(DEGREES) + [-1.0],
        A_ub=rows,
        b_ub=np.ones(len(rows)),
        A_eq=[[*row, 0.0] for row in _constraints()],
        b_eq=[1.0, 1 / mean_degree(leak)],
        bounds=[*zip(np.maximum(now - step, 0), upper, strict=True), (-0.5, 0.5)],
    )
    if found.status != 0:
        return None
    return dict(zip(DEGREES, np.maximum(found.x[:-1], 0).tolist(), strict=True))


def climb(leak: float, start: Degrees) -> tuple[float, Degrees]:
    """Threshold and distribution."""
    best = projected(leak, start)
    efficiency = threshold(leak, best, low=0.99, high=1.4)
    step = FIRST_STEP
    while step > LAST_STEP:
        trial = stepped(leak, best, error_at(leak, efficiency + 0.003), step)
        found = (
            efficiency
            if trial is None
            else threshold(leak, trial, low=efficiency - 0.06, high=efficiency + 0.01)
        )
        if trial is not None and found < efficiency - TOLERANCE:
            efficiency, best = found, trial
        else:
            step /= 2
    return efficiency, best


def table(rows: dict[float, tuple[float, Degrees]]) -> str:
    """The module's text."""
    lines = []
    for leak, (efficiency, columns) in sorted(rows.items()):
        nodes = np.array([columns.get(d, 0.0) / d for d in DEGREES])
        share = ", ".join(f"{1000 * value:.1f}" for value in nodes / nodes.sum())
        lines.append(f"    {leak}: ({share}),  # {efficiency:.3f}")
    return HEAD.format(degrees=DEGREES) + "\n".join(lines) + "\n}\n"


HEAD = '''"""Degree distributions of the LDPC family at some leak fractions; made, not typed.

Thousandths of the columns by degree; behind each row the efficiency (leak over entropy) from which density
evolution decodes it within 250 iterations. Rebuild with `python builders/ldpc_degrees.py`, which has no dice.
"""

from typing import Final

DEGREES: Final = {degrees}
DISTRIBUTIONS: Final[dict[float, tuple[float, ...]]] = {{
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=float, nargs="*", help="only these, printed, nothing written")
    given = parser.parse_args()
    rows: dict[float, tuple[float, Degrees]] = {}
    columns: Degrees = START
    for leak in given.leaks or LEAKS:
        began = time.monotonic()
        rows[leak] = efficiency, columns = climb(leak, columns)
        print(f"leak {leak}: threshold {efficiency:.4f}, {time.monotonic() - began:.0f} s", flush=True)
    text = table(rows)
    if given.leaks:
        print(text)
    else:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
