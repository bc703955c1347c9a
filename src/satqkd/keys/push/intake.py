"""`StoreIntake`: the store of a key server takes blocks that its node pushes, each exactly once.

    no stream --open--> open --take ...--> open, all chunks --close--> closed: the block is stored, confirmed
                          +---another stream of the same block, before any chunk; revoked----> dropped

Chunks lie sealed until the stream is closed; then, in one change, they are the block and are wiped. Every
call may come again. Key of a stream is nobody's to draw before it is closed. No network, no clock here.
"""

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from satqkd.errors import ConfigError, KeyExhausted, KeyNotFound
from satqkd.keys.ledger import audit, ledger, push_streams
from satqkd.keys.paths import normal
from satqkd.keys.push_door import CHUNK_BYTES, NoLink, PushedBlock, StreamInUse, StreamState, check_block
from satqkd.keys.secret import Secret
from satqkd.keys.store.key_store import KeyStore


class StoreIntake:
    """The intake of one sender, by its certified name. One thread at a time.

    peers: nodes whose key can be delivered here; None: any.
    """

    def __init__(
        self,
        store: KeyStore,
        sender: str,
        *,
        peers: Collection[str] | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._store, self._sender, self._peers, self._chunk_bytes = store, sender, peers, chunk_bytes

    def open(self, stream_id: str, node: str, block: PushedBlock, *, now_utc: str) -> StreamState:
        """Begin a stream, or find how far it is. Raises StreamInUse, NoLink, ConfigError."""
        if node != self._store.node_id:
            raise ConfigError(f"node: expected {self._store.node_id!r}, whose server this is, got {node!r}")
        check_block(node, block)
        if self._peers is not None and block.peer not in self._peers:
            raise NoLink(f"block {block.block_id!r}: this key server knows no KME of node {block.peer!r}")
        kept = msgspec.structs.replace(block, paths=normal(block.paths, ends=(node, block.peer)))
        with self._store.transaction() as connection:
            row = push_streams.find(connection, stream_id)
            if row is None:
                push_streams.require_new(connection, kept)
                push_streams.begin(connection, stream_id, self._sender, kept, self._chunk_bytes, now_utc)
            elif row.sender != self._sender or push_streams.block_of(row) != kept:
                raise StreamInUse(f"stream {stream_id} is another's, or brings another block")
            row = self._mine(connection, stream_id)
            return StreamState(row.chunk_bytes, push_streams.came(connection, row))

    def take(self, stream_id: str, index: int, chunk: memoryview, *, now_utc: str) -> int:
        """Hold a chunk; gives the index that is wanted next. Raises KeyNotFound, StreamInUse, ConfigError."""
        with self._store.transaction() as connection:
            row = self._mine(connection, stream_id)
            block, wanted = push_streams.block_of(row), push_streams.came(connection, row)
            if not 0 <= index < block.chunks(row.chunk_bytes):
                raise ConfigError(f"stream {stream_id}: it has no chunk {index}")
            length = block.length_of(index, row.chunk_bytes)
            if len(chunk) != length:
                raise ConfigError(
                    f"stream {stream_id}, chunk {index}: expected {length} bytes, got {len(chunk)}"
                )
            if row.state == "open" and index < wanted:
                push_streams.require_same(connection, row, index, chunk)
            elif row.state == "open" and index == wanted:
                push_streams.hold(connection, row, index, chunk)
                wanted += 1
        return wanted

    def close(self, stream_id: str, *, now_utc: str) -> None:
        """Make the chunks a block. Raises KeyNotFound, KeyExhausted (chunks are missing), StreamInUse."""
        with self._store.transaction() as connection:
            row = self._mine(connection, stream_id)
            if row.state == "closed":
                return
            block, came = push_streams.block_of(row), push_streams.came(connection, row)
            if came < block.chunks(row.chunk_bytes):
                raise KeyExhausted(
                    f"stream {stream_id}: expected {block.chunks(row.chunk_bytes)} chunks, got {came}; push "
                    "the rest"
                )
            with push_streams.together(connection, row) as key:
                _store(connection, block, key, now_utc)
            push_streams.end(connection, row, "closed")
            audit.append(connection, "stream closed", now_utc, stream_id=stream_id, sender=self._sender)

    def _mine(self, connection: Connection, stream_id: str) -> push_streams.StreamRow:
        row = push_streams.find(connection, stream_id)
        if row is None or row.sender != self._sender:
            raise KeyNotFound(f"no stream {stream_id[:40]!r} of {self._sender!r}; open it first")
        if row.state == "dropped":
            raise StreamInUse(f"stream {stream_id} was given up here; what it brought is wiped")
        return row


def _store(connection: Connection, block: PushedBlock, key: Secret, utc: str) -> None:
    said = msgspec.structs.asdict(block)
    del said["bits"]
    ledger.store_block(connection, ledger.NewBlock(kind="pair", state="unconfirmed", **said), key.expose())
    ledger.set_state(connection, ledger.find_block(connection, block.block_id), "confirmed", utc)
