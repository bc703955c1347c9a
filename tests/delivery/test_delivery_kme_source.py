"""Key of another vendor's KME becomes pair key of two nodes: our own server plays the other vendor."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from delivery_cases import LOCAL, REMOTE, Kme, files_of
from toy_supply import ToyNetwork

from satqkd.delivery.kme_source import KmeKeySource, read_access
from satqkd.errors import ConfigError, DataFormatError, KeyNotFound
from satqkd.keys import KeyStore
from satqkd.keys.network.imported import ImportProgress, offer_import, take_message

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def sources(start: Callable[..., Kme], tmp_path: Path) -> dict[str, KmeKeySource]:
    """Xian is a client of the KME in Beijing, Lanzhou of that in Stellenbosch; ten keys a request."""
    found = {}
    for node, site, own, other in (
        ("xian", "beijing", LOCAL, REMOTE),
        ("lanzhou", "stellenbosch", REMOTE, LOCAL),
    ):
        kme = start(site, limits={"max_keys": 10})
        certificate, key = files_of(kme.folder, own)
        file = tmp_path / f"{node}.toml"
        access = {"url": kme.address.url, "certificate": str(certificate), "key": str(key)}
        access |= {"ca": str(kme.folder / "authority.crt"), "other": other, "keys": 25}
        file.write_text(tomli_w.dumps(access))
        found[node] = KmeKeySource(read_access(file))
    return found


def test_an_import_ends_with_the_same_pair_key_in_both_stores(
    sources: dict[str, KmeKeySource], network: ToyNetwork, tmp_path: Path
) -> None:
    with (
        KeyStore.create(tmp_path / "xian.db", "xian") as xian,
        KeyStore.create(tmp_path / "lanzhou.db", "lanzhou") as lanzhou,
    ):
        told = offer_import(
            xian, "lanzhou", sources["xian"], count=25, size_bits=256, import_id="one", origin="hardware",
            now_utc=NOW,
        )  # fmt: skip
        for store, source in ((lanzhou, sources["lanzhou"]), (xian, None), (lanzhou, None), (xian, None)):
            assert told.message is not None
            told = take_message(store, told.message, now_utc=NOW, source=source)
            assert isinstance(told, ImportProgress)
        assert told.message is None
        rows = {row.block_id: row for row in xian.list_blocks() if row.live_bits}
        assert sum(row.bits for row in rows.values()) == 25 * 256 - 768
        for block_id, row in rows.items():
            assert row.state == "confirmed"
            assert xian.peek_for_check(block_id) == lanzhou.peek_for_check(block_id)
        assert len(network.drawn) == 25
        for store in (xian, lanzhou):
            assert store.check().balanced


def test_portions_keep_the_order_and_each_key_comes_once(sources: dict[str, KmeKeySource]) -> None:
    ids, drawn = sources["xian"].draw(23, 128)
    assert len(set(ids)) == 23
    with pytest.raises(DataFormatError, match="expected 23 keys of 256 bits, got 23 of"):
        sources["lanzhou"].fetch(ids, 256)
    with pytest.raises(KeyNotFound):
        sources["lanzhou"].fetch(ids, 128)
    ids, drawn = sources["xian"].draw(23, 128)
    assert sources["lanzhou"].fetch(ids, 128) == drawn


def test_a_file_without_the_other_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kme.toml"
    file.write_text('url = "https://localhost:1"\ncertificate = "a"\nkey = "b"\nca = "c"\n')
    with pytest.raises(ConfigError, match="other"):
        read_access(file)
