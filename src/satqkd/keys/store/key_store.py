"""`KeyStore`: the one durable store of a node, and the promise it keeps.

No key bit is given out twice, whatever crashes: a method that returns key has marked it as used on the
disk before it returns, and a rule inside the file refuses a second time. Key is confirmed at both ends
before it is used. Origin travels with key; what is not secret is refused outside demonstrations.
Times are given by the caller; no clock, no random source, no network here.

    unconfirmed --confirm--> confirmed --spend--> (range used, wiped)
         |                     |
         +-------discard-------+--> discarded (rest wiped)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from satqkd.errors import ConfigError, KeyStoreError, LocalProtocolError
from satqkd.keys.at_rest.unlock import Lock
from satqkd.keys.ledger import audit, ledger, material, raw
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import (
    KINDS,
    ORIGINS,
    AuditReport,
    BlockRow,
    CheckReport,
    KeyRange,
    Kind,
    LiveBlock,
    Paths,
    Spent,
    State,
    StatusRow,
    check_bits,
    check_block_id,
    check_name,
)
from satqkd.keys.paths import normal
from satqkd.keys.secret import Secret
from satqkd.keys.sql.database import Database
from satqkd.keys.store import accounts, authentication
from satqkd.keys.store.opening import Place, create_database, open_database, recover_store
from satqkd.keys.store.recovery import RecoveryReport


class KeyStore:
    """Keys of one node with all its peers, in one file. Make it with `create` or `open`; close it."""

    def __init__(self, database: Database, node_id: str) -> None:
        self._database = database
        self.node_id = node_id

    @classmethod
    def create(
        cls,
        path: str | PathLike[str],
        node_id: str,
        *,
        lock: Lock | None = None,
        uses: str | PathLike[str] | None = None,
        writer: str = "main",
    ) -> "KeyStore":
        """A new, empty store: a file of mode 0600 at a path, or tables at `postgresql://...`.

        lock: what unlocks it; None for what the environment names, else a key file beside the store.
        uses: where the use log lies; None for the folder that the environment names, else beside the store.
        Raises ResourceError when there is a store, or none can be made.
        """
        check_name(node_id, "node_id")
        return cls(create_database(_place(path, lock, uses, writer), node_id), node_id)

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        node_id: str | None = None,
        read_only: bool = False,
        lock: Lock | None = None,
        uses: str | PathLike[str] | None = None,
        writer: str = "main",
    ) -> "KeyStore":
        """An existing store, for writing by this process alone unless `read_only`.

        lock, uses: as in `create`. writer: another name for each process that writes a store of PostgreSQL.
        Raises KeyNotFound (no store), DataFormatError (something else, or a newer satqkd's), ConfigError (not
        `node_id`'s, or the wrong lock), ResourceError (open for writing elsewhere), StoreRestored.
        """
        place = _place(path, lock, uses, writer)
        database, owner = open_database(place, node_id=node_id, read_only=read_only)
        return cls(database, owner)

    @classmethod
    def recover(
        cls,
        path: str | PathLike[str],
        *,
        discard: bool = False,
        lock: Lock | None = None,
        uses: str | PathLike[str] | None = None,
        writer: str = "main",
    ) -> RecoveryReport:
        """Make a store usable that was put back from a copy: skip what its use log knows to be used.

        discard: the use log is lost or older than the store, so all unused key is wiped and a new log begun.
        Raises KeyStoreError when the one is asked for and the other is needed.
        """
        return recover_store(_place(path, lock, uses, writer), discard=discard)

    @property
    def path(self) -> Path:
        """Where the store lies."""
        return Path(self._database.name)

    @property
    def retirements(self) -> int:
        """How often this process gave key up (`retirement`): what is held in memory is looked at again."""
        return self._database.retirements

    def close(self) -> None:
        """Release file and lock. May be called again."""
        self._database.close()

    def __enter__(self) -> "KeyStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KeyStore of {self.node_id} at {self.path}>"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One durable change, for the protocols of this room; what was wiped is then gone from the file.

        Within `work`, a part of it.
        """
        with self._database.transaction() as connection:
            yield connection
        self._database.checkpoint()

    @contextmanager
    def work(self) -> Iterator[None]:
        """One durable change made of all that is changed inside: all of it or nothing.

        What is read and changed inside goes by this thread alone. Key wiped inside is gone from the file
        when this returns; where none was, the file's log is left to grow a while, which is what saves time.
        """
        with self._database.work():
            yield
        self._database.checkpoint_if_wiped()

    def require_no_change(self) -> None:
        """For what hands key out of memory: it must be durable at once, not when a change around it is.

        Raises LocalProtocolError within `work`, `transaction` or `part` of this thread.
        """
        if self._database.changing:
            raise LocalProtocolError(
                f"{self._database.name}: key is handed out within another change, which may still be undone; "
                f"end that first"
            )

    def tidy(self) -> None:
        """Carry what was overwritten by parts of changes out of the database's log."""
        self._database.checkpoint()

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """A change that wipes no key, or leaves that to `tidy`, within `work` or alone."""
        with self._database.part() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A consistent view for reading."""
        with self._database.snapshot() as connection:
            yield connection

    def add_block(
        self,
        block_id: str,
        *,
        peer: str,
        kind: Kind,
        origin: str,
        key: Secret | bytes | bytearray,
        now_utc: str,
        state: State = "unconfirmed",
        allocator: str | None = None,
        paths: Paths = (),
    ) -> None:
        """Store key shared with a peer; both ends give the same id, bytes and allocator.

        allocator: the node that decides which bits come next; the satellite for link key (required). None
        for pair key: the end whose id sorts first allocates from the first half, the other from the second.
        paths: who else knew the key on its way (`paths`); none: nobody.
        Raises KeyAlreadyUsed for an id stored before, ConfigError for anything malformed.
        """
        data = key.expose() if isinstance(key, Secret) else key
        self._check_block(peer, kind, origin, state, 8 * len(data))
        own_from_bits, own_until_bits = ledger.own_part(self.node_id, peer, kind, allocator, 8 * len(data))
        new = ledger.NewBlock(
            block_id=check_block_id(block_id),
            peer=peer,
            kind=kind,
            origin=origin,
            state="unconfirmed",
            own_from_bits=own_from_bits,
            own_until_bits=own_until_bits,
            created_utc=now_utc,
            paths=normal(paths, ends=(self.node_id, peer)),
        )
        with self.transaction() as connection:
            block = ledger.store_block(connection, new, data)
            if state == "confirmed":
                _confirm(connection, block, now_utc)

    def confirm_block(self, block_id: str, *, now_utc: str | None = None) -> None:
        """Both ends are known to hold the block: it may be used. May be repeated; not after a discard."""
        with self.transaction() as connection:
            _confirm(connection, ledger.find_block(connection, block_id), now_utc)

    def discard_block(self, block_id: str, *, now_utc: str | None = None) -> None:
        """Overwrite what is unused of a block and never use it. May be repeated."""
        with self.transaction() as connection:
            block = ledger.find_block(connection, block_id)
            if block.state != "discarded":
                material.wipe_all(connection, block)
                ledger.set_state(connection, block, "discarded", now_utc)

    def spend(
        self,
        peer: str,
        kind: Kind,
        bits: int,
        *,
        purpose: str,
        reference: str,
        demo: bool = False,
        now_utc: str | None = None,
    ) -> Spent:
        """The next `bits` bits (a multiple of 8) of link or pair key that this end allocates.

        They are used and wiped on the disk before this returns. Raises KeyExhausted, KeyNotFound, or
        OriginRefused when only key of the twin or of recorded tags would do and `demo` is not set.
        """
        _check_spendable(kind, bits)
        with self.transaction() as connection:
            return ledger.spend(connection, peer, kind, bits, Use(purpose, reference, now_utc), demo=demo)

    def spend_at(
        self,
        peer: str,
        kind: Kind,
        ranges: Sequence[KeyRange],
        *,
        purpose: str,
        reference: str,
        demo: bool = False,
        now_utc: str | None = None,
    ) -> Spent:
        """The link or pair key at ranges that the peer allocated and named; all of them or none.

        Raises KeyAlreadyUsed, KeyNotFound (no such key with this peer), KeyStoreError (not confirmed, or in
        the part that this end allocates), OriginRefused.
        """
        _check_spendable(kind, sum(piece.length_bits for piece in ranges))
        with self.transaction() as connection:
            use = Use(purpose, reference, now_utc)
            return ledger.spend_at(connection, peer, kind, ranges, use, demo=demo)

    def available_bits(self, peer: str, kind: Kind, *, demo: bool = False) -> int:
        """How many bits this end could take now: by `spend`, or by `draw_auth` for kind auth."""
        with self.snapshot() as connection:
            if kind == "auth":
                return authentication.pool_end(connection, peer) - authentication.position(connection, peer)
            return sum(piece.length_bits for piece, _ in ledger.free(connection, peer, kind, demo=demo))

    def auth_position(self, peer: str) -> int:
        """First bit of the peer's authentication pool after the last one used; what hello announces."""
        with self.snapshot() as connection:
            return authentication.position(connection, peer)

    def draw_auth(
        self, peer: str, *, position_bits: int, bits: int, purpose: str, now_utc: str | None = None
    ) -> Spent:
        """Authentication key at a position both ends agreed on; any order, each bit once.

        Marked on the disk before this returns. Raises KeyAlreadyUsed, KeyExhausted, KeyNotFound.
        """
        with self.transaction() as connection:
            use = Use(purpose, f"position {position_bits}", now_utc)
            return authentication.draw(connection, peer, position_bits, bits, use)

    def skip_auth_to(self, peer: str, position_bits: int, *, now_utc: str | None = None) -> int:
        """Wipe the pool up to a position, never back; returns the bits lost.

        The position often comes from a hello that nobody has authenticated: the caller caps how far it
        follows. Raises KeyAlreadyUsed (behind), KeyExhausted (past the pool); nothing is then skipped.
        """
        with self.transaction() as connection:
            use = Use("skipped", f"position {position_bits}", now_utc)
            return authentication.skip(connection, peer, position_bits, use)

    def status(self) -> list[StatusRow]:
        """One row for each peer and kind."""
        with self.snapshot() as connection:
            return accounts.status_rows(connection)

    def list_blocks(self) -> list[BlockRow]:
        """All blocks, oldest first."""
        with self.snapshot() as connection:
            return accounts.block_rows(connection)

    def live_blocks(self, kind: Kind) -> list[LiveBlock]:
        """Confirmed blocks of a kind with key that is neither used nor reserved, oldest first."""
        with self.snapshot() as connection:
            return accounts.live_blocks(connection, kind)

    def list_raw_blocks(self) -> list[BlockRow]:
        """All raw blocks, oldest first: detections kept for a pool, which are no key."""
        with self.snapshot() as connection:
            return raw.rows(connection)

    def check(self) -> CheckReport:
        """Whether ledger, audit log and stored bytes agree, to the bit."""
        with self.snapshot() as connection:
            return accounts.check(connection)

    def verify_audit(self) -> AuditReport:
        """Whether the audit log's chain holds."""
        with self.snapshot() as connection:
            return audit.verify(connection)

    def audit_entries(self) -> list[dict[str, Any]]:
        """The audit log in order; no key bits are in it."""
        with self.snapshot() as connection:
            return audit.entries(connection)

    def peek_for_check(self, block_id: str) -> Secret:
        """A block's bytes as stored, used ones as zeros, to compare two stores in a check; spends nothing."""
        with self.snapshot() as connection:
            block = ledger.find_block(connection, block_id)
            return material.read(connection, [block], [KeyRange(block_id, 0, block.bits)])

    def _check_block(self, peer: str, kind: str, origin: str, state: str, bits: int) -> None:
        check_name(peer, "peer")
        check_bits(bits, "bits of a block")
        if peer == self.node_id:
            raise ConfigError(f"peer: expected another node than {peer!r}, the owner of this store")
        if kind not in KINDS:
            raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        if origin not in ORIGINS:
            raise ConfigError(f"origin: expected one of {', '.join(ORIGINS)}, got {origin!r}")
        if state not in ("unconfirmed", "confirmed"):
            raise ConfigError(f"state: expected unconfirmed or confirmed, got {state!r}")


def _place(
    path: str | PathLike[str], lock: Lock | None, uses: str | PathLike[str] | None, writer: str
) -> Place:
    return Place(str(path), lock, None if uses is None else Path(uses), writer)


def _confirm(connection: Connection, block: ledger.Block, utc: str | None) -> None:
    if block.state == "discarded":
        raise KeyStoreError(f"block {block.block_id!r} was discarded and wiped; it cannot be confirmed")
    if block.state == "unconfirmed":
        ledger.set_state(connection, block, "confirmed", utc)
        if block.kind == "auth":
            authentication.append_to_pool(connection, block)


def _check_spendable(kind: str, bits: int) -> None:
    check_bits(bits, "bits to spend")
    if kind not in ("link", "pair"):
        raise ConfigError(f"kind: expected link or pair, got {kind!r}; authentication key goes by draw_auth")
