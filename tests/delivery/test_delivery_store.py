"""The key server over real key stores: two KMEs, two stores, key that came by a satellite."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from delivery_cases import LOCAL, REMOTE, REMOTE_2, THIRD, Kme, serve_config

from satqkd.delivery import KmeClient, serving
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.errors import KeyExhausted, KeyNotFound
from satqkd.keys import KeyStore
from satqkd.keys.supply import KeySupply
from satqkd.keys.supply_door import NotEntitled

NOW = "2026-01-02T03:04:05Z"
PEERS = {"beijing": "stellenbosch", "stellenbosch": "beijing"}
KEY = random.Random("pair").randbytes(8192)


class Site:
    """Both ends in a folder, started and stopped."""

    def __init__(self, folder: Path, pki: PkiFolder) -> None:
        self.folder, self.pki = folder, pki
        self.stack = ExitStack()
        self.kmes: dict[str, Kme] = {}
        for node, peer in PEERS.items():
            with KeyStore.create(self.path(node), node) as store:
                store.add_block(
                    "relay:jinan-1:1", peer=peer, kind="pair", origin="hardware", key=KEY, state="confirmed",
                    paths=(("jinan-1",),), now_utc=NOW,
                )  # fmt: skip

    def path(self, node: str) -> Path:
        return self.folder / f"{node}.db"

    def start(self, *, demo: bool = False) -> None:
        """Open both stores and serve them."""
        for node in PEERS:
            store = self.stack.enter_context(KeyStore.open(self.path(node)))
            supply = KeySupply(store, demo=demo)
            config = serve_config(self.pki.folder, node, self.folder)
            address = self.stack.enter_context(serving(supply, config))
            self.kmes[node] = Kme(address, supply, self.pki.folder)  # type: ignore[arg-type]

    def stop(self) -> None:
        """End both servers, and close the stores."""
        self.stack.close()

    def client(self, node: str, sae: str) -> KmeClient:
        return self.stack.enter_context(self.kmes[node].client(sae))


@pytest.fixture
def site(tmp_path: Path, pki: PkiFolder) -> Iterator[Site]:
    found = Site(tmp_path, pki)
    found.start()
    yield found
    found.stop()


def test_both_applications_get_the_key_that_lies_in_both_stores(site: Site) -> None:
    master, slave = site.client("beijing", LOCAL), site.client("stellenbosch", REMOTE)
    drawn = master.get_keys(REMOTE, 3)
    assert b"".join(bytes(each.key.expose()) for each in drawn) == KEY[:96]
    assert drawn[0].paths == (("jinan-1",),)
    fetched = slave.get_keys_by_id(LOCAL, [each.key_id for each in drawn])
    assert [each.key for each in fetched] == [each.key for each in drawn]
    back = slave.get_keys(LOCAL, 1, 512)
    assert bytes(back[0].key.expose()) == KEY[4096:4160]
    assert master.get_keys_by_id(REMOTE, [back[0].key_id])[0].key == back[0].key
    with pytest.raises(KeyNotFound):
        slave.get_keys_by_id(LOCAL, [drawn[0].key_id])


def test_a_third_application_never_gets_the_key(site: Site) -> None:
    (drawn,) = site.client("beijing", LOCAL).get_keys(REMOTE)
    for node, sae in (("stellenbosch", REMOTE_2), ("beijing", THIRD)):
        with pytest.raises((NotEntitled, KeyNotFound)):
            site.client(node, sae).get_keys_by_id(LOCAL, [drawn.key_id])
    assert site.kmes["stellenbosch"].dec(drawn.key_id, sae=REMOTE_2).status == 401
    assert site.client("stellenbosch", REMOTE).get_keys_by_id(LOCAL, [drawn.key_id])[0].key == drawn.key


def test_what_was_delivered_is_in_the_books_and_the_rest_is_there_after_a_restart(site: Site) -> None:
    drawn = site.client("beijing", LOCAL).get_keys(REMOTE, 10)
    ids = [each.key_id for each in drawn]
    site.client("stellenbosch", REMOTE).get_keys_by_id(LOCAL, ids[:4])
    site.stop()
    for node, bits in (("beijing", 2560 + 256), ("stellenbosch", 1024 + 256)):
        with KeyStore.open(site.path(node)) as store:
            books = store.check()
            assert books.balanced, books.faults
            assert (books.spent_bits, books.reserved_bits) == (bits, 0)
            assert store.verify_audit().intact
    site.start()
    late = site.client("stellenbosch", REMOTE)
    with pytest.raises(KeyNotFound):
        late.get_keys_by_id(LOCAL, ids[3:5])
    assert [each.key for each in late.get_keys_by_id(LOCAL, ids[4:])] == [each.key for each in drawn[4:]]
    (more,) = site.client("beijing", LOCAL).get_keys(REMOTE)
    assert bytes(more.key.expose()) == KEY[320:352]


def test_status_counts_down_and_an_empty_store_says_so(site: Site) -> None:
    master = site.client("beijing", LOCAL)
    before = master.status(REMOTE).stored_keys
    master.get_keys(REMOTE, 100)
    assert before - 101 <= master.status(REMOTE).stored_keys <= before - 100
    with pytest.raises(KeyExhausted):
        for _ in range(3):
            master.get_keys(REMOTE, 100)


def test_twin_key_is_refused_without_demo(tmp_path: Path, pki: PkiFolder) -> None:
    site = Site(tmp_path, pki)
    for node, peer in PEERS.items():
        with KeyStore.open(site.path(node)) as store:
            store.discard_block("relay:jinan-1:1")
            store.add_block(
                "relay:jinan-1:2", peer=peer, kind="pair", origin="twin", key=KEY, state="confirmed",
                paths=(("jinan-1",),), now_utc=NOW,
            )  # fmt: skip
    site.start()
    answer = site.kmes["beijing"].enc({})
    assert (answer.status, "demonstration" in answer.body["message"]) == (503, True)
    assert site.client("beijing", LOCAL).status(REMOTE).stored_keys == 0
    site.stop()
    site.start(demo=True)
    (drawn,) = site.client("beijing", LOCAL).get_keys(REMOTE)
    assert drawn.origin == "twin"
    assert site.client("stellenbosch", REMOTE).get_keys_by_id(LOCAL, [drawn.key_id])[0].key == drawn.key
    site.stop()


def test_no_key_bits_in_logs_or_files(site: Site) -> None:
    drawn = site.client("beijing", LOCAL).get_keys(REMOTE, 20)
    site.client("stellenbosch", REMOTE).get_keys_by_id(LOCAL, [each.key_id for each in drawn])
    site.kmes["stellenbosch"].dec(drawn[0].key_id)
    site.stop()
    for file in site.folder.iterdir():
        data = file.read_bytes()
        for each in drawn:
            key = bytes(each.key.expose())
            assert key[:8] not in data, file
            assert key.hex()[:16].encode() not in data.lower(), file
