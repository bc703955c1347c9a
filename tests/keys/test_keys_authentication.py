"""Authentication pools: the same key at the same positions at both ends, each position once."""

import secrets
from collections.abc import Callable

import pytest
from keys_cases import NOW

from satqkd.errors import ConfigError, KeyAlreadyUsed, KeyExhausted, KeyNotFound, KeyStoreError
from satqkd.keys import AuthenticationPool, KeyStore, provision

MakeStore = Callable[[str], KeyStore]
Pair = tuple[KeyStore, KeyStore]


@pytest.fixture
def pair(make_store: MakeStore) -> Pair:
    stores = make_store("sat"), make_store("beijing")
    provision(*stores, 1024, randbytes=secrets.token_bytes, now_utc=NOW)
    return stores


def draw(store: KeyStore, position_bits: int, bits: int = 256) -> bytes:
    peer = "beijing" if store.node_id == "sat" else "sat"
    spent = store.draw_auth(peer, position_bits=position_bits, bits=bits, purpose="tag")
    return bytes(spent.key.expose())


def test_both_ends_get_the_same_fresh_bytes(pair: Pair) -> None:
    sat, beijing = pair
    block_id = provision(sat, beijing, 512, randbytes=secrets.token_bytes, now_utc=NOW)
    other_id = provision(sat, beijing, 512, randbytes=secrets.token_bytes, now_utc=NOW)
    keys = [store.peek_for_check(name) for store in pair for name in (block_id, other_id)]
    assert keys[0] == keys[2]
    assert keys[1] == keys[3]
    assert keys[0] != keys[1]
    assert sat.available_bits("beijing", "auth") == beijing.available_bits("sat", "auth") == 2048
    assert {row.origin for row in sat.list_blocks()} == {"provisioned"}


def test_positions_agree_across_ends_blocks_and_order(pair: Pair) -> None:
    sat, beijing = pair
    provision(sat, beijing, 1024, randbytes=secrets.token_bytes, now_utc=NOW)
    assert draw(sat, 896) == draw(beijing, 896)
    assert sat.auth_position("beijing") == 1152
    assert draw(sat, 256) + draw(sat, 512) == draw(beijing, 256, 512)
    assert draw(sat, 0) == draw(beijing, 0)
    assert len({draw(sat, position) for position in (1152, 1408, 1664)}) == 3
    assert sat.check().balanced


def test_a_position_serves_once(pair: Pair) -> None:
    sat, _ = pair
    draw(sat, 256)
    for position, bits in ((256, 256), (248, 16), (504, 8), (0, 1024)):
        with pytest.raises(KeyAlreadyUsed):
            draw(sat, position, bits)
    sat.close()
    with KeyStore.open(sat.path) as again:
        assert again.auth_position("beijing") == 512
        with pytest.raises(KeyAlreadyUsed):
            draw(again, 256)


def test_short_unknown_and_odd_draws(pair: Pair) -> None:
    sat, _ = pair
    with pytest.raises(KeyExhausted, match="provision"):
        draw(sat, 896)
    with pytest.raises(KeyNotFound, match="provision"):
        sat.draw_auth("nobody", position_bits=0, bits=256, purpose="tag")
    for position, bits in ((-8, 256), (4, 256), (0, 0), (0, 9)):
        with pytest.raises(ConfigError):
            draw(sat, position, bits)
    assert sat.auth_position("beijing") == 0
    with pytest.raises(ConfigError, match="draw_auth"):
        sat.spend("beijing", "auth", 256, purpose="tag", reference="")


def test_skipping_moves_forward_and_wipes(pair: Pair) -> None:
    sat, beijing = pair
    draw(sat, 0)
    draw(sat, 512)
    assert sat.skip_auth_to("beijing", 768) == 256
    assert beijing.skip_auth_to("sat", 768) == 768
    assert beijing.skip_auth_to("sat", 768) == 0
    assert sat.auth_position("beijing") == beijing.auth_position("sat") == 768
    for store, peer in ((sat, "beijing"), (beijing, "sat")):
        with pytest.raises(KeyAlreadyUsed, match="go back"):
            store.skip_auth_to(peer, 512)
        with pytest.raises(KeyAlreadyUsed):
            draw(store, 256)
        with pytest.raises(KeyExhausted):
            store.skip_auth_to(peer, 1032)
    assert draw(sat, 768) == draw(beijing, 768)
    assert not any(sat.peek_for_check(sat.list_blocks()[0].block_id).expose())
    assert sat.check().balanced


def test_the_sessions_door_skips_and_draws(pair: Pair) -> None:
    sat, beijing = pair
    ends = (
        AuthenticationPool(sat, "beijing", purpose="pass"),
        AuthenticationPool(beijing, "sat", purpose="pass"),
    )
    draw(sat, 0)
    position = max(end.position_bits for end in ends)
    assert position == 256
    keys = [end.draw(position, 512) for end in ends]
    assert keys[0] == keys[1]
    assert [end.position_bits for end in ends] == [768, 768]
    assert beijing.status()[0].live_bits == 256


@pytest.mark.parametrize("calls_before_the_crash", [0, 1, 2, 3])
def test_a_provisioning_that_was_killed_is_settled_by_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, calls_before_the_crash: int
) -> None:
    sat, beijing = pair
    calls = 0

    def dying(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **settings: object) -> None:
            nonlocal calls
            if calls == calls_before_the_crash:
                raise ZeroDivisionError
            calls += 1
            method(*arguments, **settings)

        return call

    with monkeypatch.context() as patch:
        for name in ("add_block", "confirm_block"):
            patch.setattr(KeyStore, name, dying(getattr(KeyStore, name)))
        with pytest.raises(ZeroDivisionError):
            provision(sat, beijing, 512, randbytes=secrets.token_bytes, now_utc=NOW)
    provision(sat, beijing, 256, randbytes=secrets.token_bytes, now_utc=NOW)
    total = sat.available_bits("beijing", "auth")
    assert total == beijing.available_bits("sat", "auth")
    assert total == 1024 + 256 + (512 if calls_before_the_crash == 3 else 0)
    assert draw(sat, 0, total) == draw(beijing, 0, total)


def test_pools_that_differ_are_refused(pair: Pair, make_store: MakeStore) -> None:
    sat, beijing = pair
    sat.close()
    for file in sat.path.parent.glob("sat.db*"):
        file.rename(file.with_name(f"old-{file.name}"))
    with pytest.raises(KeyStoreError, match="differ"):
        provision(make_store("sat"), beijing, 256, randbytes=secrets.token_bytes, now_utc=NOW)
    with pytest.raises(ConfigError, match="two nodes"):
        provision(beijing, beijing, 256, randbytes=secrets.token_bytes, now_utc=NOW)


def test_provisioning_makes_positions_meet_that_drifted_apart(pair: Pair) -> None:
    """One end drew for passes the other never heard of; whichever it was, both go on together."""
    sat, beijing = pair
    draw(sat, 512)
    for ahead, other in ((sat, "beijing"), (beijing, "sat")):
        draw(ahead, ahead.auth_position(other), 128)
        provision(sat, beijing, 256, randbytes=secrets.token_bytes, now_utc=NOW)
        assert sat.auth_position("beijing") == beijing.auth_position("sat")
        assert sat.available_bits("beijing", "auth") == beijing.available_bits("sat", "auth")
    position = sat.auth_position("beijing")
    assert position == 512 + 256 + 128 + 128
    assert draw(sat, position, 512) == draw(beijing, position, 512)
    assert [store.status()[0].live_bits for store in pair] == [0, 0]
    assert all(store.check().balanced for store in pair)


def test_provisioning_wipes_nothing_where_positions_agree(pair: Pair) -> None:
    for store in pair:
        draw(store, 256)
    provision(*pair, 256, randbytes=secrets.token_bytes, now_utc=NOW)
    assert draw(pair[0], 0) == draw(pair[1], 0)
    assert not [entry for entry in pair[0].audit_entries() if entry["event"] == "skip"]
