"""Three nodes at work, and what must be true of their stores after any crash.

A satellite and two stations with supplies: they add and confirm blocks, draw, fetch, spend, relay, settle,
close and open. What a node gave its caller is written as a mark when the call returns, so that a trace
of the files holds both in order. `judge` opens what a crash left and compares it with the marks before it.
Key is made of block names, so that whoever sees some bytes knows where they lie.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from satqkd.errors import (
    Error,
    KeyAlreadyUsed,
    KeyExhausted,
    KeyNotFound,
    KeyStoreError,
    LocalProtocolError,
)
from satqkd.keys import KeyRange, KeyStore, accept_relay, make_relay
from satqkd.keys.at_rest.unlock import KeyFile
from satqkd.keys.sql.schema import BLOCKS, SPENDS
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyBatch, KeyRequest, NotEntitled

NOW = "2026-01-02T03:04:05Z"
NODES = ("graz", "wien", "sat")
RESERVED_BITS = 4096
PAIR_BYTES, LINK_BYTES = 1536, 1024
POOLS = 4
"""Pairs of applications at one node that may have a reservation at once."""
Mark = dict[str, Any]


def key_of(block_id: str, n_bytes: int) -> bytes:
    """Random-looking bytes of a name."""
    return random.Random(block_id).randbytes(n_bytes)


def other(node: str) -> str:
    """The station at the other end of a pair."""
    return "wien" if node == "graz" else "graz"


def open_store(folder: Path, node: str, *, new: bool = False) -> KeyStore:
    """A node's store: file, key file and use log in a folder each, as on three disks."""
    lock, uses = KeyFile(folder / node / "key" / "file"), folder / node / "uses" / "log"
    path = folder / node / "store" / "node.db"
    return (
        KeyStore.create(path, node, lock=lock, uses=uses)
        if new
        else KeyStore.open(path, lock=lock, uses=uses)
    )


def make_folders(folder: Path) -> None:
    """Where the nodes keep their files."""
    for node in NODES:
        for part in ("store", "key", "uses"):
            (folder / node / part).mkdir(parents=True)


class Known:
    """What the marks tell."""

    def __init__(self, marks: list[Mark]) -> None:
        self.keys: dict[str, bytes] = {}
        self.created: set[str] = set()
        self.added: set[tuple[str, str]] = set()
        self.confirmed: set[tuple[str, str]] = set()
        self.given: dict[str, list[KeyRange]] = {node: [] for node in NODES}
        self.drawn: dict[str, Mark] = {}
        """Keys by id: who drew it, for whom, its bytes."""
        self.asked: set[tuple[str, str]] = set()
        """Ids and slaves that somebody began to fetch."""
        self.fetched: dict[tuple[str, str], Mark] = {}
        self.spent: dict[str, Mark] = {}
        """Ranges that one end has named to the other."""
        self.relays: dict[str, bytes] = {}
        self.entitled: set[str] = set()
        self.discarded: set[str] = set()
        self.losses = 0
        """Kills, power cuts and failed calls: each may cost what was reserved."""
        for mark in marks:
            self.note(mark)

    def note(self, mark: Mark) -> None:
        """Learn one mark."""
        what, node = mark["what"], mark.get("node", "")
        if what == "key":
            self.keys[mark["block"]] = bytes.fromhex(mark["hex"])
        elif what == "created":
            self.created.add(node)
        elif what in ("added", "confirmed"):
            getattr(self, what).add((node, mark["block"]))
        elif what == "drawn":
            self.drawn |= {
                key_id: {**mark, "key": bytes.fromhex(key)}
                for key_id, key in zip(mark["ids"], mark["keys"], strict=True)
            }
        elif what == "asked":
            self.asked |= {(key_id, mark["slave"]) for key_id in mark["ids"]}
        elif what == "fetched":
            self.fetched |= {(key_id, mark["slave"]): mark for key_id in mark["ids"]}
        elif what == "spent":
            self.spent[mark["name"]] = mark
        elif what == "relay":
            self.relays[mark["name"]] = bytes.fromhex(mark["hex"])
        elif what == "entitled":
            self.entitled |= set(mark["ids"])
        elif what == "discarded":
            self.discarded.add(mark["block"])
        elif what in ("start", "failed"):
            self.losses += 1
        self.given.setdefault(node, []).extend(KeyRange(*piece) for piece in mark.get("given", ()))

    def place(self, key: bytes) -> KeyRange:
        """Where some bytes of pair key lie."""
        for block_id, whole in self.keys.items():
            found = whole.find(key)
            if found >= 0 and not block_id.startswith("link"):  # of which a relay makes pair key
                return KeyRange(block_id, 8 * found, 8 * len(key))
        raise AssertionError("these are bytes of no block: wrong key was given")


def read_marks(data: bytes) -> list[Mark]:
    """Marks as they were written; one that is cut short is none."""
    return [msgspec.json.decode(line) for line in data.split(b"\n")[:-1]]


class Town:
    """The nodes at work, from a seed. After a kill another one goes on with what the marks tell."""

    def __init__(self, folder: Path, seed: int) -> None:
        marks = folder / "marks"
        told = read_marks(marks.read_bytes()) if marks.exists() else []
        self.folder, self.known = folder, Known(told)
        self.rng = random.Random(f"{seed} after {len(told)}")  # no two lives draw the same local keys
        self._marks = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self.stores: dict[str, KeyStore] = {}
        self.supplies: dict[str, KeySupply] = {}

    def mark(self, what: str, **detail: object) -> None:
        """Say what is known to the world from now on."""
        line = msgspec.json.encode({"what": what, **detail})
        self.known.note(msgspec.json.decode(line))
        os.write(self._marks, line + b"\n")

    def start(self) -> None:
        """Make or open the stores."""
        self.mark("start")
        for node in NODES:
            if node in self.known.created:
                self.reopen(node)
            else:
                for file in sorted((self.folder / node).glob("*/*")):
                    file.unlink()
                self._opened(node, open_store(self.folder, node, new=True))
                self.mark("created", node=node)
        for block in list(self.known.keys):
            if not block.startswith("relay"):
                self._hold(block)
        for name in self.known.relays:
            self._accept_or_give_up(name)

    def reopen(self, node: str) -> None:
        """Open a store that is closed."""
        self._opened(node, open_store(self.folder, node))

    def _opened(self, node: str, store: KeyStore) -> None:
        self.stores[node] = store
        if node != "sat":
            self.supplies[node] = KeySupply(
                store, reserved_bits=RESERVED_BITS, randbytes=lambda n: self.rng.randbytes(n)
            )

    def close(self) -> None:
        """As at an orderly end."""
        for node, store in self.stores.items():
            if node in self.supplies:
                self.supplies[node].close(now_utc=NOW)
            store.close()

    def leave(self) -> None:
        """Close the file of marks."""
        os.close(self._marks)

    def work(self, steps: int, *, failing: bool = False) -> None:
        """So many things, by dice; what cannot be done is not. failing: whatever fails, they go on."""
        acts: list[Callable[[], None]] = [self.add_pair, self.add_link, *[self.draw] * 4, *[self.fetch] * 4]
        acts += [self.draw_for_two, self.draw_local, self.spend, self.spend_at, self.relay, self.accept]
        acts += [self.settle, self.settle, self.restart, self.spend_link]
        acts[:0] = [self.add_pair, self.add_link]
        for number in range(steps):
            act = acts[number] if number < 2 else self.rng.choice(acts)
            try:
                try:
                    act()
                except KeyExhausted:
                    self.rng.choice((self.add_pair, self.add_link))()
            except Error as error:
                if not failing:
                    raise
                self.mark("failed", error=f"{type(error).__name__}: {error}")
                self._open_again()

    def _open_again(self) -> None:
        for node, store in self.stores.items():
            try:
                store.status()
            except LocalProtocolError:
                with suppress(Error):
                    self.reopen(node)

    # --- what they do

    def station(self) -> str:
        """One of the two by dice."""
        return self.rng.choice(("graz", "wien"))

    def add_pair(self) -> None:
        self._add("pair", "graz", "wien", PAIR_BYTES)

    def add_link(self) -> None:
        for station in ("graz", "wien"):
            self._add("link", "sat", station, LINK_BYTES)

    def _add(self, kind: str, one: str, two: str, n_bytes: int) -> None:
        block = f"{kind}:{one}:{two}:{len(self.known.keys)}"
        key = key_of(block, n_bytes)
        self.mark("key", block=block, hex=key.hex())
        self._hold(block)

    def _hold(self, block: str) -> None:
        """Both ends store a block and confirm it; what a crash has left of that is done."""
        kind, one, two, _ = block.split(":")
        for node, peer in ((one, two), (two, one)):
            if (node, block) not in self.known.added:
                self._add_at(node, block, kind, peer)
                self.mark("added", node=node, block=block)
        for node in (one, two):
            if (node, block) not in self.known.confirmed:
                self.stores[node].confirm_block(block, now_utc=NOW)
                self.mark("confirmed", node=node, block=block)

    def _add_at(self, node: str, block: str, kind: str, peer: str) -> None:
        with suppress(KeyAlreadyUsed):
            self.stores[node].add_block(
                block,
                peer=peer,
                kind=kind,  # type: ignore[arg-type]
                origin="hardware",
                key=self.known.keys[block],
                allocator="sat" if kind == "link" else None,
                now_utc=NOW,
            )

    def draw(self) -> None:
        self._draw(self.station(), (self.rng.choice(("bob", "carol")),))

    def draw_for_two(self) -> None:
        node = self.station()
        ids = self._draw(node, ("bob", "dave"))
        words = {"peer": node, "master": "alice", "slaves": ("bob", "dave"), "now_utc": NOW}
        self.supplies[other(node)].entitle(ids, **words)  # type: ignore[arg-type]
        self.mark("entitled", ids=ids)

    def draw_local(self) -> None:
        self._draw(self.station(), ("erik",), local=True)

    def _draw(self, node: str, slaves: tuple[str, ...], *, local: bool = False) -> list[str]:
        peer = node if local else other(node)
        count, size = self.rng.randint(1, 4), self.rng.choice((64, 128, 256))
        request = KeyRequest(peer=peer, master="alice", slaves=slaves, count=count, size_bits=size)
        batch = self.supplies[node].draw(request, now_utc=NOW)
        keys = keys_in(batch)
        given = [] if local else [self.known.place(key) for key in keys]
        names = {"ids": batch.ids, "keys": [key.hex() for key in keys], "slaves": slaves}
        self.mark("drawn", node=node, peer=peer, given=given, **names)
        return list(batch.ids)

    def fetch(self) -> None:
        waiting = list(waiting_keys(self.known))
        if not waiting:
            return
        _, slave, about = self.rng.choice(waiting)
        alike = [
            each[0]
            for each in waiting
            if each[1] == slave
            and each[2]["node"] == about["node"]
            and len(each[2]["slaves"]) == len(about["slaves"])
            and each[2]["peer"] == about["peer"]
        ]
        ids = self.rng.sample(alike, min(len(alike), self.rng.randint(1, 3)))
        self.mark("asked", ids=ids, slave=slave)
        of_block = about["peer"] != about["node"] and len(about["slaves"]) == 1
        keys = fetch_keys(self.supplies[about["peer"]], about["node"], slave, ids)
        assert keys == [self.known.drawn[each]["key"] for each in ids], "another key than its master's"
        given = [self.known.place(key) for key in keys] if of_block else []
        self.mark("fetched", node=about["peer"], ids=ids, slave=slave, given=given)

    def spend(self) -> None:
        node, bits = self.station(), 8 * self.rng.randint(8, 60)
        spent = self.stores[node].spend(
            other(node), "pair", bits, purpose="encrypt", reference="", now_utc=NOW
        )
        self._spent(node, other(node), "pair", spent.ranges, bytes(spent.key.expose()))

    def spend_link(self) -> None:
        station, bits = self.station(), 8 * self.rng.randint(8, 60)
        spent = self.stores["sat"].spend(station, "link", bits, purpose="x", reference="", now_utc=NOW)
        self._spent("sat", station, "link", spent.ranges, bytes(spent.key.expose()))

    def _spent(self, node: str, peer: str, kind: str, ranges: tuple[KeyRange, ...], key: bytes) -> None:
        assert key == bytes_at(self.known, ranges), "wrong key was given"
        name = f"spent:{len(self.known.spent)}"
        self.mark("spent", node=node, peer=peer, kind=kind, name=name, ranges=ranges, given=ranges)

    def spend_at(self) -> None:
        waiting = [name for name in self.known.spent if (name, "peer") not in self.known.asked]
        if waiting:
            name = self.rng.choice(waiting)
            about = self.known.spent[name]
            ranges = [KeyRange(*piece) for piece in about["ranges"]]
            self.mark("asked", ids=[name], slave="peer")
            key = spend_named(self.stores[about["peer"]], about, ranges)
            assert key == bytes_at(self.known, ranges), "another key than its master's"
            self.mark("fetched", node=about["peer"], ids=[name], slave="peer", given=ranges)

    def relay(self) -> None:
        name = f"r{len(self.known.relays)}"
        record = make_relay(self.stores["sat"], "graz", "wien", 8 * 120, relay_id=name, now_utc=NOW)
        self.mark("relay", node="sat", name=name, hex=record.data.hex())

    def accept(self) -> None:
        alive = [name for name in self.known.relays if f"relay:sat:{name}" not in self.known.discarded]
        if alive:
            accept_all(self, self.rng.choice(alive))

    def _accept_or_give_up(self, name: str) -> None:
        """After a kill the key of a record may be lost at one end: then no end uses the block."""
        block = f"relay:sat:{name}"
        try:
            if block not in self.known.discarded:
                accept_all(self, name)
        except KeyAlreadyUsed:
            self.mark("discarded", block=block)
            for node in ("graz", "wien"):
                with suppress(KeyNotFound):
                    self.stores[node].discard_block(block, now_utc=NOW)

    def settle(self) -> None:
        self.supplies[self.station()].settle(now_utc=NOW)

    def restart(self) -> None:
        node = self.rng.choice(NODES)
        if node in self.supplies:
            self.supplies[node].close(now_utc=NOW)
        self.stores[node].close()
        self.reopen(node)


def accept_all(town: Town, name: str) -> None:
    """Both stations take a relay's record, and hold the same key from then on."""
    block, ends = f"relay:sat:{name}", ("graz", "wien")
    for node in ends:
        accept_relay(town.stores[node], town.known.relays[name], now_utc=NOW)
        if block not in town.known.keys:
            key = bytes(town.stores[node].peek_for_check(block).expose())
            town.mark("key", block=block, hex=key.hex())
        town.mark("added", node=node, block=block)
        town.mark("confirmed", node=node, block=block)


def keys_in(*batches: KeyBatch) -> list[bytes]:
    """The keys one by one."""
    found = []
    for batch in batches:
        size, whole = batch.size_bits // 8, bytes(batch.keys.expose())
        found += [whole[i : i + size] for i in range(0, len(whole), size)]
    return found


def fetch_keys(supply: KeySupply, master_node: str, slave: str, ids: list[str]) -> list[bytes]:
    """What a slave gets."""
    return keys_in(*supply.fetch(master_node, master="alice", slave=slave, key_ids=ids, now_utc=NOW))


def spend_named(store: KeyStore, about: Mark, ranges: list[KeyRange]) -> bytes:
    """What the other end gets for ranges that it was told."""
    spent = store.spend_at(about["node"], about["kind"], ranges, purpose="decrypt", reference="", now_utc=NOW)
    return bytes(spent.key.expose())


def bytes_at(known: Known, ranges: Any) -> bytes:
    """The true key at some ranges."""
    return b"".join(
        known.keys[piece.block_id][piece.offset_bits // 8 : piece.end_bits // 8] for piece in ranges
    )


def waiting_keys(known: Known) -> Iterator[tuple[str, str, Mark]]:
    """Keys that were drawn and nobody began to fetch."""
    for key_id, about in known.drawn.items():
        for slave in about["slaves"]:
            block = known.place(about["key"]).block_id if about["peer"] != about["node"] else ""
            if block and (about["peer"], block) not in known.confirmed:
                continue
            ready = len(about["slaves"]) == 1 or about["peer"] == about["node"] or key_id in known.entitled
            if ready and (key_id, slave) not in known.asked:
                yield key_id, slave, about


# --- what must be true


def judge(folder: Path, marks: list[Mark], nodes: Sequence[str] = NODES) -> None:
    """Open what a crash left of some nodes. Raises AssertionError where a promise is broken."""
    known = Known(marks)
    for node in nodes:
        if node in known.created:
            store = open_store(folder, node)
            try:
                _judge_books(store, known)
                _judge_ranges(store, known)
                if node != "sat":
                    _judge_supply(store, known)
                _judge_rest(store, known)
                _judge_books(store, known)
            finally:
                store.close()


def _judge_books(store: KeyStore, known: Known) -> None:
    books = store.check()
    assert books.balanced, books.faults
    assert books.reserved_bits == 0, "nobody holds a reservation after a crash"
    assert store.verify_audit().intact
    blocks = {row.block_id: row for row in store.list_blocks()}
    assert books.distilled_bits == sum(row.bits for row in blocks.values())
    for row in blocks.values():
        assert row.bits == row.spent_bits + row.live_bits + row.wiped_bits, "conservation to the bit"
    for node, block_id in known.added:
        if node == store.node_id:
            state = blocks[block_id].state
            if block_id in known.discarded:
                continue
            assert state == "confirmed" or (node, block_id) not in known.confirmed
    for block_id, row in blocks.items():
        if block_id not in known.keys:
            continue  # of a relay whose acceptance was under way
        with store.peek_for_check(block_id) as key:
            held, true = bytes(key.expose()), known.keys[block_id]
        if row.spent_bits == row.wiped_bits == 0:
            assert held == true, "a block is not what was stored"
        assert all(one in (0, other_) for one, other_ in zip(held, true, strict=True)), (
            "wrong bytes in a block"
        )


def _spends(store: KeyStore) -> list[KeyRange]:
    query = select(BLOCKS.c.block_id, SPENDS.c.offset_bits, SPENDS.c.length_bits)
    with store.snapshot() as connection:
        rows = connection.execute(query.join_from(SPENDS, BLOCKS, SPENDS.c.block_pk == BLOCKS.c.pk))
        return [KeyRange(*row) for row in rows]


def bytes_of(ranges: list[KeyRange]) -> set[tuple[str, int]]:
    """Each byte of some ranges."""
    return {
        (piece.block_id, i) for piece in ranges for i in range(piece.offset_bits // 8, piece.end_bits // 8)
    }


def _judge_ranges(store: KeyStore, known: Known) -> None:
    """All that was given is used for ever; not much more is."""
    given = known.given[store.node_id]
    mine = bytes_of(given)
    assert len(mine) == sum(piece.length_bits for piece in given) // 8, "some key was given twice"
    spent = bytes_of(_spends(store))
    assert mine <= spent, (
        f"{store.node_id}: given before the crash, and free after it: {sorted(mine - spent)[:3]}"
    )
    kinds = {row.block_id: row.kind for row in store.list_blocks()}
    lost = {place for place in spent - mine if kinds[place[0]] == "pair"}
    secrets = 64 * sum(kind == "pair" for kind in kinds.values())
    multicast = sum(len(about["key"]) for about in known.drawn.values() if len(about["slaves"]) > 1)
    reserved = known.losses * POOLS * RESERVED_BITS // 8
    assert len(lost) <= reserved + secrets + multicast + 200 * known.losses, (
        "a crash lost more than was reserved"
    )


def _judge_supply(store: KeyStore, known: Known) -> None:
    """What was fetched is not given again, what waits is, and new keys are new."""
    supply = KeySupply(store, reserved_bits=RESERVED_BITS)
    node = store.node_id
    for (key_id, slave), mark in known.fetched.items():
        if mark["node"] == node and key_id in known.drawn:
            try:
                fetch_keys(supply, known.drawn[key_id]["node"], slave, [key_id])
            except (KeyNotFound, NotEntitled):
                continue
            raise AssertionError(f"key {key_id} was fetched twice for {slave}")
    for key_id, slave, about in waiting_keys(known):
        if about["peer"] == node:
            assert fetch_keys(supply, about["node"], slave, [key_id]) == [about["key"]]
            if about["node"] != node and len(about["slaves"]) == 1:
                known.given[node].append(known.place(about["key"]))
    request = KeyRequest(peer=other(node), master="zoe", slaves=("yves",), count=2, size_bits=128)
    try:
        for key in keys_in(supply.draw(request, now_utc=NOW)):
            _require_new(store, known, [known.place(key)])
    except (KeyExhausted, KeyNotFound):
        pass
    supply.close(now_utc=NOW)


def _judge_rest(store: KeyStore, known: Known) -> None:
    """Ranges that the peer named can be had, and all that is left is new."""
    for name, about in known.spent.items():
        if about["peer"] == store.node_id and (name, "peer") not in known.asked:
            ranges = [KeyRange(*piece) for piece in about["ranges"]]
            assert spend_named(store, about, ranges) == bytes_at(known, ranges)
            known.given[store.node_id] += ranges
    links = (
        [("graz", "link"), ("wien", "link")] if store.node_id == "sat" else [(other(store.node_id), "pair")]
    )
    for peer, kind in links:
        bits = store.available_bits(peer, kind)  # type: ignore[arg-type]
        if not bits:
            continue
        try:
            spent = store.spend(peer, kind, bits, purpose="x", reference="", now_utc=NOW)  # type: ignore[arg-type]
        except KeyStoreError as error:
            raise AssertionError(f"free key cannot be had: {error}") from None
        _require_new(store, known, [piece for piece in spent.ranges if piece.block_id in known.keys])
        if all(piece.block_id in known.keys for piece in spent.ranges):
            assert bytes(spent.key.expose()) == bytes_at(known, spent.ranges)


def _require_new(store: KeyStore, known: Known, ranges: list[KeyRange]) -> None:
    given = known.given[store.node_id]
    assert not bytes_of(ranges) & bytes_of(given), "given before the crash, and again after it"
    known.given[store.node_id] = given + ranges
