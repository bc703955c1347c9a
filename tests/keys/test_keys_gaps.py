"""What is left of a store's key: the statements that say it quickly say what a look at every byte says."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.sql.expression import TableClause

from satqkd.keys import KeyStore
from satqkd.keys.ledger import ledger, reservations
from satqkd.keys.ledger.gaps import own_unused, unused
from satqkd.keys.model import KeyRange, LiveBlock
from satqkd.keys.sql.schema import BLOCKS, FETCHED, RESERVATIONS, SPENDS
from satqkd.keys.sql.statements import raw
from satqkd.keys.store.retirement import revoke_block

UTC = "2026-01-01T00:00:00Z"
PEERS = ("zeta", "alpha")
"""Names after and before the node's own: its part is the first half, or the second."""


def filled(store: KeyStore, rng: np.random.Generator) -> None:
    """Blocks of every kind of fate, used, reserved and fetched here and there."""
    for number in range(24):
        peer = PEERS[number % 2]
        bits = 8 * int(rng.integers(2, 40))
        state = "unconfirmed" if number == 5 else "confirmed"
        store.add_block(
            f"b{number}",
            peer=peer,
            kind="pair",
            origin="twin" if number % 5 == 3 else "hardware",
            key=rng.bytes(bits // 8),
            state=state,
            now_utc=UTC,
        )
        if state == "confirmed":
            use_some(store, f"b{number}", rng)
    for peer in PEERS:
        store.add_block(
            f"across-{peer}",
            peer=peer,
            kind="pair",
            origin="hardware",
            key=rng.bytes(8),
            state="confirmed",
            now_utc=UTC,
        )
        with store.transaction() as connection:
            block = ledger.find_block(connection, f"across-{peer}")
            across = KeyRange(block.block_id, 8, 48)  # over the middle, where this end's part ends or begins
            ledger.use_up(connection, [block], [across], ledger.Use("test", "t", UTC))
    revoke_block(store, "b7", reason="seen", now_utc=UTC)


def use_some(store: KeyStore, name: str, rng: np.random.Generator) -> None:
    """Bytes of a block go one way or another; of some blocks all of this end's part is used."""
    with store.transaction() as connection:
        block = ledger.find_block(connection, name)
        fates = rng.choice(4, p=(0.4, 0.4, 0.1, 0.1), size=block.bits // 8)
        if rng.random() < 0.3:
            fates[block.own_from_bits // 8 : block.own_until_bits // 8] = 1
        for byte, fate in enumerate(fates.tolist()):
            piece = KeyRange(name, 8 * byte, 8)
            if fate == 1:
                ledger.use_up(connection, [block], [piece], ledger.Use("test", "t", UTC))
            elif fate == 2:
                reservations.reserve(connection, block, piece, "h", UTC).key.wipe()
            elif fate == 3:
                reservations.mark_fetched(connection, block, piece, "r", UTC)


def free_bytes(store: KeyStore, block: Any, from_bits: int, until_bits: int) -> set[int]:
    """Of a part of a block: byte for byte, by all three tables."""
    free = set(range(from_bits // 8, until_bits // 8))
    tables: tuple[TableClause, ...] = (SPENDS, RESERVATIONS, FETCHED)
    with store.snapshot() as connection:
        for table in tables:
            for row in connection.execute(select(table).where(table.c.block_pk == block.pk)):
                free -= set(range(row.offset_bits // 8, (row.offset_bits + row.length_bits) // 8))
    return free


def bytes_of(pieces: Iterable[KeyRange]) -> set[int]:
    return {byte for piece in pieces for byte in range(piece.offset_bits // 8, piece.end_bits // 8)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyStore]:
    with KeyStore.create(tmp_path_factory.mktemp("gaps") / "m.db", "m") as store:
        filled(store, np.random.default_rng(7))
        yield store


@pytest.fixture(scope="module")
def blocks(store: KeyStore) -> list[Any]:
    with store.snapshot() as connection:
        return list(connection.execute(select(BLOCKS).order_by(BLOCKS.c.pk)))


def test_what_may_be_allocated_is_what_no_table_has_of_this_ends_part(
    store: KeyStore, blocks: list[Any]
) -> None:
    for peer in PEERS:
        with store.snapshot() as connection:
            found = list(own_unused(connection, peer, "pair"))
        expected = []
        for block in blocks:
            if block.peer == peer and block.state == "confirmed":
                free = free_bytes(store, block, block.own_from_bits, block.own_until_bits)
                expected.append((block.block_id, block.origin, free))
        grouped = groupby(found, key=lambda each: (each[0].block_id, each[1]))
        got = [(*about, bytes_of(piece for piece, _ in pieces)) for about, pieces in grouped]
        assert got == [each for each in expected if each[2]]
        assert 4 < len(got) < len(expected) < 14
        total = sum(len(free) for _, origin, free in expected if origin == "hardware")
        assert store.available_bits(peer, "pair") == 8 * total > 0
        assert store.available_bits(peer, "pair", demo=True) == 8 * sum(len(each[2]) for each in expected)


def test_what_is_unused_between_two_places_is_so_byte_by_byte(store: KeyStore, blocks: list[Any]) -> None:
    for block in blocks:
        for start, end in ((0, block.bits), (8, block.bits - 8), (block.bits // 16 * 8, block.bits)):
            with store.snapshot() as connection:
                pieces = unused(connection, block, start, end)
            assert bytes_of(pieces) == free_bytes(store, block, start, end)
            assert all(one.end_bits < two.offset_bits for one, two in pairwise(pieces))


def test_live_blocks_are_the_confirmed_ones_with_key_left(store: KeyStore) -> None:
    rows = [row for row in store.list_blocks() if row.state == "confirmed" and row.live_bits]
    assert store.live_blocks("pair") == [
        LiveBlock(row.block_id, row.peer, row.created_utc, row.live_bits) for row in rows
    ]
    assert 8 < len(rows) < 26 and store.live_blocks("link") == []


def test_a_use_costs_no_more_statements_where_much_was_used_before(tmp_path: Path) -> None:
    def statements_of_a_use(store: KeyStore) -> int:
        seen: list[str] = []
        with store.transaction() as connection:
            raw(connection).set_trace_callback(seen.append)
        store.spend("zeta", "pair", 8, purpose="p", reference="r", now_utc=UTC)
        with store.transaction() as connection:
            raw(connection).set_trace_callback(None)
        return len(seen)

    with KeyStore.create(tmp_path / "m.db", "m") as store:
        counts = []
        for number in range(12):
            key = bytes(range(1, 33))
            store.add_block(
                f"b{number}",
                peer="zeta",
                kind="pair",
                origin="hardware",
                key=key,
                state="confirmed",
                now_utc=UTC,
            )
            counts.append(statements_of_a_use(store))
            store.spend("zeta", "pair", 120, purpose="p", reference="r", now_utc=UTC)
    assert len(set(counts)) == 1
