"""The key server over real key stores: two KMEs, two stores, key that came by a satellite."""

import base64
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from delivery_cases import KMES, LOCAL, REMOTE, REMOTE_2, THIRD, Kme, is_error, scraped, serve_config

from satqkd.delivery import KmeClient, serving
from satqkd.delivery.opened import opened_supply
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.errors import KeyExhausted, KeyNotFound
from satqkd.keys import KeyStore
from satqkd.keys.supply_door import NotEntitled

NOW = "2026-01-02T03:04:05Z"
PEERS = {"beijing": "stellenbosch", "stellenbosch": "beijing"}
KEY = random.Random("pair").randbytes(8192)


class Site:
    """Both ends in a folder, started and stopped; Beijing's KME knows where the other is."""

    def __init__(self, folder: Path, pki: PkiFolder, *, origin: str = "hardware") -> None:
        self.folder, self.pki = folder, pki
        self.stack = ExitStack()
        self.kmes: dict[str, Kme] = {}
        self.network: Path | None = None
        for node, peer in PEERS.items():
            with KeyStore.create(self.path(node), node) as store:
                store.add_block(
                    "relay:jinan-1:1", peer=peer, kind="pair", origin=origin, key=KEY, state="confirmed",
                    paths=(("jinan-1",),), now_utc=NOW,
                )  # fmt: skip

    def path(self, node: str) -> Path:
        return self.folder / f"{node}.db"

    def start(self, *, demo: bool = False) -> None:
        """Open both stores and serve them."""
        self._start("stellenbosch", demo=demo)
        far = self.kmes["stellenbosch"].address.url.replace("127.0.0.1", "localhost")
        kmes = [
            {"id": KMES["beijing"], "node": "beijing"},
            {"id": KMES["stellenbosch"], "node": "stellenbosch", "url": far},
        ]
        self._start("beijing", demo=demo, kme=kmes)

    def _start(self, node: str, *, demo: bool, **more: object) -> None:
        serve = {"store": str(self.path(node)), "network": self.network and str(self.network)}
        config = serve_config(self.pki.folder, node, self.folder, serve=serve, **more)
        supply = self.stack.enter_context(opened_supply(config, demo=demo))
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
    site = Site(tmp_path, pki, origin="twin")
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


def test_keys_at_both_ends_both_ways_for_one_slave_and_for_several(site: Site) -> None:
    beijing, stellenbosch = site.kmes["beijing"], site.kmes["stellenbosch"]
    given: list[bytes] = []
    for asked, sae, slave, here, there in (
        ({"number": 20}, LOCAL, REMOTE, beijing, stellenbosch),
        ({"number": 20, "size": 512}, REMOTE, LOCAL, stellenbosch, beijing),
    ):
        drawn = here.enc(asked, sae=sae, slave=slave).body["keys"]
        ids = [each["key_ID"] for each in reversed(drawn)]
        assert there.dec(*ids, master=sae, sae=slave).body["keys"] == drawn[::-1]
        assert there.dec(ids[0], master=sae, sae=slave).status == 400
        assert drawn[0]["key_extension"] == {"satqkd_paths": [["jinan-1"]], "satqkd_origin": "hardware"}
        given += [base64.b64decode(each["key"]) for each in drawn]
    [several] = beijing.enc({"additional_slave_SAE_IDs": [REMOTE_2]}).body["keys"]
    for sae in (REMOTE, REMOTE_2):
        assert stellenbosch.dec(several["key_ID"], sae=sae).body["keys"][0]["key"] == several["key"]
        assert stellenbosch.dec(several["key_ID"], sae=sae).status in (400, 401)
    given.append(base64.b64decode(several["key"]))
    assert len(set(given)) == 41
    assert all(KEY.count(each) == 1 for each in given)


def test_who_was_not_named_gets_nothing(site: Site) -> None:
    beijing, stellenbosch = site.kmes["beijing"], site.kmes["stellenbosch"]
    [key] = beijing.enc({}).body["keys"]
    for reply in (
        stellenbosch.dec(key["key_ID"], sae=REMOTE_2),
        stellenbosch.dec(key["key_ID"], master=THIRD),
        beijing.dec(key["key_ID"], master=REMOTE, sae=LOCAL),
    ):
        assert reply.status in (400, 401) and is_error(reply.body)
    assert stellenbosch.dec(key["key_ID"]).body["keys"] == [key]


def test_an_application_that_is_its_own_peer(site: Site) -> None:
    beijing = site.kmes["beijing"]
    [key] = beijing.enc({}, slave=LOCAL).body["keys"]
    assert beijing.dec(key["key_ID"], sae=LOCAL).body["keys"] == [key]
    assert key["key_extension"]["satqkd_origin"] == "local"


def test_what_was_not_handed_out_is_back_and_the_books_agree(site: Site) -> None:
    kme = site.kmes["beijing"]
    before = kme.ask("GET", f"/api/v1/keys/{REMOTE}/status").body["stored_key_count"]
    assert kme.enc({"number": 7}).status == 200
    assert kme.ask("GET", f"/api/v1/keys/{REMOTE}/status").body["stored_key_count"] <= before - 7
    site.stop()
    with KeyStore.open(site.path("beijing")) as store:
        books = store.check()
        assert books.balanced, books.faults
        assert (books.spent_bits, books.reserved_bits) == (7 * 256 + 256, 0)


def test_demands_that_no_way_fits_and_key_that_is_no_secret(pki: PkiFolder, tmp_path: Path) -> None:
    site = Site(tmp_path, pki, origin="twin")
    site.start()
    assert site.kmes["beijing"].enc({}).status == 503
    site.stop()
    site.start(demo=True)
    kme = site.kmes["beijing"]
    unmet = kme.enc({"extension_mandatory": [{"satqkd_avoid_nodes": ["jinan-1"]}]})
    assert (unmet.status, unmet.body["message"]) == (
        400, "not all extension_mandatory request options could be met",
    )  # fmt: skip
    [key] = kme.enc({"extension_optional": [{"satqkd_avoid_nodes": ["jinan-1"]}]}).body["keys"]
    assert key["key_extension"]["satqkd_origin"] == "twin"
    site.stop()


def test_the_metrics_page_tells_of_the_store_and_its_alarms(site: Site, tmp_path: Path) -> None:
    def store_says(name: str, **more: str) -> float:
        labels = {"node": "beijing", "peer": "stellenbosch", "kind": "pair"} | more
        return scraped(site.kmes["beijing"])[f"satqkd_store_{name}", tuple(sorted(labels.items()))]

    live = store_says("live_bits")
    assert (store_says("alarm", alarm="low"), store_says("spent_bits_total")) == (0, 0)
    assert site.kmes["beijing"].enc({"number": 3}).status == 200
    site.stop()
    policy = tmp_path / "policy.toml"
    policy.write_text(f"[[pair]]\npeer = 'stellenbosch'\nlow_bits = {int(live)}\n")
    site.network = policy
    site.start()
    assert store_says("spent_bits_total") == 256 + 3 * 256  # of the ids, of keys
    assert store_says("live_bits") == live - 4 * 256
    assert store_says("alarm", alarm="low") == 1
