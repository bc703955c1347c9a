"""LDPC reconciliation: bits leaked, frames failed, round trips and speed, by QBER and frame size.

Every bit is wrong independently with the QBER, which both ends know (as if from 10^12 revealed rounds): what
chance does to single frames is in the figures, an error rate known badly is not. f is the mean leak over
n h2(QBER): every bit of both directions, failed frames whole; behind it the standard error of the mean. Times
are the process's own: at the station all of its turns (reliabilities, sweeps, check of the syndrome), at the
satellite its syndromes.

Table 1, the default policy: frames that do not decode take further rows, up to five times.
Table 2, one shot: the class that the policy takes where no rows may follow; beside it the least leak of any
one-way code of one length that fails once in a hundred (facts: reconciliation, 2c).
Table 3, speed: one shot with a leak of 0.03 above the required f.
Table 4, the kernel against C++ and its plain twin: `reconciliation_kernel.py`.

    python benchmarks/reconciliation.py                  what `make bench` runs, a few minutes
    python benchmarks/reconciliation.py --bits 3e8       key bits in each row of tables 1 to 3
        --sizes 65536 --qbers 0.01 0.02                  some rows alone
        --tables 1 3                                     some tables alone
        --plot docs/pictures/reconciliation.png          f against QBER beside the floor and published figures
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from reconciliation_kernel import print_kernel
from reconciliation_plot import draw
from reconciliation_rows import (
    REQUIRED,
    STRETCH,
    STRETCH_ROUNDS,
    Row,
    asked,
    by_dialogue,
    by_one_attempt,
    floor_f,
)

from satqkd.show.style import check_place

SIZES: Final = (8192, 65_536, 262_144, 1_048_576)
QBERS: Final = (0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.08, 0.11)
FURTHER_ROUNDS: Final = 5
SPEED_MARGIN: Final = 0.03
SPEED_MBIT_S: Final = 10.0


class Table(NamedTuple):
    """A table of dialogues."""

    title: str
    head: str
    line: Callable[[Row], str]
    further_rounds: int


def verdict(row: Row) -> str:
    """What the row meets of what is asked, with ? where two standard errors would change the answer."""
    required, stretch = asked(REQUIRED, *row.key), asked(STRETCH, *row.key)
    if required is None:
        return "-"
    if stretch is not None and row.f <= stretch and row.rounds.max() <= STRETCH_ROUNDS:
        answer, limit = "stretch", stretch
    else:
        answer, limit = "yes" if row.f <= required else "NO", required
    return answer + "?" * (abs(row.f - limit) < 2 * row.f_error)


def number(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.2f'):>8s}"


def leak_columns(row: Row) -> str:
    return f"{row.n_bits:8d} {100 * row.qber:5.2f} {row.f_first:7.4f} {row.f:7.4f} {row.f_error:6.4f}"


def work_columns(row: Row) -> str:
    count = row.leaks.size
    return (
        f"{row.failed:6d}/{count:<6d} {row.undetected:5d} {row.rounds.mean():6.2f} {row.rounds.max():4d} "
        f"{row.iterations / count:6.1f} {row.mbit / row.station_s:8.1f} {row.mbit / row.satellite_s:8.0f}"
    )


def default_line(row: Row) -> str:
    required, stretch = (number(asked(table, *row.key)) for table in (REQUIRED, STRETCH))
    return f"{leak_columns(row)} {required} {stretch} {verdict(row):>8s} {work_columns(row)}"


def one_shot_line(row: Row) -> str:
    return f"{leak_columns(row)} {floor_f(*row.key):7.4f} {work_columns(row)}"


def speed_line(row: Row) -> str:
    speed = row.mbit / row.station_s
    return (
        f"{row.n_bits:8d} {100 * row.qber:5.2f} {row.f_first:7.4f} {row.failed:6d}/{row.leaks.size:<6d} "
        f"{row.undetected:5d} {row.iterations / row.leaks.size:6.1f} {speed:8.1f} {SPEED_MBIT_S:8.0f} "
        f"{'yes' if speed >= SPEED_MBIT_S else 'NO':>3s}"
    )


LEAK_HEAD: Final = "       n QBER% f first       f    +/-"
WORK_HEAD: Final = "failed/frames undet  trips most   iter dec Mb/s syn Mb/s"
SPEED_HEAD: Final = "       n QBER%       f failed/frames undet   iter dec Mb/s required met"
TABLES: Final = {
    1: Table(
        "1. Default policy; of frames failed, under 0.001 are asked",
        "required  stretch      met",
        default_line,
        FURTHER_ROUNDS,
    ),
    2: Table("2. One shot", "  floor", one_shot_line, 0),
}


def summary(rows: list[Row]) -> str:
    """Failures of all rows together; where there is none, what their number would still allow."""
    count, failed = sum(row.leaks.size for row in rows), sum(row.failed for row in rows)
    rate = f"a rate of {failed / count:.1e}" if failed else f"below {3 / count:.1e} at 95 % confidence"
    return (
        f"all rows: {failed} of {count} frames failed, {rate}; {sum(row.undetected for row in rows)} "
        f"undetected errors; at most {max(row.rounds.max() for row in rows)} round trips\n"
    )


def print_dialogues(table: Table, cells: list[tuple[int, float]], bits: float) -> list[Row]:
    print(f"{table.title}\n{LEAK_HEAD} {table.head} {WORK_HEAD}")
    rows: list[Row] = []
    for n_bits, qber in cells:
        rows.append(by_dialogue(n_bits, qber, frames_in(bits, n_bits), table.further_rounds))
        print(table.line(rows[-1]), flush=True)
    print(summary(rows), flush=True)
    return rows


def print_speed(cells: list[tuple[int, float]], bits: float) -> None:
    print(f"3. One thorough attempt at the required f + {SPEED_MARGIN}\n{SPEED_HEAD}")
    for n_bits, qber in cells:
        required = asked(REQUIRED, n_bits, qber)
        if required is not None:
            row = by_one_attempt(n_bits, qber, frames_in(bits, n_bits), required + SPEED_MARGIN)
            print(speed_line(row), flush=True)
    print()


def frames_in(bits: float, n_bits: int) -> int:
    """At least two: one has no standard error."""
    return max(2, round(bits / n_bits))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bits", type=float, default=2e6, help="key bits in a row, at least two frames")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bits of a frame")
    parser.add_argument("--qbers", type=float, nargs="+", default=QBERS)
    parser.add_argument("--tables", type=int, nargs="+", default=(1, 2, 3, 4), choices=(1, 2, 3, 4))
    parser.add_argument("--plot", type=Path, help="draw table 1 into this PNG")
    given = parser.parse_args()
    if given.plot is not None and 1 not in given.tables:
        parser.error("--plot draws table 1: name it among --tables")
    return given


def main() -> None:
    given = arguments()
    if given.plot is not None:
        check_place(given.plot)
    cells = [(n_bits, qber) for n_bits in given.sizes for qber in given.qbers]
    by_dialogue(8192, 0.02, 1, FURTHER_ROUNDS)  # loads the kernel
    rows = {
        number: print_dialogues(TABLES[number], cells, given.bits)
        for number in (1, 2)
        if number in given.tables
    }
    if 3 in given.tables:
        print_speed(cells, given.bits)
    if 4 in given.tables:
        print_kernel()
    if given.plot is not None:
        print(f"picture: {draw(given.plot, rows[1])}")


if __name__ == "__main__":
    main()
