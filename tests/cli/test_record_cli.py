"""`satqkd record` and `satqkd distill` as people and programs meet them."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from command import Command

from toy_pass import AT_UTC, PROTOCOL, Flight, link_key, repeatable, toy_satellite, toy_station


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return value


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What `satqkd record` takes before its folder."""
    files = {"satellite": toy_satellite(), "station": toy_station(), "protocol": PROTOCOL}
    for name, each in files.items():
        text = tomli_w.dumps(_without_none(msgspec.to_builtins(each)))
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    at = ["--at", AT_UTC, "--protocol", str(tmp_path / "protocol.toml")]
    return ["record", *at, str(tmp_path / "satellite.toml"), str(tmp_path / "station.toml")]


def test_a_pass_is_recorded_and_distilled(
    words: list[str], tmp_path: Path, flight: Flight, satqkd: Command
) -> None:
    from satqkd.keys import KeyStore

    run = tmp_path / "run"
    live = satqkd(*words, str(run), "--json")
    assert live.code == 0
    told = json.loads(live.out)
    assert told == json.loads((run / "pass.json").read_bytes())
    expected = json.loads(msgspec.json.encode(repeatable(flight.report)))
    assert {name: told[name] for name in expected} == expected
    assert "raw key" in live.err

    again = satqkd("distill", str(run), "--json")
    report = json.loads(again.out)
    assert again.code == 0
    assert report.pop("equals_live") is True
    assert list(report) == list(told)
    assert {name: report[name] for name in expected} == expected
    assert report == json.loads((run / "distilled" / "pass.json").read_bytes())
    assert "the keys equal those of the live pass" in again.err
    for node in ("toy-satellite", "toy-station"):
        stores = []
        for folder in (run, run / "distilled"):
            with KeyStore.open(folder / f"{node}.sqlite", read_only=True) as store:
                stores.append(link_key(store)[0])
        assert stores[0] == stores[1] and stores[0]
        (key,) = stores[0].values()
        assert key.hex()[:12] not in again.out + again.err + live.out + live.err

    table = satqkd("distill", str(run), "--out", str(tmp_path / "other"))
    assert table.code == 0 and str(report["secret_bits"]) in table.out.replace("\u00a0", "")

    twice = satqkd("distill", str(run))
    assert (twice.code, twice.out) == (3, "") and "in the store" in twice.err
    over = satqkd(*words, str(run))
    assert (over.code, over.out) == (2, "") and "exists" in over.err

    with KeyStore.open(run / "toy-satellite.sqlite") as store:
        (block,) = link_key(store)[0]
        store.discard_block(block)
    differing = satqkd("distill", str(run), "--out", str(tmp_path / "third"), "--json")
    assert differing.code == 1 and json.loads(differing.out)["equals_live"] is False
    assert "differ" in differing.err

    part = run / "station.h5"
    part.write_bytes(part.read_bytes()[:-1000])
    cut = satqkd("distill", str(run), "--out", str(tmp_path / "fourth"))
    assert (cut.code, cut.out) == (2, "")
    assert str(part) in cut.err and len(cut.err.splitlines()) == 1
    assert not (tmp_path / "fourth").exists()


def test_a_pass_with_swapped_labels_is_recorded_and_distilled(
    words: list[str], tmp_path: Path, satqkd: Command
) -> None:
    swapping = toy_station(receiver__label_swap="random")
    text = tomli_w.dumps(_without_none(msgspec.to_builtins(swapping)))
    assert 'label_swap = "random"' in text
    (tmp_path / "station.toml").write_text(text, encoding="utf-8")
    run = tmp_path / "run"
    assert satqkd(*words, str(run)).code == 0
    ran = satqkd("distill", str(run), "--json")
    assert ran.code == 0 and json.loads(ran.out)["equals_live"] is True


def test_a_folder_without_recording_is_refused_and_left_alone(tmp_path: Path, satqkd: Command) -> None:
    ran = satqkd("distill", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "satellite.h5: no such file" in ran.err
    assert [*tmp_path.iterdir()] == []


def test_no_key_ends_with_1_and_is_kept(words: list[str], tmp_path: Path, satqkd: Command) -> None:
    noisy = toy_station(receiver__optical_error=0.2)
    text = tomli_w.dumps(_without_none(msgspec.to_builtins(noisy)))
    (tmp_path / "station.toml").write_text(text, encoding="utf-8")
    run = tmp_path / "run"
    assert satqkd(*words, str(run)).code == 1
    shutil.rmtree(run / "distilled", ignore_errors=True)
    ran = satqkd("distill", str(run), "--json")
    assert ran.code == 1 and json.loads(ran.out)["outcome"] == "aborted"
