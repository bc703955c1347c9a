"""`satqkd presets`: the data behind names, with its evidence."""

from typing import Annotated

import typer

from satqkd.cli.common import Json, print_json, print_table

app = typer.Typer(help="The data behind names, with its evidence.", no_args_is_help=True)


@app.command("list")
def list_presets(json: Json = False) -> None:
    """Names of satellites and stations."""
    from satqkd.config import Satellite, Station
    from satqkd.mission.presets import load_preset, names

    described = [
        *(("satellite", name, load_preset(name, Satellite).value.description) for name in names(Satellite)),
        *(("station", name, load_preset(name, Station).value.description) for name in names(Station)),
    ]
    header = ("kind", "name", "description")
    if json:
        print_json([dict(zip(header, row, strict=True)) for row in described])
    else:
        print_table("presets", header, described)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A preset's name.")], json: Json = False) -> None:
    """Every number of a preset in SI units, with its evidence and source."""
    import msgspec

    from satqkd.config import Loaded, Satellite, Station, config_id
    from satqkd.errors import ConfigError
    from satqkd.mission.presets import load_preset, names

    loaded: Loaded[Satellite] | Loaded[Station]
    if name in names(Satellite):
        loaded = load_preset(name, Satellite)
    elif name in names(Station):
        loaded = load_preset(name, Station)
    else:
        known = ", ".join(sorted({*names(Satellite), *names(Station)}))
        raise ConfigError(f"unknown preset {name!r}; known: {known}")
    settings = msgspec.to_builtins(loaded.value)
    if json:
        print_json({"id": config_id(loaded.value), "settings": settings, "evidence": loaded.evidence})
        return
    marks = {each.path: each for each in loaded.evidence}
    rows = [
        (
            path,
            value,
            marks[path].mark if path in marks else None,
            marks[path].source if path in marks else None,
        )
        for path, value in _flat(settings)
    ]
    print_table(f"{name} ({config_id(loaded.value)[:12]})", ("setting", "value", "evidence", "source"), rows)


def _flat(settings: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in settings.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return rows
