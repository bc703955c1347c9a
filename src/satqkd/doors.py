"""Doors of rooms that open a name when it is first asked for, so that a process loads what it uses.

A satellite's process takes a few names of rooms whose other names need an emulator's sockets, files of
recordings or the whole of a station's receiver. No name may be that of a module of its room: whoever imports
the module first would find it in the place of the name. Knows no room.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def opened_when_used(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    homes: name to the module below the package that defines it. Raises AttributeError for other names, after
    which Python looks for a module of that name.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
