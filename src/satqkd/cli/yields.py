"""`satqkd yields`: every pass of a scenario with its expected key, as a table for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table

if TYPE_CHECKING:
    from satqkd.plan.yields import SurrogateError


def yields(
    scenario: Annotated[Path, typer.Argument(help="TOML file of a scenario.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a row a pass into this file: .csv or .parquet.")
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The full link budget of each pass, in the place of the surrogate."),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=0, max=100_000, help="Passes on which the surrogate's error is measured.")
    ] = 100,
    json: Json = False,
) -> None:
    """Compute the passes of a scenario and their expected key: totals of links, a table of passes."""
    from satqkd.plan.network import read_scenario
    from satqkd.plan.opportunities import find_opportunities
    from satqkd.plan.planner import clear_probability
    from satqkd.plan.tables import format_of, link_rows, pass_columns, require_format, write_table
    from satqkd.plan.yields import exact_yields, fast_yields, surrogate_error
    from satqkd.sky import format_utc

    if out is not None:
        require_format(format_of(out))
    network = read_scenario(scenario)
    passes = find_opportunities(network)
    key_bits = (exact_yields if exact else fast_yields)(network, passes)
    clear = clear_probability(network, passes)
    error = None if exact or not sample else surrogate_error(network, passes, key_bits, sample=sample)
    if out is not None:
        write_table(out, pass_columns(network, passes, key_bits, clear))
    links = link_rows(network, passes, key_bits, clear)
    if json:
        print_json(
            {
                "scenario": network.name,
                "start_utc": format_utc(network.start),
                "duration_s": network.duration_s,
                "passes": len(passes),
                "links": links,
                "surrogate": error,
                "out": None if out is None else str(out),
            }
        )
        return
    _print_links(f"key of {len(passes)} passes, scenario {network.name}", links)
    if error is not None:
        _print_error(error)


def _print_links(title: str, links: list[dict[str, Any]]) -> None:
    header = (
        "satellite",
        "station",
        "passes",
        "with key",
        "key (bits)",
        "expected (bits)",
        "best pass (bits)",
    )
    names = ("key_bits", "expected_bits", "best_pass_bits")
    print_table(
        title,
        header,
        [
            (
                row["satellite"],
                row["station"],
                row["passes"],
                row["passes_with_key"],
                *(f"{row[name]:,.0f}" for name in names),
            )
            for row in links
        ],
    )


def _print_error(error: "SurrogateError") -> None:
    print_table(
        "the surrogate against the exact key, on a sample",
        (
            "passes",
            "sum (%)",
            "median (%)",
            "lowest (%)",
            "highest (%)",
            "largest (bits)",
            "key or not differs",
        ),
        [
            (
                error.passes,
                *(f"{100 * each:+.2f}" for each in (error.total, error.median, error.lowest, error.highest)),
                f"{error.largest_bits:,.0f}",
                error.disagree,
            )
        ],
    )
