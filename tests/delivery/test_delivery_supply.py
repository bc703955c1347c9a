"""The server over real stores: applications get what both stores hold, each bit once; the books agree."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from delivery_cases import KMES, LOCAL, REMOTE, REMOTE_2, THIRD, Kme, is_error, serve_config

from satqkd.delivery import serving
from satqkd.delivery.opened import opened_supply
from satqkd.delivery.pki_folder import PkiFolder
from satqkd.keys import KeyStore
from satqkd.randomness import stream_bytes

NOW = "2026-01-02T03:04:05Z"
KEY = stream_bytes(1, "tests", "delivery")(1 << 15)


def make_stores(folder: Path, origin: str = "hardware") -> None:
    """A store a node, with the same pair key in both."""
    for node, peer in (("beijing", "stellenbosch"), ("stellenbosch", "beijing")):
        with KeyStore.create(folder / f"{node}.db", node) as store:
            store.add_block(
                "relay:jinan-1:1", peer=peer, kind="pair", origin=origin, key=KEY, state="confirmed",
                paths=(("jinan-1",),), now_utc=NOW,
            )  # fmt: skip


@pytest.fixture
def ends(pki: PkiFolder, tmp_path: Path) -> Iterator[tuple[Kme, Kme]]:
    """Both KMEs; that of Beijing knows where the other is."""
    make_stores(tmp_path)
    with ExitStack() as stack:
        far = _start(stack, pki, tmp_path, "stellenbosch")
        kmes = [
            {"id": KMES["beijing"], "node": "beijing"},
            {"id": KMES["stellenbosch"], "node": "stellenbosch", "url": _local(far)},
        ]
        yield _start(stack, pki, tmp_path, "beijing", kme=kmes), far


def _start(
    stack: ExitStack, pki: PkiFolder, folder: Path, node: str, *, demo: bool = False, **more: object
) -> Kme:
    config = serve_config(pki.folder, node, folder, serve={"store": str(folder / f"{node}.db")}, **more)
    supply = stack.enter_context(opened_supply(config, demo=demo))
    return Kme(stack.enter_context(serving(supply, config)), supply, pki.folder)  # type: ignore[arg-type]


def _local(kme: Kme) -> str:
    return kme.address.url.replace("127.0.0.1", "localhost")


def test_keys_at_both_ends_both_ways_for_one_slave_and_for_several(
    ends: tuple[Kme, Kme], tmp_path: Path
) -> None:
    beijing, stellenbosch = ends
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


def test_who_was_not_named_gets_nothing(ends: tuple[Kme, Kme]) -> None:
    beijing, stellenbosch = ends
    [key] = beijing.enc({}).body["keys"]
    for reply in (
        stellenbosch.dec(key["key_ID"], sae=REMOTE_2),
        stellenbosch.dec(key["key_ID"], master=THIRD),
        beijing.dec(key["key_ID"], master=REMOTE, sae=LOCAL),
    ):
        assert reply.status in (400, 401) and is_error(reply.body)
    assert stellenbosch.dec(key["key_ID"]).body["keys"] == [key]


def test_an_application_that_is_its_own_peer(ends: tuple[Kme, Kme]) -> None:
    [key] = ends[0].enc({}, slave=LOCAL).body["keys"]
    assert ends[0].dec(key["key_ID"], sae=LOCAL).body["keys"] == [key]
    assert key["key_extension"]["satqkd_origin"] == "local"


def test_what_was_not_handed_out_is_back_and_the_books_agree(pki: PkiFolder, tmp_path: Path) -> None:
    make_stores(tmp_path)
    with ExitStack() as stack:
        kme = _start(stack, pki, tmp_path, "beijing")
        before = kme.ask("GET", f"/api/v1/keys/{REMOTE}/status").body["stored_key_count"]
        assert kme.enc({"number": 7}).status == 200
        assert kme.ask("GET", f"/api/v1/keys/{REMOTE}/status").body["stored_key_count"] <= before - 7
    with KeyStore.open(tmp_path / "beijing.db") as store:
        books = store.check()
        assert books.balanced, books.faults
        assert (books.spent_bits, books.reserved_bits) == (7 * 256 + 256, 0)


def test_demands_that_no_way_fits_and_key_that_is_no_secret(pki: PkiFolder, tmp_path: Path) -> None:
    make_stores(tmp_path, origin="twin")
    with ExitStack() as stack:
        assert _start(stack, pki, tmp_path, "beijing").enc({}).status == 503
    with ExitStack() as stack:
        kme = _start(stack, pki, tmp_path, "beijing", demo=True)
        unmet = kme.enc({"extension_mandatory": [{"satqkd_avoid_nodes": ["jinan-1"]}]})
        assert (unmet.status, unmet.body["message"]) == (
            400, "not all extension_mandatory request options could be met",
        )  # fmt: skip
        [key] = kme.enc({"extension_optional": [{"satqkd_avoid_nodes": ["jinan-1"]}]}).body["keys"]
        assert key["key_extension"]["satqkd_origin"] == "twin"
