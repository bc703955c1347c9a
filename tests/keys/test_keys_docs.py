"""The page about the store: its example runs and prints what it says, and it names what there is."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from otp_cases import Pair

from satqkd.keys import decrypt
from satqkd.keys.at_rest.unlock import SCRYPT_LOG2_N, SCRYPT_P, SCRYPT_R
from satqkd.keys.care import backup, sealed_export
from satqkd.keys.care.metrics import StoreNumbers, store_metrics
from satqkd.keys.model import KINDS, ORIGINS
from satqkd.keys.sql import network_schema, schema, traffic_schema
from satqkd.keys.sql.tables import TABLES
from satqkd.keys.store.opening import COMMAND_VARIABLE, KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE, USES_VARIABLE
from satqkd.keys.store.policy import LinkStatus

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "key-store.md").read_text()


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
    assert {*tables, *traffic, *network} - {"migrations"} <= set(TABLES)
    for name in (*tables, *TABLES, *KINDS, *ORIGINS):
        assert f"`{name}`" in PAGE, name


def test_the_page_tells_the_formats_and_the_environment_of_the_code() -> None:
    for module in (backup, sealed_export):
        for line in re.findall(r"^    (\S.*)$", module.__doc__ or "", re.M)[:2]:
            assert line in PAGE, line
    for name in (KEY_FILE_VARIABLE, COMMAND_VARIABLE, PASSPHRASE_VARIABLE, USES_VARIABLE):
        assert f"`{name}`" in PAGE, name
    assert "n = 2^17, r = 8, p = 1" in PAGE
    assert (SCRYPT_LOG2_N, SCRYPT_R, SCRYPT_P) == (17, 8, 1)


def test_metrics_and_alarms_are_told_to_operators() -> None:
    page = (DOCS / "operators.md").read_text()
    numbers = StoreNumbers("graz", (LinkStatus("wien pair", 0, 0, 0, 0, None),), 0, 0, 0)
    told = list(store_metrics(numbers))
    assert len(told) == 9
    for metric in told:
        assert f"`{metric.name.removeprefix('satqkd_')}`" in page, metric.name
    alarms = {labels["alarm"] for labels, _ in next(m for m in told if m.name.endswith("alarm")).samples}
    for alarm in alarms:
        assert f"`{alarm}`" in page, alarm
