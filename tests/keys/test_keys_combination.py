"""Key over several hops and over several satellites: what both ends hold, who knew it, what is refused."""

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from keys_cases import NOW, changed_bits, give, key_bytes

from memory_store import memory_store
from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
)
from satqkd.keys import KeyStore, accept_relay, make_relay
from satqkd.keys.model import Paths
from satqkd.keys.network.accept import accept_record
from satqkd.keys.network.combination import (
    CombinationRecord,
    accept_combination,
    choose_sources,
    combine_pairs,
    find_combination,
    largest_combination_bits,
)
from satqkd.keys.network.combination_record import read_combination
from satqkd.keys.network.relay_record import read_record

JINAN, MICIUS = (("jinan-1",),), (("micius",),)
KEYS = {"jinan": key_bytes(400, "jinan"), "micius": key_bytes(400, "micius")}
Pair = tuple[KeyStore, KeyStore]


@pytest.fixture
def pair() -> Pair:
    """beijing and xian with 3200 bits by each of two satellites; beijing allocates the first half."""
    beijing, xian = memory_store("beijing")[0], memory_store("xian")[0]
    give(beijing, xian, "by-jinan", KEYS["jinan"], paths=JINAN)
    give(beijing, xian, "by-micius", KEYS["micius"], paths=MICIUS)
    return beijing, xian


def combine(
    store: KeyStore, combination_id: str = "x1", bits: int = 800, through: tuple[Paths, ...] = (JINAN, MICIUS)
) -> CombinationRecord:
    peer = {"beijing": "xian", "xian": "beijing"}[store.node_id]
    return combine_pairs(store, peer, bits, through=through, combination_id=combination_id, now_utc=NOW)


def bytes_of(store: KeyStore, block_id: str) -> bytes:
    return bytes(store.peek_for_check(block_id).expose())


def live(store: KeyStore) -> list[int]:
    return [row.live_bits for row in store.list_blocks()]


# --- several hops


def test_a_ground_node_relays_satellite_key_on_over_its_fibre(make_store: Callable[[str], KeyStore]) -> None:
    satellite, a, middle, b = (make_store(name) for name in ("sat", "a", "middle", "b"))
    give(satellite, a, "pass-a", key_bytes(200, "a"), kind="link")
    give(satellite, middle, "pass-m", key_bytes(200, "m"), kind="link")
    give(middle, b, "fibre", key_bytes(200, "f"), kind="link")
    first = make_relay(satellite, "a", "middle", 1200, relay_id="hop1", now_utc=NOW)
    assert first.paths == (("sat",),)
    for store in (a, middle):
        assert accept_record(store, first.data, now_utc=NOW).paths == (("sat",),)
    second = make_relay(middle, "b", "a", 200, relay_id="hop2", kinds=("link", "pair"), now_utc=NOW)
    for store, peer in ((a, "b"), (b, "a")):
        accepted = accept_record(store, second.data, now_utc=NOW)
        assert (accepted.peer, accepted.paths) == (peer, (("middle", "sat"),))
        assert store.list_blocks()[-1].paths == (("middle", "sat"),)
    assert bytes_of(a, "relay:middle:hop2") == bytes_of(b, "relay:middle:hop2") == key_bytes(200, "f")[:25]
    body, _ = read_record(second.data)
    assert (body.end_a.paths, body.end_b.paths) == ((), (("sat",),))
    for store in (satellite, a, middle, b):
        assert store.check().balanced


def test_a_node_relays_its_own_part_of_a_pair_alone(make_store: Callable[[str], KeyStore]) -> None:
    a, middle, z = (make_store(name) for name in ("a", "middle", "z"))
    give(a, middle, "one", key_bytes(200, "one"))
    give(middle, z, "two", key_bytes(200, "two"))
    record = make_relay(middle, "a", "z", 800 - 256, relay_id="r", kinds=("pair", "pair"), now_utc=NOW)
    body, _ = read_record(record.data)
    assert body.end_a.key_ranges[0].offset_bits == 800
    assert body.end_b.key_ranges[0].offset_bits == 0
    with pytest.raises(KeyExhausted):
        make_relay(middle, "a", "z", 8, relay_id="s", kinds=("pair", "pair"), now_utc=NOW)
    for store in (a, z):
        accept_relay(store, record.data, now_utc=NOW)


def test_a_relay_takes_key_of_one_way_only(make_store: Callable[[str], KeyStore]) -> None:
    """Key that came over two satellites, in one block, would be known to either of them in part."""
    a, middle, z = (make_store(name) for name in ("a", "middle", "z"))
    give(a, middle, "jinan", key_bytes(200, "j"), paths=JINAN)
    give(a, middle, "micius", key_bytes(240, "m"), paths=MICIUS)
    give(middle, z, "fibre", key_bytes(500, "f"), kind="link")
    record = make_relay(middle, "a", "z", 400, relay_id="r", kinds=("pair", "link"), now_utc=NOW)
    assert record.paths == (("micius", "middle"),) or record.paths == (("middle", "micius"),)
    with pytest.raises(KeyExhausted, match="other paths"):
        make_relay(middle, "a", "z", 800, relay_id="s", kinds=("pair", "link"), now_utc=NOW)


def test_a_record_that_says_other_paths_than_the_store_is_refused(
    pair: Pair, make_store: Callable[[str], KeyStore]
) -> None:
    """The node between tells nothing away that the end knows better, whatever its tag."""
    beijing, _ = pair
    node = make_store("node")
    give(node, beijing, "one", key_bytes(200, "one"), paths=JINAN)
    z = make_store("z")
    give(node, z, "two", key_bytes(200, "two"))
    with node.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER blocks_paths_fixed")
        connection.exec_driver_sql("UPDATE blocks SET paths = '[]'")
    record = make_relay(node, "beijing", "z", 400, relay_id="r", kinds=("pair", "pair"), now_utc=NOW)
    before = live(beijing)
    with pytest.raises(KeyStoreError, match="paths"):
        accept_relay(beijing, record.data, now_utc=NOW)
    assert live(beijing) == before


# --- several satellites


def test_both_ends_hold_the_exclusive_or_of_two_ways(pair: Pair) -> None:
    """Recomputed with nothing but MessagePack, xor and Poly1305: tag key first, key behind."""
    beijing, xian = pair
    record = combine(beijing)
    accepted = accept_record(xian, record.data, now_utc=NOW)
    mixed = bytes(a ^ b for a, b in zip(KEYS["jinan"], KEYS["micius"], strict=True))
    assert bytes_of(beijing, "xor:beijing:x1") == bytes_of(xian, "xor:beijing:x1") == mixed[32:132]
    assert accepted.paths == record.paths == (("jinan-1",), ("micius",))
    assert {store.list_blocks()[-1].paths for store in pair} == {record.paths}
    assert (record.bits, record.spent_bits, accepted.peer) == (800, 2 * 1056, "beijing")
    kind, version, body, tag = msgspec.msgpack.decode(record.data)
    assert (kind, version) == ("combination", 1)
    assert tag == Poly1305.generate_tag(mixed[:32], body)
    assert msgspec.msgpack.decode(body) == [
        "beijing", "xian", "x1", "hardware",
        [[[["jinan-1"]], [["by-jinan", 0, 1056]]], [[["micius"]], [["by-micius", 0, 1056]]]],
    ]  # fmt: skip
    for store in pair:
        assert store.check().balanced


def test_the_same_combination_again_uses_nothing(pair: Pair) -> None:
    beijing, xian = pair
    first = combine(beijing)
    before = live(beijing)
    assert combine(beijing) == first == find_combination(beijing, "x1")
    assert live(beijing) == before
    with pytest.raises(KeyAlreadyUsed, match="another id"):
        combine(beijing, bits=80)
    accept_combination(xian, first.data, now_utc=NOW)
    before = live(xian)
    assert accept_combination(xian, first.data, now_utc=NOW).repeated
    assert live(xian) == before
    other = combine(beijing, "x2", 80)
    starts = [share.ranges[0].offset_bits for share in read_combination(other.data)[0].shares]
    assert starts == [1056, 1056]


def test_each_end_combines_from_its_own_half(pair: Pair) -> None:
    beijing, xian = pair
    records = [combine(beijing, bits=1600 - 256), combine(xian, bits=1600 - 256)]
    for store, record in ((xian, records[0]), (beijing, records[1])):
        accept_combination(store, record.data, now_utc=NOW)
    for block_id in ("xor:beijing:x1", "xor:xian:x1"):
        assert bytes_of(beijing, block_id) == bytes_of(xian, block_id)
    for store in pair:
        assert live(store)[:2] == [0, 0]
        with pytest.raises(KeyExhausted):
            combine(store, "x2", 8)


def test_every_changed_bit_is_refused_and_the_true_record_still_taken(pair: Pair) -> None:
    beijing, xian = pair
    record = combine(beijing, bits=8).data
    before = live(xian)
    for changed in changed_bits(record):
        with pytest.raises(Error):
            accept_record(xian, changed, now_utc=NOW)
    assert live(xian) == before
    accept_record(xian, record, now_utc=NOW)
    assert bytes_of(beijing, "xor:beijing:x1") == bytes_of(xian, "xor:beijing:x1")


def test_a_key_combined_with_itself_is_refused_though_its_tag_fits(pair: Pair) -> None:
    """k xor k is known to everybody: a forger could sign with it."""
    beijing, xian = pair
    body, _ = read_combination(combine(beijing).data)
    for second in (body.shares[0], msgspec.structs.replace(body.shares[0], paths=MICIUS)):
        forged = msgspec.msgpack.encode(msgspec.structs.replace(body, shares=(body.shares[0], second)))
        tag = Poly1305.generate_tag(bytes(32), forged)
        before = live(xian)
        with pytest.raises(DataFormatError, match="named twice"):
            accept_record(xian, msgspec.msgpack.encode(("combination", 1, forged, tag)), now_utc=NOW)
        assert live(xian) == before


def test_one_satellite_cannot_forge_a_combination(pair: Pair) -> None:
    """It knows its own share of the tag's key, not the other."""
    beijing, xian = pair
    body, _ = read_combination(combine(beijing).data)
    moved = [msgspec.structs.replace(piece, offset_bits=80) for piece in body.shares[0].ranges]
    share = msgspec.structs.replace(body.shares[0], ranges=tuple(moved))
    forged = msgspec.msgpack.encode(msgspec.structs.replace(body, shares=(share, body.shares[1])))
    for known in (KEYS["jinan"][:32], KEYS["jinan"][10:42], KEYS["micius"][:32]):
        tag = Poly1305.generate_tag(known, forged)
        with pytest.raises(AuthenticationError):
            accept_record(xian, msgspec.msgpack.encode(("combination", 1, forged, tag)), now_utc=NOW)


def test_a_combination_for_others_or_of_nothing(pair: Pair) -> None:
    beijing, xian = pair
    record = combine(beijing).data
    for store in (beijing, memory_store("third")[0]):
        with pytest.raises(KeyNotFound, match="for 'xian'"):
            accept_record(store, record, now_utc=NOW)
    for length in range(len(record)):
        with pytest.raises(DataFormatError):
            accept_record(xian, record[:length], now_utc=NOW)
    with pytest.raises(ConfigError):
        combine(beijing, "x2", through=(JINAN,))
    with pytest.raises(ConfigError):
        combine(beijing, "x2", through=(JINAN, JINAN))
    with pytest.raises(KeyExhausted, match="it has 0"):
        combine(beijing, "x2", 8, through=(JINAN, (("mozi",),)))
    assert [row.spent_bits for row in beijing.list_blocks()] == [1056, 1056, 0]


def test_a_combination_of_combinations(pair: Pair) -> None:
    """Three satellites by two steps; what one combination gave is a source of the next."""
    beijing, xian = pair
    give(beijing, xian, "by-third", key_bytes(400, "third"), paths=(("third",),))
    first = combine(beijing)
    accept_record(xian, first.data, now_utc=NOW)
    second = combine(beijing, "x2", 80, through=(first.paths, (("third",),)))
    accept_record(xian, second.data, now_utc=NOW)
    assert second.paths == (("jinan-1",), ("micius",), ("third",))
    assert bytes_of(beijing, "xor:beijing:x2") == bytes_of(xian, "xor:beijing:x2")


class TestChoice:
    def test_the_ways_with_the_most_key_that_no_one_node_knows_all_of(self) -> None:
        one, two = memory_store("a")[0], memory_store("b")[0]
        ways: dict[Paths, int] = {
            (("s",),): 400, (("m", "s"),): 380, (("t",),): 300, (("u",),): 200, (("v",),): 60,
        }  # fmt: skip
        for paths, size in ways.items():
            give(one, two, "+".join(map("-".join, paths)), key_bytes(size, str(paths)), paths=paths)
        assert choose_sources(one, "b", 2) == ((("s",),), (("t",),))
        assert choose_sources(one, "b", 3) == ((("s",),), (("t",),), (("u",),))
        with pytest.raises(KeyExhausted, match="fewer than 4 nodes"):
            choose_sources(one, "b", 4)
        through = choose_sources(one, "b", 3)
        largest = largest_combination_bits(one, "b", through)
        assert largest == 4 * 200 - 256
        with pytest.raises(KeyExhausted):
            combine_pairs(one, "b", largest + 8, through=through, combination_id="x", now_utc=NOW)
        combine_pairs(one, "b", largest, through=through, combination_id="x", now_utc=NOW)

    def test_a_way_that_two_satellites_share_a_node_of_is_no_second_way(self) -> None:
        one, two = memory_store("a")[0], memory_store("b")[0]
        give(one, two, "first", key_bytes(400, "1"), paths=(("m", "s"),))
        give(one, two, "second", key_bytes(400, "2"), paths=(("m", "t"),))
        with pytest.raises(KeyExhausted):
            choose_sources(one, "b", 2)
        give(one, two, "third", key_bytes(100, "3"), paths=())
        assert () in choose_sources(one, "b", 2)
