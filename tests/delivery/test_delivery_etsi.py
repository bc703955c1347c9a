"""ETSI GS QKD 014 V1.1.1 over real mutual TLS: each item of the checklist of `docs/delivery.md`."""

import uuid

from delivery_cases import LOCAL, REMOTE

from satqkd.delivery import KmeClient


class TestMainPath:
    def test_both_ends_get_the_same_keys_in_the_order_asked(
        self, master: KmeClient, slave: KmeClient
    ) -> None:
        drawn = master.get_keys(REMOTE, 3, 512)
        fetched = slave.get_keys_by_id(LOCAL, [each.key_id for each in reversed(drawn)])
        assert [each.key_id for each in fetched] == [each.key_id for each in reversed(drawn)]
        assert [each.key for each in fetched] == [each.key for each in reversed(drawn)]
        assert len({bytes(each.key.expose()) for each in drawn}) == 3
        assert {each.key.bits for each in drawn} == {512}
        assert all(uuid.UUID(each.key_id).version == 8 for each in drawn)
        assert (drawn[0].paths, drawn[0].origin) == ((("jinan-1",),), "hardware")
