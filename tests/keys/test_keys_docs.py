"""The page about the store: its example runs and prints what it says, and it names what there is."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from otp_cases import Pair

from satqkd.keys import decrypt, network_schema, schema, traffic_schema
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


def test_the_vectors_of_encrypted_files_are_what_comes_out() -> None:
    page = (Path(__file__).parents[2] / "docs" / "one-time-pad.md").read_text()
    found = re.findall(r"^(key|file) +([0-9a-f]+)$", page, re.MULTILINE)
    assert [name for name, _ in found] == ["key", "file", "file"]
    key, *files = (bytes.fromhex(digits) for _, digits in found)
    assert Pair().key.startswith(key)
    sealed = [
        Pair().sealed(b"one-time pad", chunk_bytes=8, seed="vector", as_hybrid=kind) for kind in (False, True)
    ]
    assert sealed == files
    assert [decrypt(Pair().receiver, each) for each in files] == [b"one-time pad"] * 2


def test_the_page_names_tables_kinds_and_origins() -> None:
    tables = [value.name for value in vars(schema).values() if isinstance(value, type(schema.META))]
    assert len(tables) == 14
    traffic = [value.name for value in vars(traffic_schema).values() if isinstance(value, type(schema.META))]
    assert len(traffic) == 4
    network = [value.name for value in vars(network_schema).values() if isinstance(value, type(schema.META))]
    assert len(network) == 5
    for name in (*tables, *traffic, *network, *KINDS, *ORIGINS):
        assert f"`{name}`" in PAGE, name
