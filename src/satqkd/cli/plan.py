"""`satqkd plan`: which passes are flown, and for what; of a scenario's network, or of a public instance."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table, say

if TYPE_CHECKING:
    from satqkd.plan.instance_plan import InstanceContact
    from satqkd.plan.network import Network
    from satqkd.plan.result import Plan

INSTANCE_GAP = 1e-9
SCENARIO_GAP = 1e-2
SCENARIO_TIME_S = 60.0
CONTACTS_TOLD = 40


def plan(
    file: Annotated[Path, typer.Argument(help="A scenario, .toml, or a public instance, .json, .json.gz.")],
    method: Annotated[str, typer.Option(help="exact, greedy or longest-path.")] = "exact",
    gap: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Relative gap that is enough; 0.01, of an instance 1e-9."),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds of a stage of the solver; 60, of an instance none."),
    ] = None,
    window_days: Annotated[
        float | None, typer.Option(min=0.01, help="Plan a rolling horizon, so much kept at a time.")
    ] = None,
    exact_key: Annotated[
        bool, typer.Option("--exact-key", help="The full link budget for each pass, not its surrogate.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the plan, a table of contacts, pictures and report.html.")
    ] = None,
    json: Json = False,
) -> None:
    """Plan contacts: which passes are flown, who gets key, what that is worth, and how near the best."""
    from satqkd.errors import ConfigError

    if file.name.lower().endswith((".json", ".json.gz")):
        _refuse_report(out)
        limit = INSTANCE_GAP if gap is None else gap
        found = _of_instance(file, method, limit, time_limit)
        print_json(found) if json else _tell(file.name, found)
    elif file.suffix.lower() == ".toml":
        network, made = _of_scenario(file, method, gap, time_limit, window_days, out, exact_key=exact_key)
        if out is not None:
            _write(out, network, made)
        print_json(made) if json else _tell_scenario(made)
    else:
        raise ConfigError(
            f"{file}: expected a name that ends in .toml, .json or .json.gz, got {file.name!r}; see "
            "docs/planning.md"
        )


def _of_scenario(
    file: Path,
    method: str,
    gap: float | None,
    time_limit_s: float | None,
    window_days: float | None,
    out: Path | None,
    *,
    exact_key: bool,
) -> "tuple[Network, Plan]":
    from satqkd.constants import DAY_S
    from satqkd.plan.network import read_scenario
    from satqkd.plan.planner import make_plan
    from satqkd.plan.search import Search

    search = Search(
        gap=SCENARIO_GAP if gap is None else gap,
        time_limit_s=SCENARIO_TIME_S if time_limit_s is None else time_limit_s,
    )
    network = read_scenario(file)
    if out is not None:
        _check(out)
    return network, make_plan(
        network,
        method=method,
        search=search,
        window_s=None if window_days is None else window_days * DAY_S,
        exact_key=exact_key,
    )


def _check(out: Path) -> None:
    """Before the minutes that a plan may take."""
    from satqkd.cli.plan_told import CONTACTS_FILE, PLAN_FILE
    from satqkd.show.plan_document import check_report_place
    from satqkd.show.report import REPORT_FILE

    check_report_place(out, (PLAN_FILE, CONTACTS_FILE, REPORT_FILE))


def _write(out: Path, network: "Network", made: "Plan") -> None:
    from satqkd.cli.plan_told import write_plan

    files = write_plan(out, network, made)
    say(f"{files[-1]} written, and {len(files) - 1} files beside it")


def _refuse_report(out: Path | None) -> None:
    from satqkd.errors import ConfigError

    if out is not None:
        raise ConfigError(
            "--out: expected a scenario, .toml, got a public instance, whose terminals have no places and no "
            "names; leave --out away, --json has all contacts"
        )


def _tell_scenario(made: "Plan") -> None:
    unit = "" if made.objective_name == "demand" else " (bits)"
    flown = len(made.contacts)
    rows = {
        "objective": made.objective_name,
        "method": made.method,
        "status": made.status,
        "passes that give key": f"{made.passes:,}",
        "contacts": f"{flown:,}",
        f"worth{unit}": f"{made.objective:,.4g}" if not unit else f"{made.objective:,.0f}",
        f"bound{unit}": f"{made.bound:,.4g}" if not unit else f"{made.bound:,.0f}",
        "gap": f"{100 * made.gap:.2f} %",
        "time (s)": f"{made.time_s:.1f}",
    }
    print_table(f"plan of {made.name}", ("figure", "value"), rows.items())
    print_table(
        "key of pairs, expected",
        ("pair", "key (bits)", "by its date (bits)", "demand (bits)", "satellites"),
        [
            (
                each.pair,
                f"{each.key_bits:,.0f}",
                f"{each.by_date_bits:,.0f}",
                None if each.demand_bits is None else f"{each.demand_bits:,.0f}",
                str(len(each.relayed_bits)),
            )
            for each in made.pairs
        ],
    )
    print_table(
        f"contacts, the first {min(CONTACTS_TOLD, flown)} of {flown}; all with --json",
        ("start UTC", "end UTC", "satellite", "station", "elevation (deg)", "key (bits)", "clear"),
        [
            (
                each.start_utc,
                each.end_utc,
                each.satellite,
                each.station,
                f"{math.degrees(each.max_elevation_rad):.1f}",
                f"{each.key_bits:,.0f}",
                f"{100 * each.clear_probability:.0f} %",
            )
            for each in made.contacts[:CONTACTS_TOLD]
        ],
    )


def _of_instance(file: Path, method: str, gap: float, time_limit_s: float | None) -> dict[str, Any]:
    from time import perf_counter

    import msgspec

    from satqkd.plan.instance import read_instance
    from satqkd.plan.instance_plan import plan_instance

    began_s = perf_counter()
    instance = read_instance(file)
    found = plan_instance(instance, method=method, gap=gap, time_limit_s=time_limit_s)
    return {
        **msgspec.structs.asdict(found),
        "pairs": (),
        "passes": len(instance.passes),
        "targets": len(instance.targets),
        "time_s": perf_counter() - began_s,
    }


def _tell(name: str, found: dict[str, Any]) -> None:
    worth: float = found["objective"]
    contacts: tuple[InstanceContact, ...] = found["contacts"]
    shares = {
        f"{other}, of this plan": f"{100 * value / worth:.2f} %" if worth else "-"
        for other, value in found["baselines"].items()
    }
    rows = {
        "passes": f"{found['passes']:,}",
        "tasks": f"{found['targets']:,}",
        "contacts": str(len(contacts)),
        "objective": f"{worth:,.2f}",
        "bound": f"{found['bound']:,.2f}",
        "gap": f"{found['gap']:.1e}",
        **shares,
        "time (s)": f"{found['time_s']:.2f}",
    }
    print_table(f"{found['method']} plan, {found['status']}", ("figure", "value"), rows.items())
    print_table(
        f"contacts of {name}",
        ("start UTC", "end UTC", "pass", "terminal", "task", "operation", "value"),
        [
            (
                each.start_utc,
                each.end_utc,
                str(each.pass_id),
                str(each.node_id),
                str(each.target_id),
                each.operation,
                f"{each.value:,.2f}",
            )
            for each in contacts
        ],
    )
