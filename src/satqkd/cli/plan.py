"""`satqkd plan`: which passes are flown, and for what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table

if TYPE_CHECKING:
    from satqkd.plan.instance_plan import InstanceContact


def plan(
    file: Annotated[Path, typer.Argument(help="A public instance, .json or .json.gz.")],
    method: Annotated[str, typer.Option(help="exact, greedy or longest-path.")] = "exact",
    gap: Annotated[
        float, typer.Option(min=0, max=1, help="Relative gap at which an exact plan counts as proved.")
    ] = 1e-9,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds for the solver; then the best plan so far.")
    ] = None,
    json: Json = False,
) -> None:
    """Plan contacts: which passes are flown and for which task, what that is worth, and how near the best."""
    found = _planned(file, method, gap, time_limit)
    if json:
        print_json(found)
    else:
        _tell(file.name, found)


def _planned(file: Path, method: str, gap: float, time_limit_s: float | None) -> dict[str, Any]:
    """The answer by the kind of the file, which its name tells."""
    from satqkd.errors import ConfigError

    if file.name.lower().endswith((".json", ".json.gz")):
        return _of_instance(file, method, gap, time_limit_s)
    if file.suffix.lower() == ".toml":
        raise ConfigError(
            f"{file}: expected a public instance, .json or .json.gz, got a TOML file; scenarios are not "
            "planned yet (docs/planning.md)"
        )
    raise ConfigError(
        f"{file}: expected a name that ends in .json or .json.gz, got {file.name!r}; see docs/planning.md"
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
