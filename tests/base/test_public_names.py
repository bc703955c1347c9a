"""The public names of the package: a change of this list is a change of the contract."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

import satqkd


def test_the_door_lists_and_gives_just_these() -> None:
    assert satqkd.__all__ == [
        "KeyStore", "__version__", "contact_of", "expected_key", "find_passes", "key_length", "link_budget",
        "make_plan", "optimise_source", "read_scenario", "run_pass", "satellite", "station",
    ]  # fmt: skip
    assert all(getattr(satqkd, name) is not None for name in satqkd.__all__)


@pytest.mark.parametrize("room", ["satqkd.devices", "satqkd.mission", "satqkd.node"])
def test_doors_open_every_name_and_none_is_a_module(room: str) -> None:
    """A name that is also a module's would be the module for whoever imports that first."""
    door = import_module(room)
    modules = {each.name for each in iter_modules(door.__path__)}
    assert not modules & set(door.__all__)
    assert all(not isinstance(getattr(door, name), ModuleType) for name in door.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        door.nonsense  # noqa: B018
