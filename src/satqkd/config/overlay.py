"""Values laid over a table of settings before it is checked: by a dotted path, or by a table of its form.

The table stays in its author's units; a value in another unit takes the place of the one that was there.
Lists are replaced whole, unless the path goes into them by a number. Knows no file.
"""

import typing
from typing import Any

from satqkd.config.loader import Table, accepted_names, near_names, struct_of
from satqkd.errors import ConfigError


def overlaid(table: Table, struct: type, path: str, value: Any, where: str) -> Table:
    """`table` with a value at a path such as `satellite.0.altitude_km`; `table` itself is not changed.

    A table as value is laid over the one that is there, key by key, each of its keys a path again. Tables on
    the way that are missing are made. Raises ConfigError, beginning with `where`, for a key that `struct` has
    not, naming the nearest, and for a place in a list that is not there.
    """
    return _in_table(table, struct, path.split("."), value, where, "")


def _in_table(table: Table, struct: type, parts: list[str], value: Any, where: str, above: str) -> Table:
    names = accepted_names(struct)
    key, *rest = parts
    if key not in names:
        raise ConfigError(f"{where}: unknown key {above}{key}{near_names(key, names)}")
    field = names[key][0]
    same = [each for each in table if names.get(each, ("",))[0] == field]
    below = table[same[0]] if same else None
    laid = _laid(below, typing.get_type_hints(struct)[field], rest, value, where, f"{above}{key}")
    return {name: each for name, each in table.items() if name not in same} | {key: laid}


def _laid(below: Any, hint: Any, parts: list[str], value: Any, where: str, path: str) -> Any:
    struct = struct_of(hint)
    if not parts:
        both_tables = struct is not None and isinstance(below, dict) and isinstance(value, dict)
        return _over(below, struct, value, where, path) if struct and both_tables else value
    if isinstance(below, list):
        place = _place(parts[0], len(below), where, path)
        laid = _laid(below[place], struct or hint, parts[1:], value, where, f"{path}.{place}")
        return [*below[:place], laid, *below[place + 1 :]]
    if struct is None or not isinstance(below, dict | None):
        raise ConfigError(
            f"{where}: {path} is neither a table nor a list and has no {'.'.join(parts)}; give {path} itself"
        )
    if typing.get_origin(hint) is tuple:
        raise ConfigError(f"{where}: {path}: expected a list to put {parts[0]} into, got none; give it whole")
    return _in_table(below or {}, struct, parts, value, where, f"{path}.")


def _over(below: Table, struct: type, above: Table, where: str, path: str) -> Table:
    for key, value in above.items():
        below = _in_table(below, struct, key.split("."), value, where, f"{path}.")
    return below


def _place(part: str, length: int, where: str, path: str) -> int:
    if not part.isdecimal() or int(part) >= length:
        raise ConfigError(
            f"{where}: {path}: expected the number of one of its {length} entries, 0 for the first, got "
            f"{part!r}; count again, or give the list whole"
        )
    return int(part)
