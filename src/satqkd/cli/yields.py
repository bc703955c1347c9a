"""`satqkd yields`: every pass of a scenario with its expected key, as a table for other programs."""

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table
from satqkd.constants import DAY_S
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.plan.network import Network
    from satqkd.plan.yields_error import SurrogateError

SAMPLE = 100
SAMPLE_OF_SPREAD = 20


class By(StrEnum):
    """What passes are summed up by."""

    link = "link"
    satellite = "satellite"
    station = "station"
    month = "month"
    night_class = "night_class"
    elevation = "elevation"


def yields(
    scenario: Annotated[Path, typer.Argument(help="TOML file of a scenario.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a row a pass into this file: .csv or .parquet.")
    ] = None,
    by: Annotated[By, typer.Option(help="What passes are summed up by.")] = By.link,
    elevation_cuts: Annotated[
        str | None, typer.Option(help="Key with all masks raised to these elevations (deg): 10,20,30.")
    ] = None,
    loss_spread: Annotated[
        float | None,
        typer.Option(min=0, max=6, help="Standard deviation of a pass's loss (dB), for the scenario's."),
    ] = None,
    pool_days: Annotated[
        float | None, typer.Option(min=0.001, help="Passes of a link in so many days as one block too.")
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The full link budget of each pass, in the place of the surrogate."),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(min=0, max=100_000, help="Passes on which the surrogate's error is measured."),
    ] = None,
    json: Json = False,
) -> None:
    """Compute the passes of a scenario and their expected key: totals, a table of passes."""
    from satqkd.plan.network import read_scenario
    from satqkd.plan.opportunities import find_opportunities
    from satqkd.plan.planner import clear_probability
    from satqkd.plan.tables import format_of, link_rows, pass_columns, require_format, write_table
    from satqkd.plan.yields import exact_spread, fast_spread, surrogate_error
    from satqkd.plan.yields_groups import cut_rows, group_rows, pool_rows, pool_sums
    from satqkd.plan.yields_pools import pooled_yields, pools_asked
    from satqkd.sky import format_utc

    if out is not None:
        require_format(format_of(out))
    cuts_rad = _cuts_rad(elevation_cuts)
    network = _with_rules(read_scenario(scenario), loss_spread, pool_days)
    spread_of = exact_spread if exact else fast_spread
    passes = find_opportunities(network)
    spread, clear = spread_of(network, passes), clear_probability(network, passes)
    pools = pooled_yields(network, passes, spread.key_bits, exact=exact) if pools_asked(network) else None
    asked = _sample(network, sample)
    error = None if exact or not asked else surrogate_error(network, passes, spread.key_bits, sample=asked)
    if out is not None:
        write_table(out, pass_columns(network, passes, spread, clear, pools))
    links = link_rows(network, passes, spread.key_bits, clear)
    groups = None if by is By.link else group_rows(network, passes, spread, clear, by=by.value)
    cuts = cut_rows(network, cuts_rad, spread_of) if cuts_rad else None
    if json:
        print_json(
            {
                "scenario": network.name,
                "start_utc": format_utc(network.start),
                "duration_s": network.duration_s,
                "loss_spread_db": network.yields.loss_spread_db,
                "passes": len(passes),
                "links": links,
                "groups": groups,
                "cuts": cuts,
                "pools": None if pools is None else pool_rows(network, pools),
                "surrogate": error,
                "out": None if out is None else str(out),
            }
        )
        return
    title = f"key of {len(passes)} passes, scenario {network.name}"
    if groups is None:
        _print_links(title, links)
    else:
        _print_groups(title, by.value, groups)
    if cuts is not None:
        _print_cuts(cuts)
    if pools is not None:
        _print_pools(pool_sums(network, pools))
    if error is not None:
        _print_error(error)


def _cuts_rad(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        cuts_deg = [float(each) for each in text.split(",")]
    except ValueError:
        cuts_deg = [math.nan]
    if not all(0 <= each < 85 for each in cuts_deg):
        raise ConfigError(
            f"--elevation-cuts {text!r}: expected degrees from 0 to below 85 and commas; write 10,20,30"
        )
    return [math.radians(each) for each in cuts_deg]


def _with_rules(network: "Network", loss_spread_db: float | None, pool_days: float | None) -> "Network":
    """The scenario's rules with what the command line says in their place."""
    import msgspec

    rules = network.yields
    if loss_spread_db is not None:
        rules = msgspec.structs.replace(rules, loss_spread_db=loss_spread_db)
    if pool_days is not None:
        rules = msgspec.structs.replace(rules, pool_s=DAY_S * pool_days)
    return msgspec.structs.replace(network, yields=rules)


def _sample(network: "Network", sample: int | None) -> int:
    if sample is not None:
        return sample
    return SAMPLE_OF_SPREAD if network.yields.loss_spread_db else SAMPLE


def _figures(row: dict[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(f"{row[name]:,.0f}" for name in names)


def _print_links(title: str, links: list[dict[str, Any]]) -> None:
    print_table(
        title,
        ("satellite", "station", "passes", "with key", "key (bits)", "expected (bits)", "best pass (bits)"),
        [
            (
                row["satellite"],
                row["station"],
                row["passes"],
                row["passes_with_key"],
                *_figures(row, "key_bits", "expected_bits", "best_pass_bits"),
            )
            for row in links
        ],
    )


def _print_groups(title: str, by: str, groups: list[dict[str, Any]]) -> None:
    name = {"night_class": "night", "elevation": "highest (deg)"}.get(by, by)
    print_table(
        title,
        (name, "passes", "with key", "likely", "key (bits)", "expected (bits)", "best pass (bits)"),
        [
            (
                row[by],
                row["passes"],
                row["passes_with_key"],
                f"{row['likely_with_key']:.1f}",
                *_figures(row, "key_bits", "expected_bits", "best_pass_bits"),
            )
            for row in groups
        ],
    )


def _print_cuts(cuts: list[dict[str, Any]]) -> None:
    print_table(
        "with all masks raised, passes shortened to what lies above",
        ("mask (deg)", "passes", "with key", "key (bits)", "expected (bits)", "left"),
        [
            (
                "as it is" if row["cut_deg"] is None else f"{row['cut_deg']:g}",
                row["passes"],
                row["passes_with_key"],
                *_figures(row, "key_bits", "expected_bits"),
                f"{100 * row['share']:.1f} %",
            )
            for row in cuts
        ],
    )


def _print_pools(links: list[dict[str, Any]]) -> None:
    print_table(
        "passes of a link as one block, under a clear sky",
        ("satellite", "station", "pools", "not closed", "passes", "apart (bits)", "pooled (bits)"),
        [
            (
                row["satellite"],
                row["station"],
                row["pools"],
                row["not_closed"],
                row["passes"],
                *_figures(row, "apart_bits", "pooled_bits"),
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
