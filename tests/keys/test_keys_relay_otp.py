"""End-to-end key by relay, files under one-time pad: two stations and a satellite, each its own store."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keys_cases import NOW, add_link, key_bytes

from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    OriginRefused,
)
from satqkd.keys import (
    KeyRange,
    KeyStore,
    RelayRecord,
    accept_relay,
    decrypt,
    encrypt,
    find_relay,
    largest_plaintext_bytes,
    largest_relay_bits,
    make_relay,
    plaintext_bytes_of,
)
from satqkd.keys.ledger.onetime_mac import ATTEMPTS, tag
from satqkd.keys.model import MAXIMUM_RANGES
from satqkd.keys.network.relay_record import read_record
from satqkd.keys.otp.stream import ranges_of
from satqkd.keys.secret import Secret

Network = dict[str, KeyStore]
KEY_A, KEY_B = key_bytes(4096, "beijing"), key_bytes(4096, "stellenbosch")
BITS = 16_000


def relay(network: Network, relay_id: str = "r1", bits: int = BITS, *, demo: bool = False) -> RelayRecord:
    return make_relay(
        network["sat"], "beijing", "stellenbosch", bits, relay_id=relay_id, now_utc=NOW, demo=demo
    )


def relay_and_accept(network: Network, relay_id: str = "r1", bits: int = BITS) -> None:
    record = relay(network, relay_id, bits)
    for station in ("beijing", "stellenbosch"):
        accept_relay(network[station], record.data, now_utc=NOW)


def test_tag_is_poly1305_of_rfc_8439() -> None:
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    expected = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")
    assert tag(Secret(key), b"Cryptographic Forum Research Group") == expected


# --- relay


def test_both_stations_hold_the_first_ones_key(network: Network) -> None:
    record = relay(network)
    accepted = [accept_relay(network[name], record.data, now_utc=NOW) for name in ("beijing", "stellenbosch")]
    assert (accepted[0].peer, accepted[1].peer) == ("stellenbosch", "beijing")
    assert {(a.bits, a.origin, a.repeated) for a in accepted} == {(BITS, "hardware", False)}
    block_id = accepted[0].block_id
    assert block_id == accepted[1].block_id
    shared = [network[name].peek_for_check(block_id) for name in ("beijing", "stellenbosch")]
    assert bytes(shared[0].expose()) == KEY_A[: BITS // 8]
    assert shared[0] == shared[1]
    assert (record.spent_a_bits, record.spent_b_bits) == (BITS + 256, BITS + 256)
    for store in network.values():
        rows = {row.link: row for row in store.status()}
        for link in (name for name in rows if name.endswith("link")):
            assert rows[link].spent_bits == BITS + 256
        assert store.check().balanced, store.check().faults


def test_record_is_the_xor_and_two_one_time_tags(network: Network) -> None:
    """Recomputed here with nothing but MessagePack, xor and Poly1305."""
    kind, version, body, tag_a, tag_b = msgspec.msgpack.decode(relay(network).data)
    satellite, relay_id, sequence, origin, end_a, end_b, combined = msgspec.msgpack.decode(body)
    n = BITS // 8
    assert (kind, version, satellite, relay_id, sequence, origin) == ("relay", 2, "sat", "r1", 1, "hardware")
    assert end_a == ["beijing", "link", [], [["pass:beijing", 0, BITS]], [["pass:beijing", BITS, 256]]]
    assert end_b[0] == "stellenbosch"
    assert combined == bytes(a ^ b for a, b in zip(KEY_A[:n], KEY_B[:n], strict=True))
    assert tag_a == Poly1305.generate_tag(KEY_A[n : n + 32], body)
    assert tag_b == Poly1305.generate_tag(KEY_B[n : n + 32], body)


def test_the_same_relay_again_is_the_same_record(network: Network) -> None:
    first = relay(network)
    left = network["sat"].available_bits("beijing", "link")
    assert relay(network) == first
    assert network["sat"].available_bits("beijing", "link") == left
    with pytest.raises(KeyAlreadyUsed, match="another id"):
        relay(network, bits=BITS - 8)
    second = read_record(relay(network, "r2", 800).data)[0]
    assert second.sequence == 2
    assert second.end_a.key_ranges[0].offset_bits == BITS + 256


def test_relays_never_share_a_range(network: Network) -> None:
    ranges = [
        piece
        for number in range(5)
        for end in (read_record(relay(network, f"r{number}", 800).data)[0].end_a,)
        for piece in end.ranges
    ]
    bits = [i for piece in ranges for i in range(piece.offset_bits, piece.end_bits)]
    assert len(bits) == len(set(bits)) == 5 * (800 + 256)


def test_replayed_record_changes_nothing(network: Network) -> None:
    record, store = relay(network), network["beijing"]
    accept_relay(store, record.data, now_utc=NOW)
    before = store.list_blocks()
    assert accept_relay(store, record.data, now_utc=NOW).repeated
    assert store.list_blocks() == before


def test_a_failed_relay_takes_no_key(network: Network) -> None:
    before = network["sat"].status()
    with pytest.raises(KeyExhausted):
        relay(network, bits=8 * 4096)
    with pytest.raises(KeyNotFound):
        make_relay(network["sat"], "beijing", "nowhere", 80, relay_id="r", now_utc=NOW)
    with pytest.raises(ConfigError):
        make_relay(network["sat"], "beijing", "beijing", 80, relay_id="r", now_utc=NOW)
    with pytest.raises(ConfigError):
        relay(network, bits=81)
    assert network["sat"].status() == before
    assert network["sat"].check().balanced


def reseal(record: bytes, **changes: object) -> bytes:
    """The record with some fields of its body changed and the old tags kept."""
    body, envelope = read_record(record)
    changed = msgspec.structs.replace(body, **changes)
    return msgspec.msgpack.encode(msgspec.structs.replace(envelope, body=msgspec.msgpack.encode(changed)))


def flip(data: bytes, bit: int = 0) -> bytes:
    """One bit of some bytes changed."""
    return bytes([data[0] ^ (1 << bit)]) + data[1:]


def tampered_records(record: bytes) -> dict[str, bytes]:
    body, envelope = read_record(record)
    n = body.end_b.key_ranges[0].length_bits
    moved = msgspec.structs.replace(body.end_b, key_ranges=(KeyRange("pass:stellenbosch", n + 256, n),))
    other = msgspec.structs.replace(body.end_a, key_ranges=(KeyRange("pass:beijing", n + 256, n),))
    tags = msgspec.structs.replace(envelope, tag_a=flip(envelope.tag_a), tag_b=flip(envelope.tag_b))
    return {
        "combined": reseal(record, combined=flip(body.combined)),
        "relay id": reseal(record, relay_id="r9"),
        "sequence": reseal(record, sequence=7),
        "own range": reseal(record, end_b=moved),
        "other end's range": reseal(record, end_a=other),
        "other end": reseal(record, end_a=msgspec.structs.replace(body.end_a, station="mallory")),
        "tags": msgspec.msgpack.encode(tags),
    }


@pytest.mark.parametrize(
    "change",
    [
        "combined",
        "relay id",
        "sequence",
        "own range",
        "other end's range",
        "other end",
        "tags",
    ],
)
def test_a_changed_record_is_refused_and_the_true_one_still_works(network: Network, change: str) -> None:
    record, store = relay(network, bits=8000), network["stellenbosch"]
    before = store.status()
    with pytest.raises(AuthenticationError) as refused:
        accept_relay(store, tampered_records(record.data)[change], now_utc=NOW)
    assert refused.value.exit_code == 3
    assert store.status() == before
    assert accept_relay(store, record.data, now_utc=NOW).bits == 8000
    assert store.check().balanced


@pytest.fixture
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> int:
    """So few wrong tags use a key up that a test can make them."""
    monkeypatch.setattr("satqkd.keys.ledger.onetime_mac.ATTEMPTS", 6)
    return 6


def test_some_bad_copies_kill_neither_record_nor_bound(network: Network) -> None:
    """Eight of them did when eight were allowed; 2^16 leave 2^-63 for the longest record."""
    assert ATTEMPTS * 8 * (2**28 // 16) / 2**106 == 2**-63
    record, store = relay(network, bits=800), network["beijing"]
    for _ in range(20):
        with pytest.raises(AuthenticationError):
            accept_relay(store, tampered_records(record.data)["combined"], now_utc=NOW)
    assert accept_relay(store, record.data, now_utc=NOW).bits == 800
    noted = [entry["failures"] for entry in store.audit_entries() if entry["event"] == "wrong tag"]
    assert noted == [1, 2, 4, 8, 16]


def test_wrong_tags_are_counted_and_the_key_ends_as_spent(network: Network, few_attempts: int) -> None:
    record, store = relay(network), network["beijing"]
    forged = tampered_records(record.data)["combined"]
    for _ in range(few_attempts):
        with pytest.raises(AuthenticationError):
            accept_relay(store, forged, now_utc=NOW)
    for data in (forged, record.data):
        with pytest.raises(KeyAlreadyUsed):
            accept_relay(store, data, now_utc=NOW)
    assert store.status()[0].spent_bits == 256
    assert store.check().balanced
    assert accept_relay(network["stellenbosch"], record.data, now_utc=NOW).bits == BITS


def test_another_record_of_an_accepted_relay_is_refused(network: Network) -> None:
    record, store = relay(network), network["beijing"]
    accept_relay(store, record.data, now_utc=NOW)
    with pytest.raises(KeyAlreadyUsed):
        accept_relay(store, tampered_records(record.data)["combined"], now_utc=NOW)
    with pytest.raises(KeyAlreadyUsed):
        accept_relay(store, tampered_records(record.data)["relay id"], now_utc=NOW)


def test_the_other_ends_tag_makes_no_other_record(network: Network) -> None:
    """Nobody checks it here, so a copy that was changed there must not shut out the true one."""
    record, store = relay(network), network["beijing"]
    _, envelope = read_record(record.data)
    changed = msgspec.structs.replace(envelope, tag_b=flip(envelope.tag_b))
    assert not accept_relay(store, msgspec.msgpack.encode(changed), now_utc=NOW).repeated
    assert accept_relay(store, record.data, now_utc=NOW).repeated
    assert accept_relay(network["stellenbosch"], record.data, now_utc=NOW).bits == BITS


def test_the_largest_relay_leaves_just_the_tags_key(network: Network) -> None:
    satellite = network["sat"]
    satellite.spend("beijing", "link", 800, purpose="test", reference="")
    largest = largest_relay_bits(satellite, "beijing", "stellenbosch")
    assert largest == 8 * 4096 - 800 - 256
    with pytest.raises(KeyExhausted):
        relay(network, bits=largest + 8)
    assert relay(network, bits=largest).bits == largest
    for other in ("stellenbosch", "nowhere"):
        assert largest_relay_bits(satellite, "beijing", other) == 0


def test_a_relay_is_found_by_its_id(network: Network) -> None:
    assert find_relay(network["sat"], "r1") is None
    record = relay(network)
    assert find_relay(network["sat"], "r1") == record
    accept_relay(network["beijing"], record.data, now_utc=NOW)
    assert find_relay(network["beijing"], "r1") is None


def test_too_many_ranges_are_refused_before_the_store_is_asked(network: Network) -> None:
    record = relay(network, bits=8000).data
    many = tuple(KeyRange("pass:beijing", 8 * i, 8) for i in range(MAXIMUM_RANGES + 1))
    end_a = msgspec.structs.replace(read_record(record)[0].end_a, key_ranges=many)
    named = reseal(record, end_a=end_a, combined=bytes(len(many)))
    with pytest.raises(DataFormatError, match="4096"):
        accept_relay(network["beijing"], named, now_utc=NOW)
    n = MAXIMUM_RANGES + 1 - 32
    prefix = with_length(("otp", "beijing", "stellenbosch", bytes(16), 1 << 20))
    data = b"SQOTP2" + prefix + with_length((0, True, n, many)) + bytes(n + 16)
    with pytest.raises(DataFormatError, match="4096"):
        decrypt(network["stellenbosch"], data)


def test_no_use_takes_more_ranges_than_a_reader_allows(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        relay_and_accept(network, f"r{number}", 1600)
    for module in ("ledger.ledger", "otp.room"):
        monkeypatch.setattr(f"satqkd.keys.{module}.MAXIMUM_RANGES", 2)
    east = network["beijing"]
    assert largest_plaintext_bytes(east, "stellenbosch") == 200 - 32
    with pytest.raises(KeyExhausted):
        encrypt(east, "stellenbosch", bytes(200 - 32 + 1))
    assert decrypt(network["stellenbosch"], encrypt(east, "stellenbosch", bytes(200 - 32))) == bytes(200 - 32)


def test_a_record_for_others_and_a_cut_one(network: Network, make_store: Callable[[str], KeyStore]) -> None:
    record = relay(network).data
    for store in (make_store("third"), network["sat"]):
        with pytest.raises(KeyNotFound, match="is for 'beijing' and 'stellenbosch'"):
            accept_relay(store, record, now_utc=NOW)
    for length in (0, 1, 20, len(record) // 2, len(record) - 1):
        with pytest.raises(DataFormatError):
            accept_relay(network["beijing"], record[:length], now_utc=NOW)
    with pytest.raises(DataFormatError):
        accept_relay(network["beijing"], reseal(record, combined=b"short"), now_utc=NOW)


def test_a_relay_of_the_twins_key_needs_demo_at_every_hand(network: Network) -> None:
    add_link(network, "beijing", "twin-pass", key_bytes(4096, "twin"), origin="twin")
    add_link(network, "stellenbosch", "second", key_bytes(4096, "second"), origin="hardware")
    with pytest.raises(OriginRefused):
        relay(network, bits=8 * 5000)
    record = relay(network, "mixed", 8 * 5000, demo=True)
    assert record.origin == "twin"
    for station in ("beijing", "stellenbosch"):
        with pytest.raises(OriginRefused, match="--demo"):
            accept_relay(network[station], record.data, now_utc=NOW)
        assert accept_relay(network[station], record.data, now_utc=NOW, demo=True).origin == "twin"
        assert network[station].list_blocks()[-1].origin == "twin"
    with pytest.raises(OriginRefused):
        encrypt(network["beijing"], "stellenbosch", b"x")
    data = encrypt(network["beijing"], "stellenbosch", b"x", demo=True)
    with pytest.raises(OriginRefused):
        decrypt(network["stellenbosch"], data)
    assert decrypt(network["stellenbosch"], data, demo=True) == b"x"


def test_a_crash_while_relaying_leaves_all_or_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = network["sat"].status()
    with monkeypatch.context() as patch:
        patch.setattr("satqkd.keys.network.relay._seal", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            relay(network)
    assert network["sat"].status() == before
    with monkeypatch.context() as patch:
        patch.setattr(network["sat"]._database, "checkpoint", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            relay(network)
    record = relay(network)
    assert network["sat"].status()[0].spent_bits == BITS + 256
    assert accept_relay(network["beijing"], record.data, now_utc=NOW).bits == BITS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(network: Network, data: bytes) -> None:
    store = network["beijing"]
    for attempt in (data, b"SQOTP2" + data):
        with pytest.raises(Error):
            accept_relay(store, attempt, now_utc=NOW)
        with pytest.raises(Error):
            decrypt(store, attempt)


# --- one-time pad


def test_files_go_both_ways_and_cost_their_length(network: Network) -> None:
    relay_and_accept(network)
    east, south = network["beijing"], network["stellenbosch"]
    there, back = key_bytes(900, "there"), b""
    first, second = encrypt(east, "stellenbosch", there), encrypt(south, "beijing", back)
    assert there[:20] not in first
    assert decrypt(south, first) == there
    assert decrypt(east, second) == back
    for store, peer in ((east, "stellenbosch"), (south, "beijing")):
        (row,) = (row for row in store.status() if row.link == f"{peer} pair")
        assert row.spent_bits == 8 * 900 + 256 + 256
        assert row.live_bits == BITS - row.spent_bits
        assert store.check().balanced


def test_file_is_xor_with_the_named_key_and_a_tag(network: Network) -> None:
    """Recomputed here with nothing but MessagePack, xor and Poly1305; beijing sorts first: lower half."""
    relay_and_accept(network)
    plaintext = b"a one-time pad is used one time"
    data = encrypt(network["beijing"], "stellenbosch", plaintext)
    assert data[:6] == b"SQOTP2"
    header, behind = taken_apart(data[6:])
    assert header[:3] + header[4:] == ["otp", "beijing", "stellenbosch", 1 << 20] and len(header[3]) == 16
    head, rest = taken_apart(behind)
    ranges = [["relay:sat:r1", 0, 256 + 8 * len(plaintext)]]
    assert head == [0, True, len(plaintext), ranges]
    pad = KEY_A[32 : 32 + len(plaintext)]
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, pad, strict=True))
    assert rest == ciphertext + Poly1305.generate_tag(KEY_A[:32], data[:-16])
    assert data == b"SQOTP2" + with_length(header) + with_length(head) + rest
    other_way = encrypt(network["stellenbosch"], "beijing", b"x")
    assert ranges_of(other_way)[0].offset_bits == BITS // 2


def with_length(value: object) -> bytes:
    encoded = msgspec.msgpack.encode(value)
    return len(encoded).to_bytes(4, "little") + encoded


def taken_apart(data: bytes) -> tuple[list[Any], bytes]:
    """MessagePack behind its length, and what comes after it."""
    until = 4 + int.from_bytes(data[:4], "little")
    return msgspec.msgpack.decode(data[4:until]), data[until:]


@pytest.mark.parametrize("bits", [512, 520, 1600, 1608, BITS])
def test_what_a_relay_lets_either_end_encrypt(network: Network, bits: int) -> None:
    relay_and_accept(network, bits=bits)
    pairs = (("beijing", "stellenbosch"), ("stellenbosch", "beijing"))
    assert plaintext_bytes_of(bits) == min(largest_plaintext_bytes(network[a], b) for a, b in pairs)
    data = encrypt(network["beijing"], "stellenbosch", bytes(plaintext_bytes_of(bits)))
    assert decrypt(network["stellenbosch"], data) == bytes(plaintext_bytes_of(bits))
    assert plaintext_bytes_of(256) == plaintext_bytes_of(0) == 0


def test_a_file_is_decrypted_once(network: Network) -> None:
    relay_and_accept(network)
    data = encrypt(network["beijing"], "stellenbosch", b"once")
    assert decrypt(network["stellenbosch"], data) == b"once"
    with pytest.raises(KeyAlreadyUsed) as refused:
        decrypt(network["stellenbosch"], data)
    assert refused.value.exit_code == 3


def test_files_may_span_relays_and_run_out(network: Network) -> None:
    for number in range(3):
        relay_and_accept(network, f"r{number}", 1600)
    east, south = network["beijing"], network["stellenbosch"]
    largest = largest_plaintext_bytes(east, "stellenbosch")
    assert largest == 3 * 100 - 32
    with pytest.raises(KeyExhausted):
        encrypt(east, "stellenbosch", bytes(largest + 1))
    small, large = b"7 bytes", key_bytes(largest - 32 - 7, "large")
    files = [encrypt(east, "stellenbosch", text) for text in (small, large)]
    assert [decrypt(south, data) for data in reversed(files)] == [large, small]
    assert largest_plaintext_bytes(east, "stellenbosch") == 0
    with pytest.raises(KeyExhausted):
        encrypt(east, "stellenbosch", b"")


def test_every_changed_byte_is_noticed_and_the_true_file_still_opens(network: Network) -> None:
    relay_and_accept(network)
    store = network["stellenbosch"]
    data = encrypt(network["beijing"], "stellenbosch", b"attack at dawn")
    before = store.status()
    for position in range(len(data)):
        changed = data[:position] + flip(data[position:])
        with pytest.raises(Error):
            decrypt(store, changed)
    assert store.status() == before
    with pytest.raises(AuthenticationError):
        decrypt(store, data[:-17] + flip(data[-17:]))
    assert decrypt(store, data) == b"attack at dawn"
    assert store.check().balanced


def test_a_forged_file_cannot_burn_the_pad(network: Network, few_attempts: int) -> None:
    relay_and_accept(network)
    store = network["stellenbosch"]
    true = encrypt(network["beijing"], "stellenbosch", bytes(500))
    forged = true[:-1] + flip(true[-1:])
    for _ in range(few_attempts):
        with pytest.raises(AuthenticationError):
            decrypt(store, forged)
    with pytest.raises(KeyAlreadyUsed):
        decrypt(store, true)
    (row,) = (row for row in store.status() if row.link == "beijing pair")
    assert row.spent_bits == 256
    again = encrypt(network["beijing"], "stellenbosch", b"again")
    assert decrypt(store, again) == b"again"


def test_cut_files_other_receivers_and_other_files(
    network: Network, make_store: Callable[[str], KeyStore]
) -> None:
    relay_and_accept(network)
    data = encrypt(network["beijing"], "stellenbosch", bytes(40))
    store = network["stellenbosch"]
    for length in range(len(data)):
        with pytest.raises(DataFormatError):
            decrypt(store, data[:length])
    with pytest.raises(DataFormatError):
        decrypt(store, data + b"x")
    with pytest.raises(DataFormatError, match="SQOTP2"):
        decrypt(store, b"\x89PNG" + data)
    for other in (make_store("third"), network["beijing"]):
        with pytest.raises(KeyNotFound, match="for 'stellenbosch'"):
            decrypt(other, data)
    assert decrypt(store, data) == bytes(40)


def test_encrypting_for_nobody(network: Network) -> None:
    with pytest.raises(KeyNotFound):
        encrypt(network["beijing"], "stellenbosch", b"x")
    with pytest.raises(ConfigError):
        encrypt(network["beijing"], "Not A Name", b"x")


def test_key_is_used_before_any_ciphertext_exists(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    relay_and_accept(network)
    store = network["beijing"]
    with monkeypatch.context() as patch:
        patch.setattr("satqkd.keys.otp.chunks._seal", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encrypt(store, "stellenbosch", bytes(10))
    second = encrypt(store, "stellenbosch", bytes(10))
    assert ranges_of(second) == (KeyRange("relay:sat:r1", 336, 336),)
    assert decrypt(network["stellenbosch"], second) == bytes(10)
