"""The page about the store: its example runs and prints what it says, and it names what there is."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from satqkd.keys import network_schema, schema, traffic_schema
from satqkd.keys.model import KINDS, ORIGINS

PAGE = (Path(__file__).parents[2] / "docs" / "key-store.md").read_text()


def test_the_example_prints_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example, output = re.findall(r"```(?:python|output)\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()) as printed:
        exec(example, names)
    assert printed.getvalue() == output
    for store in ("satellite", "beijing", "stellenbosch"):
        names[store].close()  # type: ignore[attr-defined]


def test_the_page_names_tables_kinds_and_origins() -> None:
    tables = [value.name for value in vars(schema).values() if isinstance(value, type(schema.META))]
    assert len(tables) == 14
    traffic = [value.name for value in vars(traffic_schema).values() if isinstance(value, type(schema.META))]
    assert len(traffic) == 4
    network = [value.name for value in vars(network_schema).values() if isinstance(value, type(schema.META))]
    assert len(network) == 5
    for name in (*tables, *traffic, *network, *KINDS, *ORIGINS):
        assert f"`{name}`" in PAGE, name
