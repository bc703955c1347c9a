"""`satqkd presets`: the data behind names, with its evidence."""

from typing import Annotated, Any

import typer

from satqkd.cli.common import Json, print_json, print_table

app = typer.Typer(help="The data behind names, with its evidence.", no_args_is_help=True)


@app.command("list")
def list_presets(json: Json = False) -> None:
    """Names of satellites and stations, and where they come from."""
    from satqkd.config import Satellite, Station
    from satqkd.mission.presets import load_preset, names, origin

    described = [
        *(
            ("satellite", name, load_preset(name, Satellite).value.description, origin(name, Satellite))
            for name in names(Satellite)
        ),
        *(
            ("station", name, load_preset(name, Station).value.description, origin(name, Station))
            for name in names(Station)
        ),
    ]
    header = ("kind", "name", "description", "origin")
    if json:
        print_json([dict(zip(header, row, strict=True)) for row in described])
    else:
        print_table("presets", header, described)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A preset's name, or the path of a TOML file.")],
    json: Json = False,
) -> None:
    """Every number of a preset or file in SI units, with its evidence and source."""
    import msgspec

    from satqkd.config import Loaded, Satellite, Station, config_id
    from satqkd.mission.presets import kind_of, load_preset, origin

    loaded: Loaded[Satellite] | Loaded[Station]
    if kind_of(name) is Satellite:
        kind, loaded, place = "satellite", load_preset(name, Satellite), origin(name, Satellite)
    else:
        kind, loaded, place = "station", load_preset(name, Station), origin(name, Station)
    settings, identity = msgspec.to_builtins(loaded.value), config_id(loaded.value)
    if json:
        print_json(
            {
                "id": identity,
                "origin": place,
                "settings": settings,
                "evidence": loaded.evidence,
            }
        )
        return
    marks = {each.path: (each.mark, each.source) for each in loaded.evidence}
    rows = [(path, _text(value), *marks.get(path, (None, None))) for path, value in _flat(settings)]
    title = f"{loaded.value.name}, {kind}, {place} ({identity[:12]})"
    print_table(title, ("setting", "value", "evidence", "source"), rows)


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted paths, as evidence has them, and values; tables in lists are numbered."""
    rows: list[tuple[str, Any]] = []
    for key, value in settings.items():
        tables = isinstance(value, list | tuple) and value and isinstance(value[0], dict)
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif tables:
            for index, each in enumerate(value):
                rows += _flat(each, f"{prefix}{key}[{index}].")
        else:
            rows.append((prefix + key, value))
    return rows


def _text(value: Any) -> str | None:
    """A value as people read it; one number for four equal detectors."""
    if isinstance(value, list | tuple):
        if len(value) == 4 and len(set(value)) == 1:
            return f"{_text(value[0])} (each of 4)"
        return ", ".join(map(str, map(_text, value))) or None
    if isinstance(value, float):
        return f"{value:.10g}"
    return None if value is None else str(value)
