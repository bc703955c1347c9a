"""Copies made and put back at any moment, by hand: refused or settled, and nothing is given twice.

A machine draws, fetches, spends, adds and confirms at two ends, closes them or kills them; it copies one
end's file, at rest or while it is at work, and puts some copy back later. The use log stays where it is.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keys_cases import NOW, key_bytes

from satqkd.errors import KeyAlreadyUsed, KeyExhausted, KeyNotFound, KeyStoreError, StoreRestored
from satqkd.keys import KeyStore
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import KeyRequest, NotEntitled

NAMES = ("graz", "wien")
SIDES = st.sampled_from(NAMES)
FILES = ("", "-wal")


class RestoredMachine(RuleBasedStateMachine):
    """Two stores against a plain record of all bytes that came out of each."""

    @initialize()
    def start(self) -> None:
        memory = Path("/dev/shm")
        self.scratch = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.folder = Path(self.scratch.name)
        self.stores = {name: KeyStore.create(self.path(name), name) for name in NAMES}
        self.supplies = {name: KeySupply(self.stores[name], reserved_bits=2048) for name in NAMES}
        self.blocks: dict[str, bytes] = {}
        self.given: dict[str, set[tuple[str, int]]] = {name: set() for name in NAMES}
        self.drawn: list[tuple[str, str, bytes]] = []
        self.fetched: set[str] = set()
        self.copies: dict[str, list[tuple[Path, int]]] = {name: [] for name in NAMES}
        self.uses = dict.fromkeys(NAMES, 0)
        self.add(True)

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            for store in self.stores.values():
                store.close()
            self.scratch.cleanup()

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    @rule(confirmed=st.booleans())
    def add(self, confirmed: bool) -> None:
        if len(self.blocks) < 4:
            self.blocks[f"b{len(self.blocks)}"] = key_bytes(160, f"b{len(self.blocks)}")
            for name in NAMES:
                self.hold(name, confirmed)

    @rule(name=SIDES, confirmed=st.booleans())
    def hold(self, name: str, confirmed: bool) -> None:
        """Blocks are stored; again, where they are gone, as from a file that is imported again."""
        for block_id, key in self.blocks.items():
            with suppress(KeyAlreadyUsed):
                self.stores[name].add_block(
                    block_id, peer=self.other(name), kind="pair", origin="hardware", key=key, now_utc=NOW
                )
            if confirmed:
                with suppress(KeyStoreError):
                    self.stores[name].confirm_block(block_id)

    def other(self, name: str) -> str:
        return NAMES[1 - NAMES.index(name)]

    @rule(name=SIDES, n_bytes=st.integers(8, 24))
    def spend(self, name: str, n_bytes: int) -> None:
        with suppress(KeyExhausted, KeyNotFound):
            spent = self.stores[name].spend(
                self.other(name), "pair", 8 * n_bytes, purpose="x", reference="", now_utc=NOW
            )
            position = 0
            for each in spent.ranges:
                n = each.length_bits // 8
                self.record(
                    name,
                    bytes(spent.key.expose()[position : position + n]),
                    (each.block_id, each.offset_bits // 8),
                )
                position += n

    @rule(name=SIDES, count=st.integers(1, 3), local=st.booleans())
    def draw(self, name: str, count: int, local: bool) -> None:
        peer = name if local else self.other(name)
        request = KeyRequest(peer=peer, master="a", slaves=("s",), count=count, size_bits=64)
        with suppress(KeyExhausted, KeyNotFound):
            batch = self.supplies[name].draw(request, now_utc=NOW)
            for i, key_id in enumerate(batch.ids):
                key = bytes(batch.keys.expose()[8 * i : 8 * i + 8])
                if not local:
                    self.record(name, key)
                self.drawn.append((key_id, f"{name}>{peer}", key))

    @precondition(lambda self: self.drawn)
    @rule(number=st.integers(0, 50))
    def fetch(self, number: int) -> None:
        key_id, way, key = self.drawn[number % len(self.drawn)]
        master_at, name = way.split(">")
        with suppress(KeyNotFound, NotEntitled, KeyStoreError):
            got = self.supplies[name].fetch(master_at, master="a", slave="s", key_ids=[key_id], now_utc=NOW)
            assert bytes(got[0].keys.expose()) == key, "another key than its master's"
            assert key_id not in self.fetched, "fetched twice"
            self.fetched.add(key_id)
            if name != master_at:
                self.record(name, key)

    @rule(name=SIDES)
    def settle(self, name: str) -> None:
        while self.supplies[name].settle(now_utc=NOW):
            pass

    @rule(name=SIDES, kill=st.booleans(), copy=st.booleans(), back=st.none() | st.integers(0, 9))
    def stop(self, name: str, kill: bool, copy: bool, back: int | None) -> None:
        """End or kill an end, copy it at rest, put a copy back; open it again."""
        killed = self.copied(name) if kill else None
        self.supplies[name].close(now_utc=NOW)
        self.stores[name].close()
        if killed is not None:
            for suffix in (*FILES, ".uses"):
                Path(f"{self.path(name)}{suffix}").unlink(missing_ok=True)
            self.laid(killed, name, (*FILES, ".uses"))
        if copy:
            self.copies[name].append((self.copied(name), self.count(name)))
        restored = None
        if back is not None and self.copies[name]:
            which, restored = self.copies[name][back % len(self.copies[name])]
            for suffix in FILES:
                Path(f"{self.path(name)}{suffix}").unlink(missing_ok=True)
            self.laid(which, name, FILES)
        self.opened(name, restored)

    def opened(self, name: str, restored: int | None) -> None:
        behind = 0 if restored is None else self.count(name) - restored
        if behind > 1:
            with pytest.raises(StoreRestored, match="keys recover"):
                KeyStore.open(self.path(name))
            KeyStore.recover(self.path(name))
        self.stores[name] = KeyStore.open(self.path(name))
        self.supplies[name] = KeySupply(self.stores[name], reserved_bits=2048)

    @rule(name=SIDES)
    def copy_at_work(self, name: str) -> None:
        """The store is open: its file and its log are copied at one moment."""
        self.copies[name].append((self.copied(name), self.count(name)))

    def count(self, name: str) -> int:
        return Path(f"{self.path(name)}.uses").read_bytes().count(b"\n")

    def copied(self, name: str) -> Path:
        where = Path(tempfile.mkdtemp(dir=self.folder))
        for suffix in (*FILES, ".uses"):
            if Path(f"{self.path(name)}{suffix}").exists():
                shutil.copy(f"{self.path(name)}{suffix}", where / f"x{suffix}")
        return where

    def laid(self, where: Path, name: str, suffixes: tuple[str, ...]) -> None:
        for suffix in suffixes:
            if (where / f"x{suffix}").exists():
                shutil.copy(where / f"x{suffix}", f"{self.path(name)}{suffix}")

    def record(self, name: str, key: bytes, place: tuple[str, int] | None = None) -> None:
        """Key came out; of eight bytes it is known where they lie, shorter pieces say it."""
        found = [(each, whole.find(key)) for each, whole in self.blocks.items() if key in whole]
        block_id, start = place or found[0]
        assert self.blocks[block_id][start : start + len(key)] == key, "wrong key was given"
        taken = {(block_id, i) for i in range(start, start + len(key))}
        assert not taken & self.given[name], "given twice"
        self.given[name] |= taken

    @invariant()
    def books_balance(self) -> None:
        if hasattr(self, "stores"):
            for store in self.stores.values():
                report = store.check()
                assert report.balanced, report.faults


TestRestoredMachine = RestoredMachine.TestCase
TestRestoredMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
