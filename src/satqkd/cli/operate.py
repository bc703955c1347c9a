"""`satqkd operate`: months of a scenario under sampled skies, in books or in real key stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from satqkd.cli.common import Json, made_folder, print_json, print_table, say
from satqkd.constants import DAY_S
from satqkd.errors import ResourceError

if TYPE_CHECKING:
    from satqkd.plan.comparison import ComparedOperation
    from satqkd.plan.ledger import Ledger
    from satqkd.plan.network import Network
    from satqkd.plan.operation_policy import Policy
    from satqkd.plan.operation_result import Operation
    from satqkd.show.plan_operation_view import OperationView


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
        Path | None,
        typer.Option(help="Folder for the answers, one JSON file a seed, report.html, pictures, stores."),
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
    told = _Told(out, network, range(seed, seed + seeds))
    offer, rows = offer_of(network), []
    for each in range(seed, seed + seeds):
        with _ledger(ledger, network, each, out) as opened:
            found = run(network, seed=each, policy=policy, ledger=opened, offer=offer)
        rows.append(compared(network.name, found))
        told.keep(found)
    told.report()
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


class _Told:
    """What goes into the folder: the answer of each seed as it comes, at the end their report."""

    def __init__(self, out: Path | None, network: "Network", seeds: range) -> None:
        self._out, self._network = out, network
        self._views: list[OperationView] = []
        if out is not None:
            from satqkd.show.plan_document import check_report_place
            from satqkd.show.report import REPORT_FILE

            check_report_place(out, [REPORT_FILE, *(_file(each) for each in seeds)])

    def keep(self, found: "Operation") -> None:
        """`operation-SEED.json`. Raises ResourceError where it cannot be written."""
        if self._out is None:
            return
        import msgspec

        from satqkd.mission.files import write_whole
        from satqkd.results import to_json
        from satqkd.show.plan_operation_view import view_of_operation

        data, path = to_json(_document(found)), made_folder(self._out) / _file(found.seed)
        try:
            write_whole(path, data)
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        self._views.append(view_of_operation(msgspec.json.decode(data)))
        say(f"{path} written")

    def report(self) -> None:
        """Pictures and `report.html`, of one seed or of the spread of several."""
        if self._out is None:
            return
        from satqkd.cli.plan_told import ships_told, weather_told
        from satqkd.show.plan_operation import write_operation_report
        from satqkd.show.plan_spread import spread_of, write_spread_report

        assumed = [*weather_told(self._network), *ships_told(self._network)]
        if len(self._views) == 1:
            files = write_operation_report(self._out, self._views[0], assumed)
        else:
            files = write_spread_report(self._out, spread_of(self._views), assumed)
        say(f"{files[-1]} written")


def _file(seed: int) -> str:
    return f"operation-{seed}.json"


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
