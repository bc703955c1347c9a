"""`satqkd operate`: months of a scenario under sampled skies, in books or in real key stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from satqkd.cli.common import Json, print_json, print_table, say

if TYPE_CHECKING:
    from satqkd.plan.comparison import ComparedOperation
    from satqkd.plan.ledger import Ledger
    from satqkd.plan.network import Network
    from satqkd.plan.operation_policy import Policy
    from satqkd.plan.operation_result import Operation

DAY_S = 86_400.0


def operate(
    scenario: Annotated[Path, typer.Argument(help="TOML file of a scenario.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the sky.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="So many skies, from --seed on.")] = 1,
    ledger: Annotated[
        Literal["books", "stores"], typer.Option(help="Integers, or real key stores of all nodes.")
    ] = "books",
    method: Annotated[str, typer.Option(help="exact, greedy or longest-path.")] = "exact",
    window_days: Annotated[
        float, typer.Option(min=0.01, help="Passes of so long are chosen at a time; whole periods.")
    ] = 7.0,
    look_ahead: Annotated[
        float, typer.Option(min=1, max=100, help="Windows that are looked at in choosing.")
    ] = 2.0,
    gap: Annotated[float, typer.Option(min=0, max=1, help="Relative gap that is enough.")] = 0.02,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds of a stage of the solver; default none.")
    ] = None,
    stock_days: Annotated[
        float, typer.Option(min=0, help="Relays fill a pair's store up to its demand of so long.")
    ] = 14.0,
    low_bits: Annotated[
        float | None, typer.Option(min=0, help="Less in a pair's store is an alarm; default: its day.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answers, one JSON file a seed, and for stores.")
    ] = None,
    json: Json = False,
) -> None:
    """Operate a scenario: schedule, sampled sky, relays on board, demand; who was served, what was lost."""
    from satqkd.plan.comparison import compared
    from satqkd.plan.network import read_scenario
    from satqkd.plan.operation import operate as run
    from satqkd.plan.operation_policy import Policy
    from satqkd.plan.planner import offer_of

    policy = Policy(
        method=method,
        window_s=window_days * DAY_S,
        look_ahead=look_ahead,
        gap=gap,
        time_limit_s=time_limit,
        stock_s=stock_days * DAY_S,
        low_bits=low_bits,
    )
    network = read_scenario(scenario)
    offer, rows = offer_of(network), []
    for each in range(seed, seed + seeds):
        with _ledger(ledger, network, each, out) as opened:
            found = run(network, seed=each, policy=policy, ledger=opened, offer=offer)
        rows.append(compared(network.name, found))
        if out is not None:
            _write(out, found)
    if seeds > 1:
        print_json({"runs": rows}) if json else _tell_all(rows)
    else:
        print_json(_document(found)) if json else _tell(found, policy)


@contextmanager
def _ledger(kind: str, network: "Network", seed: int, out: Path | None) -> Iterator["Ledger | None"]:
    if kind == "books":
        yield None
        return
    from satqkd.plan.stores import Stores

    with TemporaryDirectory(prefix="satqkd-") as scratch:
        folder = Path(scratch) if out is None else out / f"stores-{seed}"
        with Stores(network, folder, seed=seed) as stores:
            yield stores
            faults = [
                f"{name}: {fault}" for name, each in stores.nodes.items() for fault in each.check().faults
            ]
            for fault in faults:
                say(fault)
            if faults:
                raise typer.Exit(1)


def _document(found: "Operation") -> dict[str, Any]:
    import msgspec

    return {**msgspec.structs.asdict(found), "share": found.share, "worst_share": found.worst_share}


def _write(out: Path, found: "Operation") -> None:
    from satqkd.results import to_json

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"operation-{found.seed}.json"
    path.write_bytes(to_json(_document(found)))
    say(f"{path} written")


def _tell(found: "Operation", policy: "Policy") -> None:
    links = found.links
    came = sum(each.key_bits for each in links)
    figures = {
        "seed": str(found.seed),
        "days": f"{found.duration_s / DAY_S:g}",
        "method": f"{found.method}, {policy.window_s / DAY_S:g} days at a time",
        "contacts": f"{sum(each.contacts for each in found.satellites):,}",
        "of these cloudy": f"{sum(each.cloudy for each in found.satellites):,}",
        "link key (bits)": f"{came:,}",
        "relayed (bits)": f"{sum(each.relayed_bits for each in links):,}",
        "for tags (bits)": f"{sum(each.tag_bits for each in links):,}",
        "expired (bits)": f"{sum(each.expired_bits for each in links):,}",
        "without room (bits)": f"{sum(each.overflow_bits for each in links):,}",
        "left on board (bits)": f"{sum(each.left_bits for each in links):,}",
        "demand met": f"{100 * found.share:.1f} %",
        "of the worst pair": f"{100 * found.worst_share:.1f} %",
        "alarms": str(len(found.alarms)),
    }
    print_table(f"operation of {found.name}", ("figure", "value"), figures.items())
    print_table(
        "pairs",
        (
            "pair",
            "key (bits)",
            "used (bits)",
            "unmet (bits)",
            "met",
            "periods",
            "left (bits)",
            "empty (days)",
        ),
        [
            (
                each.pair,
                f"{each.key_bits:,}",
                f"{each.used_bits:,}",
                f"{each.unmet_bits:,}",
                f"{100 * each.share:.1f} %",
                f"{100 * each.share_of_periods:.1f} %",
                f"{each.left_bits:,}",
                f"{each.longest_empty_s / DAY_S:g}",
            )
            for each in found.pairs
        ],
    )


def _tell_all(rows: "list[ComparedOperation]") -> None:
    print_table(
        f"operation of {rows[0].name}",
        (
            "seed",
            "met",
            "worst pair",
            "used (bits)",
            "unmet (bits)",
            "contacts",
            "cloudy",
            "lost (bits)",
            "alarms",
        ),
        [
            (
                str(each.seed),
                f"{100 * each.share:.1f} %",
                f"{100 * each.worst_share:.1f} %",
                f"{each.used_bits:,}",
                f"{each.unmet_bits:,}",
                f"{each.contacts:,}",
                f"{each.cloudy:,}",
                f"{each.lost_bits:,}",
                str(each.alarms),
            )
            for each in rows
        ],
    )
