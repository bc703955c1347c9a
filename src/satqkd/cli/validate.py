"""`satqkd validate`: published figures against computed ones, or a user's table of passes."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import Json, print_json, print_table


def validate(
    table: Annotated[
        Path | None,
        typer.Option(help="CSV of passes to compare with the model, instead of the published figures."),
    ] = None,
    loss_curve: Annotated[
        Path | None,
        typer.Option(
            envvar="SATQKD_MICIUS_LOSS_CSV",
            help="CSV range_km,loss_db of the Micius pass, for the published rows that need it; "
            "not used with --table.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Published against computed, row by row; ends with 1 when a row is not reproduced."""
    from satqkd.validation import compare_table
    from satqkd.validation import validate as compute

    rows = compute(loss_curve) if table is None else compare_table(table)
    if json:
        print_json(rows)
    else:
        print_table(
            "validation" if table is None else f"validation of {table.name}",
            ("id", "what", "published", "computed", "tolerance", "status", "kind", "blind", "fitted"),
            [
                (
                    r.id,
                    r.what,
                    r.published,
                    r.computed,
                    r.tolerance,
                    r.status,
                    r.kind,
                    "yes" if r.blind else "no",
                    r.fitted,
                )
                for r in rows
            ],
        )
    if any(row.status == "not_reproduced" for row in rows):
        raise typer.Exit(1)
