"""The slave's side of a supply: ids are read, and the keys that they name are given once.

Which block an id is of stands in it; who may have its key is in its tag. Keys of one request are marked as
used in one durable change before any is given. Keys that are held (`held`) are looked up by their id.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec
from sqlalchemy import Connection, and_, select

from satqkd.errors import KeyAlreadyUsed, KeyNotFound, KeyStoreError
from satqkd.keys.ledger import held, id_secrets, ledger, reservations
from satqkd.keys.ledger.gaps import unused
from satqkd.keys.ledger.held import HeldRow, Holding
from satqkd.keys.ledger.key_ids import KeyIds, Place, bits_of, block_of, block_tag
from satqkd.keys.ledger.ledger import Block, Use
from satqkd.keys.model import KeyRange, Paths, weakest_origin
from satqkd.keys.paths import from_text
from satqkd.keys.secret import Secret
from satqkd.keys.sql.schema import BLOCKS
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.supply.windows import Windows
from satqkd.keys.supply_door import KeyBatch, NotEntitled

PURPOSE = reservations.FETCHED_PURPOSE


class _Found(msgspec.Struct, frozen=True, eq=False):
    """One key: where it lies, or the row that holds it."""

    key_id: str
    bits: int
    origin: str
    paths: Paths
    block: Block | None = None
    piece: KeyRange | None = None
    row: HeldRow | None = None


class Fetching:
    """Reads ids of all peers of a store."""

    def __init__(self, store: KeyStore, *, demo: bool) -> None:
        self._store, self._demo = store, demo
        self._readers: dict[tuple[int, str, tuple[str, ...]], KeyIds] = {}
        self._blocks: dict[str, dict[int, list[Block]]] = {}
        self._windows = Windows()
        self._unsettled = False

    def fetch(
        self, peer: str, *, master: str, slave: str, key_ids: Sequence[str], now_utc: str
    ) -> list[KeyBatch]:
        """Keys in the order asked, one batch a run of one size. Raises KeyNotFound, NotEntitled."""
        reference = f"{master}>{slave}"
        try:
            with self._store.part() as connection:
                found = [
                    self._lying(connection, key_id, peer, master, (slave,), now_utc) for key_id in key_ids
                ]
                keys = self._give(connection, found, reference, now_utc)
        except (KeyNotFound, KeyAlreadyUsed, NotEntitled):
            return self._fetch_any(peer, master, slave, key_ids, now_utc)
        except KeyStoreError:  # a block was given up by another process, perhaps
            self.forget_retired()
            return self._fetch_any(peer, master, slave, key_ids, now_utc)
        for each in found:
            if each.block is not None and each.piece is not None:
                self._windows.forget(each.block, each.piece)
        return [_batch(list(run), keys) for _, run in groupby(found, key=lambda each: each.bits)]

    def settle(self) -> None:
        """Write down what was fetched since the last time, and overwrite it on the disk."""
        if self._unsettled:
            with self._store.part() as connection:
                reservations.settle_fetched(connection)
            self._unsettled = False
        held = self._windows.blocks
        if held:
            with self._store.snapshot() as connection:
                here = and_(BLOCKS.c.pk.in_(held), BLOCKS.c.state == "discarded")
                gone = set(connection.execute(select(BLOCKS.c.pk).where(here)).scalars())
            if gone:
                self.forget_retired()

    def forget_retired(self) -> None:
        """What is known of blocks is read again; their bytes leave the memory."""
        self._blocks.clear()
        self._windows.clear()

    def close(self) -> None:
        """Settle, and forget what is in memory."""
        self.settle()
        self._windows.clear()

    def _fetch_any(
        self, peer: str, master: str, slave: str, key_ids: Sequence[str], now_utc: str
    ) -> list[KeyBatch]:
        """Where some key is held, or cannot be had."""
        with self._store.transaction() as connection:
            waiting = held.find(connection, key_ids)
            found = [
                _held(waiting[key_id], peer, master, slave)
                if key_id in waiting
                else self._lying(connection, key_id, peer, master, (slave,), now_utc)
                for key_id in key_ids
            ]
            lying = [each for each in found if each.piece is not None]
            keys = self._take(connection, lying, Use(PURPOSE, f"{master}>{slave}", now_utc))
            for each in found:
                if each.row is not None:
                    keys[each.key_id] = bytearray(held.give(connection, each.row, now_utc))
        return [_batch(list(run), keys) for _, run in groupby(found, key=lambda each: each.bits)]

    def entitle(
        self, key_ids: Sequence[str], *, peer: str, master: str, slaves: Sequence[str], now_utc: str
    ) -> None:
        """Hold keys that a master at `peer` drew for several slaves, which their ids name together."""
        with self._store.transaction() as connection:
            found = [
                self._lying(connection, key_id, peer, master, tuple(slaves), now_utc) for key_id in key_ids
            ]
            use = Use(PURPOSE, f"{master}>{','.join(slaves)}", now_utc)
            keys = self._take(connection, found, use)
            for each in found:
                about = Holding(peer=peer, master=master, origin=each.origin, paths=each.paths)
                held.hold(connection, each.key_id, slaves, keys[each.key_id], about, now_utc)
                keys[each.key_id][:] = bytes(len(keys[each.key_id]))

    def _take(self, connection: Connection, found: Sequence[_Found], use: Use) -> dict[str, bytearray]:
        """The keys by id, marked as used; neighbours make one range."""
        runs = list(_runs(found))
        blocks, ranges = [run[0].block for run in runs], [_whole(run) for run in runs]
        known = [block for block in blocks if block is not None]
        ledger.require_origin(known, demo=self._demo)
        ledger.require_peers_part(known, ranges)
        if any(
            unused(connection, block, piece.offset_bits, piece.end_bits) != [piece]
            for block, piece in zip(known, ranges, strict=True)
        ):
            raise KeyNotFound("some of these keys were fetched before; none is given now")
        if not known:
            return {}
        keys: dict[str, bytearray] = {}
        with ledger.take(connection, known, ranges, use).key as all_keys:
            position = 0
            for each in (each for run in runs for each in run):
                keys[each.key_id] = bytearray(all_keys.expose()[position : position + each.bits // 8])
                position += each.bits // 8
        return keys

    def _give(
        self, connection: Connection, found: Sequence[_Found], reference: str, utc: str
    ) -> dict[str, bytearray]:
        """The keys by id, marked as fetched; settled later. Raises KeyAlreadyUsed, OriginRefused."""
        keys: dict[str, bytearray] = {}
        for run in _runs(found):
            block, piece = run[0].block, _whole(run)
            assert block is not None
            ledger.require_origin([block], demo=self._demo)
            ledger.require_peers_part([block], [piece])
            reservations.mark_fetched(connection, block, piece, reference, utc)
            for each in run:
                assert each.piece is not None
                keys[each.key_id] = self._windows.read(connection, block, each.piece)
        self._unsettled = True
        return keys

    def _lying(
        self, connection: Connection, key_id: str, peer: str, master: str, slaves: tuple[str, ...], utc: str
    ) -> _Found:
        """Where a key lies by its id. Raises KeyNotFound, NotEntitled."""
        bits = bits_of(key_id)
        blocks = [] if bits is None else self._blocks_of(connection, peer, block_of(bits))
        readers = [(block, self._reader(connection, block, master, slaves, utc)) for block in blocks]
        named = [(block, reader) for block, reader in readers if reader is not None]
        if bits is None or not named:
            raise KeyNotFound(f"no key {key_id[:40]!r} of {peer!r} is known here")
        for block, reader in named:
            place = reader.read([bits])[0]
            if place is not None:
                return _at(key_id, block, place)
        raise NotEntitled(f"key {key_id}: {', '.join(slaves)!r} was not named when {master!r} drew it")

    def _blocks_of(self, connection: Connection, peer: str, tag: int) -> list[Block]:
        """Confirmed pair blocks with a peer by the first bits of their names' hash."""
        known = self._blocks.get(peer, {})
        if tag not in known:
            pair = and_(BLOCKS.c.peer == peer, BLOCKS.c.kind == "pair", BLOCKS.c.state == "confirmed")
            known = self._blocks[peer] = {}
            for block in connection.execute(select(BLOCKS).where(pair)).all():
                known.setdefault(block_tag(block.block_id), []).append(block)
        return known.get(tag, [])

    def _reader(
        self, connection: Connection, block: Block, master: str, slaves: tuple[str, ...], utc: str
    ) -> KeyIds | None:
        """None where the half of a block that the peer allocates has no secret for ids."""
        name = (block.pk, master, slaves)
        if name not in self._readers:
            secret = id_secrets.take(connection, block, own=False, utc=utc)
            if secret is None:
                return None
            with secret:
                self._readers[name] = KeyIds(block.block_id, secret, master=master, slaves=slaves)
        return self._readers[name]


def _at(key_id: str, block: Block, place: Place) -> _Found:
    offset_bytes, size_bytes = place
    piece = KeyRange(block.block_id, 8 * offset_bytes, 8 * size_bytes)
    if not size_bytes or piece.end_bits > block.bits:
        raise KeyNotFound(f"key {key_id} lies outside of its block")
    return _Found(key_id, 8 * size_bytes, block.origin, from_text(block.paths), block, piece)


def _held(rows: Sequence[HeldRow], peer: str, master: str, slave: str) -> _Found:
    row = held.entitled(rows, peer=peer, master=master, slave=slave)
    return _Found(row.key_id, row.bits, row.origin, from_text(row.paths), row=row)


def _runs(found: Sequence[_Found]) -> Iterator[list[_Found]]:
    """Keys that lie one after the other, together."""
    run: list[_Found] = []
    for each in found:
        assert each.piece is not None
        last = run[-1].piece if run else None
        if last is not None and (last.block_id, last.end_bits) != (
            each.piece.block_id,
            each.piece.offset_bits,
        ):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _whole(run: Sequence[_Found]) -> KeyRange:
    first, last = run[0].piece, run[-1].piece
    assert first is not None
    assert last is not None
    return KeyRange(first.block_id, first.offset_bits, last.end_bits - first.offset_bits)


def _batch(run: list[_Found], keys: dict[str, bytearray]) -> KeyBatch:
    together = bytearray().join(keys[each.key_id] for each in run)
    for each in run:
        keys[each.key_id][:] = bytes(len(keys[each.key_id]))
    return KeyBatch(
        ids=tuple(each.key_id for each in run),
        keys=Secret(together),
        size_bits=run[0].bits,
        origin=_weakest({each.origin for each in run}),
        paths=tuple(each.paths for each in run),
    )


def _weakest(origins: set[str]) -> str:
    return held.LOCAL_ORIGIN if held.LOCAL_ORIGIN in origins else weakest_origin(origins)
