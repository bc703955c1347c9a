"""Messages in the store: key debited with the seal, plain text gone, opened once, books to the bit."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from keys_cases import NOW, key_bytes
from sqlalchemy import text

from satqkd.errors import ConfigError, DataFormatError, KeyAlreadyUsed, KeyNotFound, KeyStoreError
from satqkd.keys import KeyStore
from satqkd.keys.traffic import Draft, Parcel, outgoing, queue, receive, seal_waiting, split_id
from satqkd.keys.traffic.outbox import receipt
from satqkd.keys.traffic.parcels import find, piece

Stores = dict[str, KeyStore]
A, B = "beijing", "stellenbosch"
KEY = key_bytes(4000, "pair")


@pytest.fixture
def stores(make_store: Callable[[str], KeyStore]) -> Stores:
    """Two stations with the same pair key; beijing allocates the first half."""
    made = {name: make_store(name) for name in (A, B)}
    for name, peer in ((A, B), (B, A)):
        made[name].add_block(
            "pair", peer=peer, kind="pair", origin="hardware", key=KEY, state="confirmed", now_utc=NOW
        )
    return made


def draft(content: bytes, **changes: object) -> Draft:
    fields: dict[str, object] = {
        "receiver": B, "name": "n", "is_text": False, "urgent": False, "policy": "wait", "demo": False,
        "content": content,
    }  # fmt: skip
    return Draft(**(fields | changes))  # type: ignore[arg-type]


def sealed(stores: Stores, content: bytes = b"hello") -> bytes:
    queue(stores[A], draft(content), now_utc=NOW)
    seal_waiting(stores[A], now_utc=NOW)
    number = len(outgoing(stores[A]))
    with stores[A].snapshot() as connection:
        row = find(connection, Parcel("message", A, B, number))
        assert row is not None
        return piece(connection, row, 0, row.size_bytes)


def opened(stores: Stores, data: bytes, number: int = 1) -> object:
    with stores[B].transaction() as connection:
        return receive(connection, Parcel("message", A, B, number), data, NOW, demo=False)


def test_a_sealed_message_is_pad_tag_and_a_token_that_does_not_travel(stores: Stores) -> None:
    """Recomputed here with nothing but MessagePack, xor and Poly1305."""
    data = sealed(stores)
    assert data[:6] == b"SQMSG1"
    length = int.from_bytes(data[6:10], "little")
    sender, receiver, ranges, plaintext_bytes, number = msgspec.msgpack.decode(data[10 : 10 + length])
    assert (sender, receiver, number) == (A, B, 1)
    assert ranges == [["pair", 0, 8 * plaintext_bytes + 384]]
    pad = KEY[48 : 48 + plaintext_bytes]
    plaintext = bytes(a ^ b for a, b in zip(data[10 + length : -16], pad, strict=True))
    assert msgspec.msgpack.decode(plaintext) == ["n", False, False, b"hello"]
    assert data[-16:] == Poly1305.generate_tag(KEY[:32], data[:-16])
    assert KEY[32:48] not in data
    opened(stores, data)
    with stores[B].snapshot() as connection:
        row = find(connection, Parcel("receipt", B, A, 1))
        assert row is not None and piece(connection, row, 0, 100) == KEY[32:48]


def test_a_message_is_opened_once_and_both_ledgers_agree(stores: Stores) -> None:
    data = sealed(stores)
    opened(stores, data)
    with pytest.raises(KeyAlreadyUsed):
        opened(stores, data)
    spent = [store.status()[0].spent_bits for store in stores.values()]
    assert spent[0] == spent[1] == outgoing(stores[A])[0].key_bits
    assert all(store.check().balanced for store in stores.values())


def test_a_wrong_tag_takes_no_key_and_leaves_no_message(stores: Stores) -> None:
    data = sealed(stores)
    for place in (8, 30, len(data) - 20, len(data) - 1):
        forged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with contextlib.suppress(DataFormatError, KeyStoreError):
            assert opened(stores, forged) is None
    assert stores[B].status()[0].spent_bits == 0
    assert opened(stores, data)


def test_a_message_under_another_name_is_refused(stores: Stores) -> None:
    data = sealed(stores)
    with pytest.raises(DataFormatError, match="number 2"):
        opened(stores, data, number=2)
    assert opened(stores, data)


def test_a_receipt_delivers_once_and_a_wrong_one_never(stores: Stores) -> None:
    sealed(stores)
    name = Parcel("receipt", B, A, 1)
    with stores[A].transaction() as connection:
        assert receipt(connection, A, name, bytes(16), NOW) is False
        assert receipt(connection, A, Parcel("receipt", "other", A, 1), KEY[32:48], NOW) is None
        assert receipt(connection, A, name, KEY[32:48], NOW) is True
        assert receipt(connection, A, name, KEY[32:48], NOW) is None
        assert find(connection, Parcel("message", A, B, 1)) is None


def test_a_failed_seal_leaves_plain_text_and_key_as_they_were(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(stores[A], draft(b"hello"), now_utc=NOW)

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("satqkd.keys.traffic.outbox.parcels.add", full)
    with pytest.raises(OSError, match="disk full"):
        seal_waiting(stores[A], now_utc=NOW)
    assert outgoing(stores[A])[0].state == "waiting"
    assert stores[A].status()[0].spent_bits == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox SET state = 'waiting', content = x'00', token = NULL WHERE number = 1",
        "UPDATE outbox SET content = x'00' WHERE number = 1",
        "UPDATE outbox SET token = NULL WHERE number = 1",
        "UPDATE outbox SET receiver = 'mallory' WHERE number = 1",
        "DELETE FROM outbox",
        "DELETE FROM inbox",
        "UPDATE inbox SET token = x'00'",
        "INSERT INTO inbox SELECT NULL, sender, number, name, is_text, urgent, size_bytes, key_bits, origin, "
        "content, token, received_utc FROM inbox",
    ],
)
def test_the_file_itself_refuses_to_go_back(stores: Stores, statement: str) -> None:
    opened(stores, sealed(stores))
    store = stores[A if "outbox" in statement else B]
    with pytest.raises(KeyStoreError), store.transaction() as connection:
        connection.execute(text(statement))


def test_books_notice_key_that_no_message_tells_of(stores: Stores) -> None:
    sealed(stores)
    assert stores[A].check().balanced
    stores[A].spend(B, "pair", 80, purpose="traffic", reference=f"to {B} 1")
    assert any("traffic" in fault for fault in stores[A].check().faults)


def test_drafts_and_ids_are_checked(stores: Stores) -> None:
    for bad in ({"receiver": A}, {"name": "a/b"}, {"name": "x" * 256}):
        with pytest.raises(ConfigError):
            queue(stores[A], draft(b"x", **bad), now_utc=NOW)
    assert split_id("beijing:12") == (A, 12)
    for text_ in ("beijing", "12", "beijing:x", ":1"):
        with pytest.raises(ConfigError):
            split_id(text_)


def test_a_message_of_key_that_is_not_here_is_told_from_a_forged_one(stores: Stores) -> None:
    data = sealed(stores)
    assert b"\xa4pair" in data
    with pytest.raises(KeyNotFound):
        opened(stores, data.replace(b"\xa4pair", b"\xa4none"))
    assert opened(stores, data)
