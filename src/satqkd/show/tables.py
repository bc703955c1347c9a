"""The tables of a pass as rows of text, one source for the terminal and the HTML report.

Quantities stand in rows, passes in columns, the unit in the row's name. Numbers are grouped by no-break
spaces; what is missing is a dash. Knows views of result files only, and neither HTML nor terminals.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from satqkd.show.files import EvidenceRow, PassView

MARKS: Final = ("published", "measured", "calibrated", "inferred", "assumed")
"""Evidence marks, the firmest first."""
MISSING: Final = "–"
_GAP: Final = "\u00a0"
_NUMBER: Final = re.compile(rf"-?[\d{_GAP}]+(\.\d+)?(e[+-]\d+)?({_GAP}%)?( of [\d{_GAP}]+)?")


class Table(msgspec.Struct, frozen=True):
    """Rows of text under a header, all of the header's length; first column names, the others values."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def is_numeric(self, column: int) -> bool:
        """Whether most cells of the column are numbers, which then stand to the right."""
        cells = [row[column] for row in self.rows if row[column] != MISSING]
        return column > 0 and 2 * sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) > len(cells)


def pass_table(reports: Sequence[PassView]) -> Table:
    """The table of the demo: what became of the light in each pass."""
    return Table(
        title="Passes",
        header=("", *(report.station for report in reports)),
        rows=tuple((name, *(cell(report) for report in reports)) for name, cell in _PASS_ROWS),
    )


def count_table(report: PassView) -> Table:
    """Detections and errors per basis and class, matching bases only."""
    rows = (
        (
            f"{row.basis} {row.class_name}",
            decimals(row.intensity, 3),
            decimals(row.probability, 3),
            whole(row.detections),
            whole(row.errors),
            percent(row.errors / row.detections if row.detections else None),
        )
        for row in report.counts
    )
    header = ("basis, class", "photons a pulse", "sent with", "detections", "errors", "error rate")
    return Table(f"Counts, {report.station}", header, tuple(rows))


def block_table(report: PassView) -> Table:
    """The blocks of a pass, each a key of its own or the reason why not."""
    rows = (
        (
            str(block.block),
            block.outcome,
            whole(block.detections),
            whole(block.sifted_bits),
            percent(block.errors / block.sifted_bits if block.sifted_bits else None),
            f"{whole(block.frames_failed)} of {whole(block.frames)}",
            whole(sum(block.leaked_bits.values())),
            whole(block.secret_bits),
            block.reason or MISSING,
        )
        for block in report.blocks
    )
    header = ("block", "outcome", "detections", "sifted, bits", "QBER", "frames failed", "leak, bits")
    return Table(f"Blocks, {report.station}", (*header, "secret, bits", "reason"), tuple(rows))


def term_tables(report: PassView) -> list[Table]:
    """Every term of each block's key length, a column per keyed basis."""
    tables = []
    for block in report.blocks:
        bases = block.terms.get("bases")
        if not isinstance(bases, dict) or not all(isinstance(terms, dict) for terms in bases.values()):
            continue
        names = dict.fromkeys(
            name
            for terms in bases.values()
            for name, value in terms.items()
            if not isinstance(value, list | dict)
        )
        rows = tuple(
            (name, *(number(terms.get(name)) for terms in bases.values()), TERMS.get(name, ""))
            for name in names
        )
        title = f"Key length, {report.station}, block {block.block}, bound {report.bound}"
        tables.append(Table(title, ("term", *(f"basis {basis}" for basis in bases), "what it is"), rows))
    return tables


def classical_table(reports: Sequence[PassView]) -> Table:
    """What the laser link carried, a row per pass and direction."""
    rows = tuple(
        (
            report.station,
            {"down": "satellite to station", "up": "station to satellite"}.get(direction, direction),
            *(whole(counts.get(name)) for name in ("bytes", "frames", "lost", "resent")),
        )
        for report in reports
        for direction, counts in report.classical.items()
        if isinstance(counts, dict)
    )
    return Table(
        "Laser link", ("station", "direction", "bytes", "frames", "frames lost", "frames resent"), rows
    )


def process_table(reports: Sequence[PassView]) -> Table:
    """What each process took of the machine."""
    rows = tuple(
        (report.station, name, decimals(use.get("cpu_s"), 2), decimals(use.get("max_rss_mib"), 0))
        for report in reports
        for name, use in report.processes.items()
        if isinstance(use, dict)
    )
    return Table("Processes", ("pass over", "process", "processor time, s", "largest memory, MiB"), rows)


def stage_table(report: PassView) -> Table:
    """When each node entered each stage, in seconds since the first pulse."""
    stages = report.timings_s.get("stages")
    rows = tuple(
        (str(node), str(stage), decimals(at_s, 2))
        for node, times in (stages.items() if isinstance(stages, dict) else ())
        if isinstance(times, dict)
        for stage, at_s in times.items()
    )
    return Table(f"Stages, {report.station}", ("node", "block.stage", "entered at, s"), rows)


def fact_table(title: str, facts: dict[str, Any]) -> Table:
    """A flat dict as name and value, nested ones by dotted names; strings as they are."""
    return Table(title, ("", ""), tuple(_flat(facts, "")))


def evidence_table(rows: Iterable[EvidenceRow], mark: str) -> Table:
    """Every preset number of one mark, each once."""
    chosen = {(row.preset, row.path): row for row in rows if row.mark == mark}
    return Table(
        mark,
        ("preset", "number", "value, SI", "source"),
        tuple((row.preset, row.path, number(row.value), row.source) for row in chosen.values()),
    )


def mark_counts(rows: Iterable[EvidenceRow]) -> dict[str, int]:
    """How many preset numbers bear each mark, the firmest first; unknown marks last."""
    counted = Counter(mark for _, _, mark in {(row.preset, row.path, row.mark) for row in rows})
    known = {mark: counted[mark] for mark in MARKS if counted[mark]}
    return known | {mark: counted[mark] for mark in sorted(counted) if mark not in known}


def whole(value: float | None) -> str:
    """An integer in groups of three."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", _GAP)


def decimals(value: float | None, places: int) -> str:
    """A number with fixed decimals, in groups of three."""
    return MISSING if value is None else f"{value:,.{places}f}".replace(",", _GAP)


def percent(fraction: float | None) -> str:
    """A fraction in per cent."""
    return MISSING if fraction is None else f"{100 * fraction:.2f}{_GAP}%"


def number(value: Any) -> str:
    """Any JSON value as one cell: six digits, exact whole numbers, text as it is."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return decimals(value, 1) if 1e4 <= abs(value) < 1e15 else f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value) or MISSING
    return str(value)


def _flat(facts: dict[str, Any], prefix: str) -> Iterable[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", number(value)


def _seconds(name: str) -> Callable[[PassView], str]:
    return lambda report: decimals(report.timings_s.get(name), 2)


_PASS_ROWS: Final[tuple[tuple[str, Callable[[PassView], str]], ...]] = (
    ("satellite", lambda report: report.satellite),
    ("first pulse, UTC", lambda report: report.start_utc),
    ("duration, s", lambda report: decimals(report.duration_s, 1)),
    ("highest elevation, degrees", lambda report: decimals(report.max_elevation_deg, 1)),
    ("least range, km", lambda report: decimals(report.min_range_km, 1)),
    ("pulses sent", lambda report: whole(report.pulses)),
    ("detections", lambda report: whole(report.detections)),
    ("sifted, bits", lambda report: whole(report.sifted_bits)),
    ("QBER", lambda report: percent(report.qber)),
    ("frames failed", lambda report: f"{whole(report.frames_failed)} of {whole(report.frames)}"),
    ("leak, bits", lambda report: whole(report.leaked_bits)),
    ("f, leak over Shannon limit", lambda report: decimals(report.reconciliation_efficiency, 3)),
    ("authentication key spent, bits", lambda report: whole(report.authentication_bits_spent)),
    ("secret, bits", lambda report: whole(report.secret_bits)),
    ("last photon to key, s", _seconds("last_photon_to_key")),
    ("both ends hold the same key", lambda report: number(report.keys_match)),
    ("outcome", lambda report: report.outcome),
    ("reason", lambda report: report.reason or MISSING),
)

TERMS: Final = {
    "secret_bits": "what is left: entropy less leak, amplification and verification",
    "single_photons": "detections of single photons, lower bound",
    "keyed_single_photons": "single photons in keyed classes, lower bound",
    "test_single_photons": "single photons detected in the other basis, lower bound",
    "test_single_photon_errors": "errors of single photons in the other basis, upper bound",
    "phase_errors": "phase errors of the keyed single photons, upper bound",
    "phase_error_rate": "phase errors as a fraction of the keyed single photons, upper bound",
    "entropy_bits": "what an eavesdropper cannot know before anything is said",
    "leaked_bits": "said aloud to correct errors, failed frames whole",
    "amplification_bits": "price of privacy amplification",
    "verification_bits": "price of comparing both ends' strings",
    "epsilon_pa": "failure probability of privacy amplification",
    "epsilon_at": "its square bounds the chance that any estimate is wrong",
    "epsilon_ev": "failure probability of the comparison",
    "events": "statistical statements relied on",
    "epsilon_event": "failure probability of each statement",
    "sifted_bits": "keyed detections in matching bases",
    "errors": "errors among the sifted bits",
    "qber": "errors as a fraction of the sifted bits",
    "shannon_bits": "least that any correction must say",
}
"""What the terms of a key length mean, by the names that `security` gives them."""
