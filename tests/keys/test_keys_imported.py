"""Key of another system: the same bits at both ends or none, whatever is lost, killed or said twice."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from keys_cases import NOW, changed_bits, key_bytes

from memory_store import MemoryDatabase, memory_store
from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    Error,
    KeyAlreadyUsed,
    KeyNotFound,
    KeyStoreError,
)
from satqkd.keys import KeyStore, decrypt, encrypt
from satqkd.keys.network.imported import ImportProgress, abandon_import, offer_import, take_message
from satqkd.keys.network.key_source import FileKeySource
from satqkd.keys.secret import Secret


class Fibre:
    """Another system between two nodes: what it draws at one end it gives once at the other."""

    def __init__(self, *, wrong: bool = False) -> None:
        self.made: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.wrong = wrong

    def draw(self, count: int, size_bits: int) -> tuple[tuple[str, ...], Secret]:
        ids = tuple(f"fibre-{len(self.made) + i}" for i in range(count))
        for each in ids:
            self.made[each] = key_bytes(size_bits // 8, each)
        return ids, Secret(b"".join(self.made[each] for each in ids))

    def fetch(self, key_ids: Sequence[str], size_bits: int) -> Secret:
        if set(key_ids) & set(self.fetched):
            raise KeyNotFound("given before")
        self.fetched += key_ids
        key = bytearray(b"".join(self.made[each] for each in key_ids))
        assert len(key) == len(key_ids) * size_bits // 8
        key[-1] ^= self.wrong
        return Secret(key)


class Pair:
    """Both ends and the system between them."""

    def __init__(self, *, wrong: bool = False) -> None:
        self.fibre = Fibre(wrong=wrong)
        self.stores: dict[str, KeyStore] = {}
        self.databases: dict[str, MemoryDatabase] = {}
        for name in ("ayla", "bela"):
            self.stores[name], self.databases[name] = memory_store(name)

    def offer(self, import_id: str = "i1", count: int = 10) -> ImportProgress:
        return offer_import(
            self.stores["ayla"], "bela", self.fibre, count=count, size_bits=256, import_id=import_id,
            origin="hardware", now_utc=NOW,
        )  # fmt: skip

    def take(self, name: str, message: bytes) -> ImportProgress:
        return take_message(self.stores[name], message, now_utc=NOW, source=self.fibre)

    def run(self, import_id: str = "i1") -> list[ImportProgress]:
        """All the way; gives what either end said after each message."""
        said, ends = [self.offer(import_id)], ["ayla", "bela"]
        while said[-1].message is not None:
            ends.reverse()
            said.append(self.take(ends[0], said[-1].message))
        return said

    def copies(self) -> tuple[bytes, bytes]:
        return self.databases["ayla"].copy(), self.databases["bela"].copy()

    def put_back(self, copies: tuple[bytes, bytes]) -> None:
        for database, copy in zip(self.databases.values(), copies, strict=True):
            database.put_back(copy)

    def states(self) -> dict[str, tuple[str | None, str | None]]:
        """Of the block that an end allocates: its state there, and at the end that follows."""
        rows = {
            name: {r.block_id: r.state for r in store.list_blocks()} for name, store in self.stores.items()
        }
        return {
            own: (rows[own].get(f"import:ayla:i1:{own}"), rows[other].get(f"import:ayla:i1:{own}"))
            for own, other in (("ayla", "bela"), ("bela", "ayla"))
        }

    def followed(self) -> None:
        """No end may give out key that the other would refuse."""
        for allocates, follows in self.states().values():
            assert allocates != "confirmed" or follows == "confirmed"


def test_both_ends_come_to_hold_the_same_bits_and_may_use_their_halves() -> None:
    pair = Pair()
    said = pair.run()
    assert [each.usable for each in said] == [False, False, False, True, True]
    assert {each.bits for each in said} == {2560 - 768}
    key = b"".join(pair.fibre.made.values())
    for name in ("ayla", "bela"):
        held = [bytes(s.peek_for_check(f"import:ayla:i1:{name}").expose()) for s in pair.stores.values()]
        assert held[0] == held[1] == (key[96:208] if name == "ayla" else key[208:])
    for store in pair.stores.values():
        assert store.check().balanced
        assert {(row.kind, row.origin, row.paths) for row in store.list_blocks()} == {
            ("pair", "hardware", ())
        }
    for one, two in (("ayla", "bela"), ("bela", "ayla")):
        data = encrypt(pair.stores[one], two, bytes(112 - 32))
        assert decrypt(pair.stores[two], data) == bytes(112 - 32)
        assert pair.stores[one].available_bits(two, "pair") == 0


def test_every_order_of_messages_kills_and_repeats() -> None:
    """All states that any sequence of deliveries reaches: each keeps the rule, and from each it ends well."""
    pair = Pair()
    pair.offer()
    seen: set[object] = set()
    todo = [(pair.copies(), frozenset[bytes](), ())]
    while todo:
        copies, said, fetched = todo.pop()
        pair.put_back(copies)
        pair.fibre.fetched = list(fetched)
        said |= {pair.offer().message or b""}
        place = (tuple(pair.states().items()), said)
        if place in seen:
            continue
        seen.add(place)
        pair.followed()
        for name in pair.stores:
            for message in said:
                pair.put_back(copies)
                pair.fibre.fetched = list(fetched)
                for database in pair.databases.values():
                    database.commits = []
                try:
                    reply = pair.take(name, message).message
                except KeyStoreError:
                    continue
                pair.followed()
                assert len(pair.databases[name].commits or []) <= 1
                after = pair.copies(), said | ({reply} if reply else frozenset()), tuple(pair.fibre.fetched)
                todo.append(after)  # the reply came out
                todo.append((after[0], said, after[2]))  # killed between commit and reply
        pair.put_back(copies)
        pair.fibre.fetched = list(fetched)
        assert pair.run()[-1].usable
        assert set(pair.states().values()) == {("confirmed", "confirmed")}
    assert len(seen) == 8


def test_a_message_said_again_is_the_same_and_fetches_nothing_twice() -> None:
    pair = Pair()
    assert [each.message for each in pair.run()] == [each.message for each in pair.run()]
    assert len(pair.fibre.made) == len(pair.fibre.fetched) == 10


def test_different_bits_are_never_confirmed() -> None:
    pair = Pair(wrong=True)
    answer = pair.take("bela", pair.offer().message or b"").message or b""
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="different bits"):
            pair.take("ayla", answer)
    assert set(pair.states().values()) == {("unconfirmed", "unconfirmed")}
    with pytest.raises(KeyStoreError):
        encrypt(pair.stores["ayla"], "bela", b"x")
    for store in pair.stores.values():
        for _ in range(2):
            abandon_import(store, "ayla", "i1", now_utc=NOW)
        assert store.check().balanced
        assert sum(row.live_bits for row in store.list_blocks()) == 0
    with pytest.raises(KeyStoreError, match="given up"):
        pair.take("ayla", answer)
    with pytest.raises(KeyStoreError, match="given up"):
        pair.offer()


def test_every_changed_bit_of_every_message_is_refused() -> None:
    pair = Pair()
    message, name, other = pair.offer(count=4).message or b"", "bela", "ayla"
    while message:
        before, fetched = pair.copies(), list(pair.fibre.fetched)
        for changed in changed_bits(message):
            pair.fibre.fetched = list(fetched)
            try:
                reply = pair.take(name, changed).message or b""
            except (Error, KeyError, AssertionError):  # the last two: of the toy that stands for a fibre
                continue
            assert not fetched and name == "bela"  # an offer, which has no tag: the answer shows it
            with pytest.raises(Error):
                pair.take(other, reply)
            pair.put_back(before)
        pair.put_back(before)
        pair.fibre.fetched = list(fetched)
        message, name, other = pair.take(name, message).message or b"", other, name
    assert set(pair.states().values()) == {("confirmed", "confirmed")}


def test_a_key_is_imported_once() -> None:
    pair = Pair()
    pair.run()
    pair.fibre.made.clear()
    with pytest.raises(KeyAlreadyUsed, match="imported before"):
        pair.offer("i2")
    changed = msgspec.msgpack.decode(pair.offer().message or b"")
    for position, value in ((4, "i2"), (7, changed[7][:9])):
        other = [*changed]
        other[position] = value
        with pytest.raises(KeyAlreadyUsed):
            pair.take("bela", msgspec.msgpack.encode(other))
    with pytest.raises(KeyAlreadyUsed, match="another id"):
        offer_import(
            pair.stores["ayla"], "cleo", pair.fibre, count=10, size_bits=256, import_id="i1",
            origin="hardware", now_utc=NOW,
        )  # fmt: skip


def test_a_message_for_the_other_end_or_out_of_turn() -> None:
    pair = Pair()
    said = [each.message or b"" for each in pair.run()]
    fresh = Pair()
    with pytest.raises(KeyNotFound, match="for 'bela'"):
        fresh.take("ayla", said[0])
    for message in said[1:4]:
        with pytest.raises(KeyNotFound, match="begin with its offer"):
            fresh.take("bela", message)
    fresh.offer()
    with pytest.raises(KeyStoreError, match="before"):
        fresh.take("ayla", said[3])
    with pytest.raises(KeyStoreError, match="for the other end"):
        fresh.take("ayla", said[2])
    with pytest.raises(ConfigError, match="name the source"):
        take_message(fresh.stores["bela"], said[0], now_utc=NOW)
    with pytest.raises(KeyStoreError, match="finished"):
        abandon_import(pair.stores["ayla"], "ayla", "i1", now_utc=NOW)


def test_too_little_to_compare_with_is_refused() -> None:
    pair = Pair()
    with pytest.raises(DataFormatError, match="784"):
        pair.offer(count=3)
    assert pair.stores["ayla"].list_blocks() == []
    assert pair.offer(count=4).bits == 256


def test_files_of_raw_key_by_their_name(tmp_path: Path) -> None:
    key = key_bytes(200, "file")
    here, there = tmp_path / "here" / "batch-7.bin", tmp_path / "there" / "batch-7.raw"
    for path in (here, there):
        path.parent.mkdir()
        path.write_bytes(key)
    source = FileKeySource(here)
    ids, drawn = source.draw(1, source.size_bits)
    assert (ids, bytes(drawn.expose())) == (("batch-7",), key)
    assert FileKeySource(there).fetch(ids, 1600) == drawn
    other = tmp_path / "there" / "batch-8.raw"
    other.write_bytes(key)
    with pytest.raises(KeyNotFound, match="batch-7"):
        FileKeySource(other).fetch(ids, 1600)
    there.write_bytes(key[:-1])
    with pytest.raises(DataFormatError, match="1592"):
        FileKeySource(there).fetch(ids, 1600)
    with pytest.raises(ConfigError, match="a file is one"):
        source.draw(2, 800)
    with pytest.raises(ConfigError, match="name of the file"):
        FileKeySource(tmp_path / "Not a Name.bin")
