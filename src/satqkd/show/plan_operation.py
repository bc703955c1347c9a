"""An operation's report: levels of the pairs' stores in time, who was served, what became of link key.

Knows the operation's view.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from satqkd.constants import DAY_S
from satqkd.show import plan_operation_tables as tables
from satqkd.show.plan_document import Document, Part, Picture, Section, Write, write_document
from satqkd.show.plan_levels import levels_picture
from satqkd.show.plan_operation_view import OperationView, levels_of
from satqkd.show.plan_style import counted
from satqkd.show.tables import percent


def write_operation_report(
    folder: Path,
    operation: OperationView,
    assumed: Sequence[str] = (),
    beside: Mapping[str, Write] | None = None,
) -> list[Path]:
    """Write an operation's pictures and `report.html`. assumed: sentences; else as `write_document`."""
    return write_document(folder, operation_document(operation, assumed), beside)


def operation_document(operation: OperationView, assumed: Sequence[str] = ()) -> Document:
    """The report of an operation."""
    return Document(
        title=f"Operation of {operation.name}",
        lead=_lead(operation),
        outcome=tuple(_outcome(operation)),
        assumed=(*assumed, *LIMITS),
        sections=(
            Section("Stores in time", tuple(_stores(operation))),
            Section("Who was served", (tables.pair_table(operation), _SERVED)),
            Section("Contacts", (tables.satellite_table(operation),)),
            Section("What became of link key", (tables.link_table(operation),)),
            Section("Alarms", (tables.alarm_table(operation),)),
        ),
    )


def _stores(operation: OperationView) -> list[Part]:
    about = f"operation of {operation.name}, seed {operation.seed}, from {operation.start_utc}"
    levels = levels_of(operation)
    return [
        Picture(
            "operation-levels.png",
            "Key in the stores of pairs in time; red while a store is below its mark",
            lambda path: levels_picture(path, (levels,), about=about),
        ),
        _LINKS,
    ]


def _lead(operation: OperationView) -> str:
    return (
        f"{counted(len(operation.satellites), 'satellite')}, {counted(len(operation.pairs), 'pair')}; "
        f"{operation.duration_s / DAY_S:.4g} days from {operation.start_utc}; sky of seed {operation.seed}; "
        f"contacts chosen by {operation.method}, {operation.window_s / DAY_S:.3g} days at a time"
    )


def _outcome(operation: OperationView) -> list[str]:
    contacts, cloudy = (
        sum(getattr(each, name) for each in operation.satellites) for name in ("contacts", "cloudy")
    )
    worst = min(operation.pairs, key=lambda each: each.share, default=None)
    named = "" if worst is None else f", of the worst pair, {worst.pair}, {percent(worst.share)}"
    return [
        f"Of all demand {percent(operation.share)} was met{named}.",
        f"{counted(contacts, 'contact')} flown, {cloudy} of them under clouds; "
        f"{counted(len(operation.alarms), 'alarm')}.",
    ]


LIMITS: Final = (
    "Sky: one that the seed drew from the probabilities, alike in time and over distance. Another seed has "
    "another.",
    "Contacts: chosen by probabilities before the sky is seen. A clear one brings what is expected of it, no "
    "more and no less.",
    "Periods: key comes, is relayed and is used at the ends of periods; records of relays take no time.",
    "Relays: a satellite that relays key knows it. It is trusted, unless a pair combines key over several.",
)
"""Of every operation."""
_SERVED: Final = (
    "Demand met counts bits; periods served, those in which all of the demand was met. Waiting is relayed "
    "key of a pair over several satellites that is not combined yet."
)
_LINKS: Final = (
    "Levels are those of the pairs' stores. Levels of link key on board are not kept; what became of it "
    "stands below."
)
