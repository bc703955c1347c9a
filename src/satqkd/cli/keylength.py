"""`satqkd keylength`: finite-key calculator for the counts of any experiment."""

from pathlib import Path
from typing import Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table


def keylength(
    counts: Annotated[Path, typer.Argument(help="COUNTS.json; the format stands in docs/counts.md.")],
    bound: Annotated[
        str, typer.Option(help="variable-sharp, variable, lim2014, asymptotic, or all.")
    ] = "variable-sharp",
    explain: Annotated[bool, typer.Option("--explain", help="Print every term of the length.")] = False,
    json: Json = False,
) -> None:
    """Secret bits of measured counts. `lim2014` and `asymptotic` are for comparison, not for use."""
    from satqkd.mission.counts_file import key_length_of, read_counts
    from satqkd.security import BOUNDS

    measured = read_counts(counts)
    results = [key_length_of(measured, name) for name in (list(BOUNDS) if bound == "all" else [bound])]
    if json:
        print_json(results if bound == "all" else results[0])
    else:
        print_table(str(counts), ("bound", "secret bits"), [(r.bound, f"{r.secret_bits:,}") for r in results])
        for result in results if explain else []:
            print_table(f"terms of {result.bound}", ("term", "value"), list(_flat(result.terms)))
    if not any(result.secret_bits for result in results):
        raise typer.Exit(1)


def _flat(terms: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in terms.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, f"{value:.10g}" if isinstance(value, float) else str(value)))
    return rows
