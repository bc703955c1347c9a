"""What the pages under `docs/` must hold, taken from the code itself; `test_documented.py` compares.

Each function returns names found in the code; `missing` and the parsers of pages say what a page lacks.
"""

import ast
import re
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Meta

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
SOURCES = REPOSITORY / "src" / "satqkd"


def page(name: str) -> str:
    """A page's text."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading up to the next of the same or a higher level; '' where there is none."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def table_rows(text: str) -> list[list[str]]:
    """Cells of all table rows of a text, headers and rules too; cells stripped of blanks and backticks."""
    rows = re.findall(r"^\|(.*)\|$", text, re.M)
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)] for row in rows]


def missing(wanted: Iterable[str], text: str) -> list[str]:
    """Names that do not stand in backticks in the text."""
    return [name for name in wanted if f"`{name}`" not in text]


# Commands


def commands(command: Any, path: str = "satqkd") -> Iterator[tuple[str, list[str]]]:
    """Every command's full name with its options and arguments, groups walked."""
    below = getattr(command, "commands", None)
    if below is not None:
        for name, each in below.items():
            yield from commands(each, f"{path} {name}")
        return
    names: list[str] = []
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        names += [parameter.name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    yield path, names


def undocumented_commands(command: Any, text: str) -> list[str]:
    """Commands without a heading, and options and arguments that their section does not name."""
    gaps = []
    for name, parameters in commands(command):
        body = section(text, f"## `{name}`")
        gaps += [f"{name} {each}" for each in missing(parameters, body)] if body else [name]
    return gaps


# Settings


def setting_cells(struct: type) -> list[list[str]]:
    """Key, range and default of each field, as a page's table must begin its row."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return [
        [field.encode_name, _range(hints[field.name]), _default(field)]
        for field in msgspec.structs.fields(struct)
    ]


def undocumented_settings(struct: type, text: str) -> list[str]:
    """Fields of a struct whose row is missing in its section, or tells another range or default."""
    rows = table_rows(section(text, f"## {struct.__name__}"))
    return [
        f"{struct.__name__}.{cells[0]}: expected | {' | '.join(cells)} |"
        for cells in setting_cells(struct)
        if not any(row[:3] == cells and row[3] for row in rows if len(row) == 4)
    ]


def _range(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _limits(arguments[1]) or _range(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return _range(next(each for each in arguments if each is not type(None)))
    if origin is Literal:
        return ", ".join(arguments)
    if origin is tuple:
        parts = [_range(each) for each in arguments if each is not ...]
        if ... in arguments:
            return f"list of {parts[0]}"
        alike = len(set(parts)) == 1 and len(parts) > 3
        return f"{len(parts)} x {parts[0]}" if alike else f"[{'; '.join(parts)}]"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"table {hint.__name__}"
    if origin is dict:
        return "table"
    return {Any: "anything", str: "text", float: "number", bool: "true, false", int: "whole number"}[hint]


def _limits(meta: Meta) -> str:
    if meta.pattern is not None:
        return "1 to 63 of a-z 0-9 . _ -"
    words = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    limits = [f"{word} {getattr(meta, name):.15g}" for name, word in words if getattr(meta, name) is not None]
    return ", ".join(limits)


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required" if field.default_factory is msgspec.NODEFAULT else "none"
    if isinstance(field.default, msgspec.Struct):
        return "all defaults"
    if isinstance(field.default, tuple):
        return ", ".join(str(each) for each in field.default) or "none"
    words = {"None": "none", "True": "true", "False": "false"}
    return words.get(str(field.default), str(field.default))


# Fields of results and messages


def undocumented_fields(struct: type, text: str) -> list[str]:
    """Fields of a struct that no table row of the text names in its first cell."""
    named = {name for row in table_rows(text) for name in re.findall(r"\w+", row[0])}
    fields = (field.encode_name for field in msgspec.structs.fields(struct))
    return [f"{struct.__name__}.{name}" for name in fields if name not in named]


def undocumented_messages(messages: Iterable[type], text: str) -> list[str]:
    """Messages without a heading, or whose table rows are not their fields in their order."""
    gaps = []
    for message in messages:
        rows = [row[0] for row in table_rows(section(text, f"### {message.__name__}"))][2:]
        fields = [field.name for field in msgspec.structs.fields(message)]
        if rows != fields:
            gaps.append(f"{message.__name__}: expected rows {fields}, got {rows}")
    return gaps


# Errors


def error_classes(root: type) -> list[type]:
    """A class and all below it."""
    return [root, *(each for child in root.__subclasses__() for each in error_classes(child))]


def undocumented_errors(classes: Iterable[type], text: str) -> list[str]:
    """Error classes without a row that names class and exit code."""
    rows = {tuple(row[:2]) for row in table_rows(text)}
    wanted = {each.__name__: str(each.exit_code) for each in classes}  # type: ignore[attr-defined]
    return [f"{name} (exit {code})" for name, code in wanted.items() if (name, code) not in rows]


# Events


def logged_events(sources: Iterable[str], stages: Iterable[type[Enum]]) -> set[tuple[str, str, str]]:
    """(stage, event, count) of every `.log(now, stage, event, count=...)` call; count '' for the line itself.

    An event that is an attribute `stage` stands for the names of all states but the first of the given
    enumerations; another expression is reported as `?` and documented nowhere.
    """
    found = set()
    states = {state.name.lower() for each in stages for state in list(each)[1:]}
    for call in _log_calls(sources):
        stage, event = call.args[1], call.args[2]
        for name in _names(event, states):
            counts = {"", *(keyword.arg or f"**{_last_name(keyword.value)}" for keyword in call.keywords)}
            found |= {(ast.literal_eval(stage), name, count) for count in counts}
    return found


def _log_calls(sources: Iterable[str]) -> Iterator[ast.Call]:
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            is_log = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_log and node.func.attr == "log" and len(node.args) >= 3:
                yield node


def _names(event: ast.expr, states: set[str]) -> set[str]:
    if isinstance(event, ast.Constant):
        return {str(event.value)}
    if isinstance(event, ast.IfExp):
        return _names(event.body, states) | _names(event.orelse, states)
    if isinstance(event, ast.Attribute) and event.attr == "stage":
        return states
    return {"?"}


def _last_name(value: ast.expr) -> str:
    """`counts` of `self._acceptance.counts.to_dict()`."""
    names = [node.attr for node in ast.walk(value) if isinstance(node, ast.Attribute)]
    return next((name for name in names if name != "to_dict"), "?")


def undocumented_events(
    events: Iterable[tuple[str, str, str]], expansions: dict[str, list[str]], text: str
) -> list[str]:
    """Events without a row `| stage | event | ... | counts |`, or with a count that the row leaves out."""
    rows = {(row[0], row[1]): row[-1] for row in table_rows(text) if len(row) == 4}
    gaps = []
    for stage, event, count in sorted(events):
        told = rows.get((stage, event))
        wanted = expansions.get(count, [count]) if count else []
        if told is None:
            gaps.append(f"{stage} {event}")
        else:
            gaps += [f"{stage} {event} {name}" for name in wanted if f"`{name}`" not in f"`{told}`"]
    return gaps
