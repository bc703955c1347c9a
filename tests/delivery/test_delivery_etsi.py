"""ETSI GS QKD 014 V1.1.1 over real mutual TLS: each item of the checklist of `docs/delivery.md`."""

import base64
import gzip
import http.client
import json
import socket
import ssl
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from delivery_cases import (
    HOMES,
    KMES,
    LOCAL,
    ODD,
    REMOTE,
    REMOTE_2,
    STRANGER,
    THIRD,
    Kme,
    Reply,
    is_error,
    path,
)
from toy_supply import ToyNetwork

from satqkd.delivery import KmeClient

NOT_FOUND = "one or more keys specified are not found on KME"
UNKNOWN_ID = "550e8400-e29b-41d4-a716-446655440000"


def refused(reply: Reply, status: int, message: str | None = None) -> None:
    """The reply is an Error object of this status, with these words or any."""
    assert reply.status == status, reply
    assert is_error(reply.body), reply
    if message is not None:
        assert reply.body["message"] == message


def one_key(kme: Kme, slave: str = REMOTE, **more: Any) -> tuple[str, bytes]:
    """A fresh key: id and bytes."""
    reply = kme.enc({"number": 1, **more}, slave=slave)
    assert reply.status == 200, reply
    [key] = reply.body["keys"]
    return key["key_ID"], base64.b64decode(key["key"], validate=True)


class TestT1MutualTls:
    def test_a_connection_without_a_certificate_is_rejected(self, beijing: Kme) -> None:
        try:
            answer = shake(beijing, beijing.context(None))
        except (ssl.SSLError, ConnectionError):
            answer = b""
        assert answer == b""

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_older_than_1_2_is_rejected(self, beijing: Kme, version: ssl.TLSVersion) -> None:
        context = beijing.context(LOCAL)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shake(beijing, context)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_1_2_and_1_3_are_served(self, beijing: Kme, version: ssl.TLSVersion) -> None:
        context = beijing.context(LOCAL)
        context.minimum_version = context.maximum_version = version
        assert b"200 OK" in shake(beijing, context)

    def test_plain_http_is_not_served(self, beijing: Kme) -> None:
        line = http.client.HTTPConnection("127.0.0.1", beijing.port, timeout=20)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            line.request("GET", path(REMOTE, "status"))
            line.getresponse()

    def test_the_servers_certificate_names_its_kme(self, beijing: Kme) -> None:
        with (
            socket.create_connection(("127.0.0.1", beijing.port)) as raw,
            beijing.context(LOCAL).wrap_socket(raw, server_hostname="localhost") as line,
        ):
            names = line.getpeercert()["subjectAltName"]  # type: ignore[index]
        assert ("URI", "kme:" + quote(KMES["beijing"], safe="")) in names

    def test_answers_are_json_in_utf_8(self, beijing: Kme) -> None:
        reply = beijing.enc()
        assert reply.headers["Content-Type"].split(";")[0] == "application/json"

    def test_a_kmes_certificate_names_no_application(self, start: Callable[..., Kme]) -> None:
        home = {"id": KMES["stellenbosch"], "kme": KMES["beijing"]}
        kme = start("beijing", sae=[home, {"id": LOCAL, "kme": KMES["beijing"]}])
        refused(kme.ask("GET", path(LOCAL, "status"), sae=KMES["stellenbosch"]), 401)
        refused(kme.ask("GET", path(LOCAL, "status"), sae=KMES["beijing"]), 401)


class TestT2Names:
    @pytest.mark.parametrize("name", ODD)
    def test_any_text_names_an_application(self, beijing: Kme, name: str) -> None:
        """As slave in the path, as caller in the certificate, as master in the path."""
        drawn, key = one_key(beijing, slave=name)
        status = beijing.ask("GET", path(name, "status"), sae=name).body
        assert (status["master_SAE_ID"], status["slave_SAE_ID"]) == (name, name)
        fetched = beijing.dec(drawn, master=LOCAL, sae=name)
        assert base64.b64decode(fetched.body["keys"][0]["key"]) == key
        again = beijing.enc({}, slave=LOCAL, sae=name).body["keys"][0]
        assert beijing.dec(again["key_ID"], master=name, sae=LOCAL).body["keys"] == [again]

    def test_an_encoded_slash_is_no_slash_and_is_decoded_once(self, beijing: Kme) -> None:
        refused(beijing.ask("GET", "/api/v1/keys/a/b/status"), 404)
        refused(beijing.ask("GET", "/api/v1/keys/a%252Fb/status"), 400)
        assert beijing.ask("GET", "/api/v1/keys/a%2fb/status").body["slave_SAE_ID"] == "a/b"
        assert beijing.ask("GET", "/api/v1/keys/100%25%32%46/status").body["slave_SAE_ID"] == "100%2F"

    def test_a_name_that_is_not_utf_8_or_empty_is_refused(self, beijing: Kme) -> None:
        refused(beijing.ask("GET", "/api/v1/keys/%ff%fe/status"), 400)
        refused(beijing.ask("GET", "/api/v1/keys//status"), 400)

    def test_the_absolute_form_of_a_target_is_served(self, beijing: Kme) -> None:
        target = f"https://localhost:{beijing.port}/api/v1/keys/a%2Fb/status"
        assert beijing.ask("GET", target).body["slave_SAE_ID"] == "a/b"


class TestT3Caller:
    def test_only_the_certificate_says_who_calls(self, beijing: Kme) -> None:
        headers = {"X-SAE-ID": THIRD, "Authorization": f"Basic {THIRD}", "From": THIRD}
        reply = beijing.ask("GET", path(REMOTE, "status"), headers=headers)
        assert reply.body["master_SAE_ID"] == LOCAL
        refused(beijing.enc({"master_SAE_ID": THIRD}), 400)

    def test_an_application_of_no_kme_is_refused(self, beijing: Kme) -> None:
        for reply in (
            beijing.ask("GET", path(REMOTE, "status"), sae=STRANGER),
            beijing.enc({}, sae=STRANGER),
            beijing.dec(UNKNOWN_ID, sae=STRANGER),
            beijing.ask("GET", "/nowhere", sae=STRANGER),
        ):
            refused(reply, 401)

    def test_an_application_of_another_kme_is_refused(self, beijing: Kme) -> None:
        refused(beijing.enc({}, sae=REMOTE, slave=LOCAL), 401)


class TestSStatus:
    def test_every_field(self, beijing: Kme) -> None:
        reply = beijing.ask("GET", path(REMOTE, "status"))
        assert (reply.status, reply.body) == (
            200,
            {
                "source_KME_ID": KMES["beijing"],
                "target_KME_ID": KMES["stellenbosch"],
                "master_SAE_ID": LOCAL,
                "slave_SAE_ID": REMOTE,
                "key_size": 256,
                "stored_key_count": (1 << 20) // 32,
                "max_key_count": 1_000_000,
                "max_key_per_request": 128,
                "max_key_size": 4096,
                "min_key_size": 64,
                "max_SAE_ID_count": 8,
            },
        )

    def test_stored_keys_go_down_by_what_was_drawn_and_up_to_a_cap(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", limits={"max_stored_keys": 32_760})
        assert kme.ask("GET", path(REMOTE, "status")).body["stored_key_count"] == 32_760
        for _ in range(2):
            kme.enc({"number": 5})
        assert kme.ask("GET", path(REMOTE, "status")).body["stored_key_count"] == (1 << 15) - 10

    def test_an_unknown_slave_is_refused(self, beijing: Kme) -> None:
        refused(beijing.ask("GET", path("nobody", "status")), 400)

    def test_a_query_is_refused(self, beijing: Kme) -> None:
        refused(beijing.ask("GET", path(REMOTE, "status") + "?number=1"), 400)


class TestEGetKey:
    @pytest.mark.parametrize("body", [None, "", {}])
    def test_without_a_request_there_is_one_key_of_the_default_size(self, beijing: Kme, body: Any) -> None:
        reply = beijing.enc(body)
        assert reply.status == 200
        [key] = reply.body["keys"]
        assert len(base64.b64decode(key["key"])) == 32
        assert uuid.UUID(key["key_ID"]).version == 8

    def test_a_get_asks_for_number_and_size(self, beijing: Kme) -> None:
        assert len(beijing.ask("GET", path(REMOTE, "enc_keys")).body["keys"]) == 1
        reply = beijing.ask("GET", path(REMOTE, "enc_keys") + "?number=3&size=128")
        assert [len(base64.b64decode(key["key"])) for key in reply.body["keys"]] == [16] * 3

    def test_the_container_holds_what_is_documented_and_no_more(self, beijing: Kme) -> None:
        body = beijing.enc({"number": 2}).body
        assert set(body) == {"keys"}
        for key in body["keys"]:
            assert set(key) == {"key_ID", "key", "key_extension"}
            assert key["key_extension"] == {"satqkd_paths": [["jinan-1"]], "satqkd_origin": "hardware"}

    def test_no_key_is_given_twice(self, beijing: Kme) -> None:
        keys = [key for _ in range(5) for key in beijing.enc({"number": 50}).body["keys"]]
        assert len({key["key"] for key in keys}) == len({key["key_ID"] for key in keys}) == 250

    @pytest.mark.parametrize(
        "number", ["0", "-1", "1.5", "1.0", "true", '"1"', "null", "129", "1e2", "9" * 5000, "[1]", "NaN"]
    )
    def test_a_number_that_is_none_is_refused(self, beijing: Kme, number: str) -> None:
        refused(beijing.enc(f'{{"number":{number}}}'), 400)
        refused(beijing.enc(f'{{"size":{number}}}'), 400)

    @pytest.mark.parametrize(
        "query",
        [
            "number=0", "number=-1", "number=1.5", "number=+1", "number=%201", "number=", "number",
            "number=1&number=1", "number=129", "number=" + "9" * 3000, "number=１", "number=1;size=64",
            "colour=red", "size=0x40", "number=1&additional_slave_SAE_IDs=x", "%ff=1", "number=%ff",
        ],
    )  # fmt: skip
    def test_a_query_that_is_none_is_refused(self, beijing: Kme, query: str) -> None:
        refused(beijing.ask("GET", path(REMOTE, "enc_keys") + "?" + quote(query, safe="=&;%+")), 400)

    def test_nothing_is_used_by_what_is_refused(self, beijing: Kme, network: ToyNetwork) -> None:
        for body in ('{"number":129}', '{"size":257}', '{"extension_mandatory":[{"x_y":1}]}'):
            refused(beijing.enc(body), 400)
        assert set(network.used.values()) == {0}

    def test_a_query_beside_a_body_is_refused(self, beijing: Kme) -> None:
        refused(beijing.ask("POST", path(REMOTE, "enc_keys") + "?number=2", "{}"), 400)

    @pytest.mark.parametrize("size", [64, 4096])
    def test_sizes_up_to_the_limits_are_served(self, beijing: Kme, size: int) -> None:
        assert len(one_key(beijing, size=size)[1]) == size // 8

    @pytest.mark.parametrize("size", [56, 4104, 8])
    def test_sizes_beyond_the_limits_are_refused(self, beijing: Kme, size: int) -> None:
        refused(beijing.enc({"size": size}), 400)

    @pytest.mark.parametrize("size", [257, 1, 65, 4097])
    def test_e1_a_size_that_is_no_multiple_of_8(self, beijing: Kme, size: int) -> None:
        refused(beijing.enc({"size": size}), 400, "size shall be a multiple of 8")
        refused(
            beijing.ask("GET", f"{path(REMOTE, 'enc_keys')}?size={size}"),
            400,
            "size shall be a multiple of 8",
        )

    def test_an_unknown_slave_is_refused(self, beijing: Kme) -> None:
        refused(beijing.enc({}, slave="nobody"), 400)


class TestEExtensions:
    UNKNOWN = "not all extension_mandatory parameters are supported"
    UNMET = "not all extension_mandatory request options could be met"

    def test_e2_an_unknown_mandatory_parameter(self, beijing: Kme) -> None:
        for extension in ([{"abc_route": 1}], [{"satqkd_colluders": 1, "abc_route": 1}]):
            refused(beijing.enc({"extension_mandatory": extension}), 400, self.UNKNOWN)

    @pytest.mark.parametrize("demand", [{"satqkd_avoid_nodes": ["jinan-1"]}, {"satqkd_colluders": 2}])
    def test_e2_a_known_one_that_cannot_be_met(self, beijing: Kme, demand: dict[str, Any]) -> None:
        refused(beijing.enc({"extension_mandatory": [demand]}), 400, self.UNMET)

    @pytest.mark.parametrize("demand", [{"satqkd_avoid_nodes": ["jinan-1"]}, {"satqkd_colluders": 2}])
    def test_an_optional_one_is_met_where_it_can_be(
        self, beijing: Kme, network: ToyNetwork, demand: dict[str, Any]
    ) -> None:
        assert beijing.enc({"extension_optional": [demand, {"qkdsec_doctor_probe": True}]}).status == 200
        network.paths = (("micius",), ("tiangong",))
        for kind in ("extension_optional", "extension_mandatory"):
            [key] = beijing.enc({kind: [demand]}).body["keys"]
            assert key["key_extension"]["satqkd_paths"] == [["micius"], ["tiangong"]]

    def test_an_optional_one_reaches_the_supply(self, beijing: Kme, network: ToyNetwork) -> None:
        asked = []
        draw = beijing.supply.draw
        beijing.supply.draw = lambda request, now_utc: (
            asked.append(request),
            draw(request, now_utc=now_utc),
        )[1]  # type: ignore[method-assign]
        beijing.enc({"extension_optional": [{"satqkd_avoid_nodes": ["jinan-1"]}]})
        assert [set(each.avoid) for each in asked] == [{"jinan-1"}, set()]

    @pytest.mark.parametrize("value", ["x", [1], {}, 0, 17, 1.5, None, True])
    def test_a_value_that_is_not_understood(self, beijing: Kme, value: Any) -> None:
        """Refused where it is mandatory, left out where not."""
        for name in ("satqkd_avoid_nodes", "satqkd_colluders"):
            refused(beijing.enc({"extension_mandatory": [{name: value}]}), 400)
            assert beijing.enc({"extension_optional": [{name: value}]}).status == 200

    def test_a_mandatory_demand_on_an_empty_pool_is_a_want_of_key(
        self, start: Callable[..., Kme], network: ToyNetwork
    ) -> None:
        network.pools = dict.fromkeys(network.pools, b"x" * 16)
        refused(
            start("beijing").enc(
                {"extension_mandatory": [{"satqkd_colluders": 1}, {"satqkd_avoid_nodes": ["x"]}]}
            ),
            503,
        )

    def test_a_policy_of_the_settings_is_no_demand_of_the_request(
        self, start: Callable[..., Kme], network: ToyNetwork
    ) -> None:
        policy = [{"slave": REMOTE, "avoid_nodes": ["jinan-1"]}]
        kme = start("beijing", policy=policy)
        refused(kme.enc({}), 503)
        assert kme.enc({}, slave=REMOTE_2).status == 200
        network.paths = (("micius",),)
        assert kme.enc({}).status == 200


class TestDGetKeyWithIds:
    def test_both_ends_get_the_same_keys_in_the_order_asked(
        self, master: KmeClient, slave: KmeClient
    ) -> None:
        drawn = master.get_keys(REMOTE, 3, 512) + master.get_keys(REMOTE, 2, 64)
        wanted = [drawn[each] for each in (4, 0, 2, 3, 1)]
        fetched = slave.get_keys_by_id(LOCAL, [each.key_id for each in wanted])
        assert [each.key_id for each in fetched] == [each.key_id for each in wanted]
        assert [bytes(each.key.expose()) for each in fetched] == [bytes(each.key.expose()) for each in wanted]
        assert (fetched[0].paths, fetched[0].origin) == ((("jinan-1",),), "hardware")

    def test_a_get_asks_for_one(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, key = one_key(beijing)
        target = f"{path(LOCAL, 'dec_keys')}?key_ID="
        reply = stellenbosch.ask("GET", target + name.upper(), sae=REMOTE)
        assert base64.b64decode(reply.body["keys"][0]["key"]) == key
        refused(stellenbosch.ask("GET", path(LOCAL, "dec_keys"), sae=REMOTE), 400)
        refused(stellenbosch.ask("GET", target + "x", sae=REMOTE), 400)
        refused(stellenbosch.ask("GET", f"{target}{name}&key_ID={name}", sae=REMOTE), 400)

    def test_d1_unknown_ids_and_nothing_is_used(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, key = one_key(beijing)
        refused(stellenbosch.dec(UNKNOWN_ID), 400, NOT_FOUND)
        refused(stellenbosch.dec(name, UNKNOWN_ID), 400, NOT_FOUND)
        assert base64.b64decode(stellenbosch.dec(name).body["keys"][0]["key"]) == key

    def test_d1_a_master_that_is_not_known(self, stellenbosch: Kme) -> None:
        refused(stellenbosch.dec(UNKNOWN_ID, master="nobody"), 400, NOT_FOUND)

    def test_d2_a_third_application_never_gets_a_key(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, key = one_key(beijing)
        refused(beijing.dec(name, sae=THIRD), 400)  # not drawn at any KME for one of this
        refused(stellenbosch.dec(name, sae=REMOTE_2), 401)
        refused(stellenbosch.dec(name, master=THIRD, sae=REMOTE), 401)
        local, _ = one_key(beijing, slave=LOCAL)
        refused(beijing.dec(local, sae=THIRD), 401)
        assert base64.b64decode(stellenbosch.dec(name).body["keys"][0]["key"]) == key

    def test_d2_every_id_counts(self, beijing: Kme, stellenbosch: Kme) -> None:
        mine, _ = one_key(beijing)
        others, _ = one_key(beijing, slave=REMOTE_2)
        refused(stellenbosch.dec(mine, others), 401)
        assert stellenbosch.dec(mine).status == 200

    def test_p1_an_id_is_served_once(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, _ = one_key(beijing)
        assert stellenbosch.dec(name).status == 200
        refused(stellenbosch.dec(name), 400, NOT_FOUND)

    def test_duplicate_ids_are_refused_and_nothing_is_used(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, _ = one_key(beijing)
        refused(stellenbosch.dec(name, name), 400)
        refused(stellenbosch.dec(name, name.upper()), 400)
        assert stellenbosch.dec(name).status == 200

    @pytest.mark.parametrize(
        "body",
        [
            "", "{}", '{"key_IDs":[]}', '{"key_IDs":[{}]}', '{"key_IDs":[{"key_ID":"x"}]}',
            '{"key_IDs":[{"key_ID":1}]}',
            '{"key_IDs":["550e8400-e29b-41d4-a716-446655440000"]}', '{"key_IDs":{}}', "null", '{"keys":[]}',
            '{"key_IDs":[{"key_ID":"550e8400e29b41d4a716446655440000"}]}',
        ],
    )  # fmt: skip
    def test_a_body_that_is_none_is_refused(self, stellenbosch: Kme, body: str) -> None:
        refused(stellenbosch.ask("POST", path(LOCAL, "dec_keys"), body, sae=REMOTE), 400)

    def test_more_ids_than_allowed_are_refused(self, start: Callable[..., Kme]) -> None:
        kme = start("stellenbosch", limits={"max_keys": 2})
        refused(kme.dec(UNKNOWN_ID, UNKNOWN_ID[:-1] + "1", UNKNOWN_ID[:-1] + "2"), 400)

    def test_reserved_extensions_are_let_pass(self, beijing: Kme, stellenbosch: Kme) -> None:
        name, _ = one_key(beijing)
        body = {
            "key_IDs": [{"key_ID": name, "key_ID_extension": {"a": 1}}],
            "key_IDs_extension": {"b": [2]},
        }
        reply = stellenbosch.ask("POST", path(LOCAL, "dec_keys"), json.dumps(body), sae=REMOTE)
        assert reply.status == 200

    def test_an_application_may_be_its_own_peer(self, beijing: Kme) -> None:
        name, key = one_key(beijing, slave=LOCAL)
        assert base64.b64decode(beijing.dec(name, sae=LOCAL).body["keys"][0]["key"]) == key
        refused(beijing.dec(name, sae=LOCAL), 400, NOT_FOUND)


class TestM1Multicast:
    @pytest.fixture
    def ends(self, start: Callable[..., Kme], stellenbosch: Kme) -> tuple[Kme, Kme]:
        """The master's KME knows where that of the slaves is."""
        url = stellenbosch.address.url.replace("127.0.0.1", "localhost")
        kmes = [
            {"id": KMES["beijing"], "node": "beijing"},
            {"id": KMES["stellenbosch"], "node": "stellenbosch", "url": url},
        ]
        return start("beijing", kme=kmes), stellenbosch

    def test_each_slave_fetches_once(self, ends: tuple[Kme, Kme]) -> None:
        beijing, stellenbosch = ends
        name, key = one_key(beijing, additional_slave_SAE_IDs=[REMOTE_2])
        for sae in (REMOTE, REMOTE_2):
            assert base64.b64decode(stellenbosch.dec(name, sae=sae).body["keys"][0]["key"]) == key
            refused(stellenbosch.dec(name, sae=sae), 400, NOT_FOUND)

    def test_slaves_of_the_masters_own_kme(self, beijing: Kme) -> None:
        name, key = one_key(beijing, slave=THIRD, additional_slave_SAE_IDs=[LOCAL])
        for sae in (THIRD, LOCAL):
            assert base64.b64decode(beijing.dec(name, sae=sae).body["keys"][0]["key"]) == key

    def test_where_the_slaves_kme_cannot_be_told_no_key_is_given(
        self, beijing: Kme, start: Callable[..., Kme], network: ToyNetwork
    ) -> None:
        """Without its place, nothing is used; where another one, or nobody, is in its place, 503."""
        refused(beijing.enc({"additional_slave_SAE_IDs": [REMOTE_2]}), 400)
        assert set(network.used.values()) == {0}
        for url in (beijing.address.url, "https://localhost:1"):
            kmes = [
                {"id": KMES["beijing"], "node": "beijing"},
                {"id": KMES["stellenbosch"], "node": "stellenbosch", "url": url},
            ]
            refused(start("beijing", kme=kmes).enc({"additional_slave_SAE_IDs": [REMOTE_2]}), 503)

    def test_only_the_masters_kme_may_tell_of_slaves(self, ends: tuple[Kme, Kme]) -> None:
        stellenbosch = ends[1]

        def tell(sae: str, master: str = LOCAL, slaves: tuple[str, ...] = (REMOTE, REMOTE_2)) -> Reply:
            body = json.dumps({"master": master, "slaves": slaves, "key_IDs": [UNKNOWN_ID]})
            return stellenbosch.ask("POST", "/satqkd/v1/entitle", body, sae=sae)

        refused(tell(REMOTE), 401)
        refused(tell(KMES["stellenbosch"]), 401)
        refused(tell(KMES["beijing"], master=REMOTE), 401)
        refused(tell(KMES["beijing"], slaves=(REMOTE, LOCAL)), 400)
        refused(tell(KMES["beijing"]), 400, NOT_FOUND)

    def test_more_than_allowed_and_none_at_all(self, start: Callable[..., Kme]) -> None:
        kme = start("beijing", limits={"max_additional_slaves": 0})
        refused(kme.enc({"additional_slave_SAE_IDs": [REMOTE_2]}), 400)
        assert kme.enc({"additional_slave_SAE_IDs": []}).status == 200
        assert kme.ask("GET", path(REMOTE, "status")).body["max_SAE_ID_count"] == 0

    @pytest.mark.parametrize("more", [[REMOTE], [REMOTE_2, REMOTE_2], [LOCAL], ["nobody"], [""], [1], "x"])
    def test_slaves_twice_elsewhere_or_nowhere_are_refused(self, beijing: Kme, more: Any) -> None:
        refused(beijing.enc({"additional_slave_SAE_IDs": more}), 400)


class TestWants:
    def test_an_empty_pool_is_503_and_never_a_part(
        self, start: Callable[..., Kme], network: ToyNetwork
    ) -> None:
        network.pools = dict.fromkeys(network.pools, bytes(range(80)))
        kme = start("beijing")
        refused(kme.enc({"number": 3}), 503)
        assert len(kme.enc({"number": 2}).body["keys"]) == 2
        refused(kme.enc({"number": 1}), 503)
        assert kme.ask("GET", path(REMOTE, "status")).body["stored_key_count"] == 0

    def test_key_of_the_twin_is_not_given_out(self, beijing: Kme, network: ToyNetwork) -> None:
        network.origin = "twin"
        refused(beijing.enc({}), 503)

    def test_a_peer_without_key_is_503(self, start: Callable[..., Kme], network: ToyNetwork) -> None:
        network.pools = {}
        refused(start("beijing").enc({}), 503)


class TestBodies:
    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", None, ""],
    )
    def test_another_type_is_refused(self, beijing: Kme, kind: str | None) -> None:
        refused(beijing.ask("POST", path(REMOTE, "enc_keys"), "{}", kind=kind), 400)

    @pytest.mark.parametrize("kind", ["application/json", 'Application/JSON; charset="UTF-8"'])
    def test_json_in_utf_8_is_served(self, beijing: Kme, kind: str) -> None:
        assert beijing.ask("POST", path(REMOTE, "enc_keys"), "{}", kind=kind).status == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"{", b"{}x", b"[]", b"null", b"\xff", b'{"number":1,"number":1}', b'{"n\xff":1}',
            b"\xef\xbb\xbf{}",
            b'{"unknown":1}', b'{"extension_optional":[{"a":1,"a":2}]}', b'{"extension_optional":{"a":1}}',
            b'{"extension_optional":' + b"[" * 60_000,
            b'{"extension_optional":[{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}]}",
        ],
    )  # fmt: skip
    def test_what_is_no_request_is_refused(self, beijing: Kme, body: bytes) -> None:
        refused(beijing.ask("POST", path(REMOTE, "enc_keys"), body), 400)

    def test_a_compressed_body_is_refused(self, beijing: Kme) -> None:
        body = gzip.compress(b"{}")
        reply = beijing.ask("POST", path(REMOTE, "enc_keys"), body, headers={"Content-Encoding": "gzip"})
        refused(reply, 400)

    def test_a_body_over_the_limit_is_refused(self, beijing: Kme) -> None:
        refused(beijing.ask("POST", path(REMOTE, "enc_keys"), b" " * 65_537), 400)
        assert beijing.ask("POST", path(REMOTE, "enc_keys"), b"{}" + b" " * 65_534).status == 200

    def test_a_chunked_body_over_the_limit_is_refused(self, beijing: Kme) -> None:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        head = f"POST {path(REMOTE, 'enc_keys')} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        head += "Connection: close\r\n"
        data = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17 + b"0\r\n\r\n"
        answer = shake(beijing, beijing.context(LOCAL), data)
        assert answer.startswith(b"HTTP/1.1 400 ") and is_error(json.loads(answer.partition(b"\r\n\r\n")[2]))


class TestBeyondTheInterface:
    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "/api/v1/keys",
            "/api/v1/keys/x",
            "/api/v2/keys/x/status",
            "/api/v1/keys/x/status/",
            "//",
            "/%0A",
            "/a%0Ab",
            "/metrics",
        ],
    )
    def test_another_path_is_404(self, beijing: Kme, target: str) -> None:
        refused(beijing.ask("GET", target), 404)

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_another_method_is_405(self, beijing: Kme, method: str) -> None:
        reply = beijing.ask(method, path(REMOTE, "enc_keys"))
        refused(reply, 405)
        assert reply.headers["Allow"] == "GET, POST"
        assert beijing.ask(method, path(REMOTE, "status")).headers["Allow"] == "GET"

    def test_targets_of_other_forms(self, beijing: Kme) -> None:
        """A line feed in a name is a character like others; `*` is a target of HTTP, and nothing here."""
        refused(beijing.ask("GET", "/api/v1/keys/%0A/status"), 400)
        refused(beijing.ask("OPTIONS", "*"), 404)

    def test_a_client_that_waits_to_be_told_to_go_on(self, beijing: Kme) -> None:
        head = f"POST {path(REMOTE, 'enc_keys')} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        head += "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        with (
            socket.create_connection(("127.0.0.1", beijing.port), timeout=20) as raw,
            beijing.context(LOCAL).wrap_socket(raw, server_hostname="localhost") as line,
        ):
            line.sendall(head.encode())
            assert line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            line.sendall(b"{}")
            assert line.recv(4096).startswith(b"HTTP/1.1 200 OK")

    def test_head_is_405_without_a_body(self, beijing: Kme) -> None:
        assert beijing.ask("HEAD", path(REMOTE, "enc_keys")).status == 405

    @pytest.mark.parametrize(
        "data",
        [
            b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"BREW / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        ],
    )  # fmt: skip
    def test_what_is_no_http_is_answered_with_an_error_object(self, beijing: Kme, data: bytes) -> None:
        answer = shake(beijing, beijing.context(LOCAL), data)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.") and b" 400 " in head.split(b"\r\n")[0]
        assert is_error(json.loads(body))

    def test_a_fault_of_the_supply_is_503_and_nothing_of_it_is_told(self, beijing: Kme) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError("secret detail")

        beijing.supply.draw = beijing.supply.fetch = beijing.supply.available_bits = fail  # type: ignore[method-assign]
        for reply in (
            beijing.enc({}),
            beijing.dec(UNKNOWN_ID, master=REMOTE, sae=LOCAL),
            beijing.ask("GET", path(REMOTE, "status")),
        ):
            refused(reply, 503)
            assert "secret" not in json.dumps(reply.body)


def test_a_slow_supply_is_asked_by_one_thread_at_a_time(beijing: Kme) -> None:
    """Calls out of memory and calls that wait for a disk never overlap."""
    import threading
    import time

    inside, overlaps, supply = threading.Lock(), [], beijing.supply
    draw, fetch = supply.draw, supply.fetch

    def alone(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not inside.acquire(blocking=False):
                overlaps.append(work)
                return work(*args, **kwargs)
            try:
                time.sleep(0.002)
                return work(*args, **kwargs)
            finally:
                inside.release()

        return call

    supply.draw, supply.fetch = alone(draw), alone(fetch)  # type: ignore[method-assign]
    found: list[int] = []

    def ask(number: int) -> None:
        with beijing.client(LOCAL) as client:
            for turn in range(8):
                supply.slow = (turn + number) % 2 == 0
                [key] = client.get_keys(LOCAL)
                found.extend(each.key.bits for each in client.get_keys_by_id(LOCAL, [key.key_id]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert found == [256] * 48


def test_every_application_of_the_cases_has_a_home() -> None:
    assert set(HOMES.values()) == set(KMES)


def shake(kme: Kme, context: ssl.SSLContext, data: bytes | None = None) -> bytes:
    """The whole answer to raw bytes, by default a status request that ends the connection."""
    request = (
        data or f"GET {path(REMOTE, 'status')} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    with (
        socket.create_connection(("127.0.0.1", kme.port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as line,
    ):
        line.sendall(request)
        answer = b""
        while piece := line.recv(65_536):
            answer += piece
    return answer
