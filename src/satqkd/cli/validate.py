"""`satqkd validate`: published figures against computed ones."""

import typer

from satqkd.cli.common import Json, print_json, print_table


def validate(json: Json = False) -> None:
    """Published against computed, row by row; ends with 1 when a row is not reproduced."""
    from satqkd.validation import validate as compute

    rows = compute()
    if json:
        print_json(rows)
    else:
        print_table(
            "validation",
            ("id", "what", "published", "computed", "tolerance", "status", "blind"),
            [
                (r.id, r.what, r.published, r.computed, r.tolerance, r.status, "yes" if r.blind else "no")
                for r in rows
            ],
        )
    if any(row.status == "not_reproduced" for row in rows):
        raise typer.Exit(1)
