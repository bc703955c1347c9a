"""Key that another system made between two nodes comes into both their stores: the same bits or none.

    offering end                                other end
    draws keys, stores them        --offer->    fetches them by their ids, stores them
    compares; its follower block   <-answer-    (a tag over all bits)
      is confirmed           --confirmation->   both blocks are confirmed
    its own block is confirmed    <-receipt-

The bits become two blocks, each allocated by one end. A block is confirmed at the end that follows before it
is at the end that allocates: so whatever is lost, no end gives out key that the other would refuse. Every
message is the same when it is asked for again, and taken a second time does nothing: after a kill or a loss
the last message is simply said again. What was drawn and not stored when a node was killed is lost at both
ends. Each of the other system's keys is imported once, by its id. No path: nobody on the way is known to know
it.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from satqkd.errors import (
    AuthenticationError,
    ConfigError,
    DataFormatError,
    KeyAlreadyUsed,
    KeyNotFound,
    KeyStoreError,
)
from satqkd.keys.ledger import audit, ledger, material, onetime_mac
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import ORIGINS, KeyRange, Origin, check_name
from satqkd.keys.network.import_record import (
    COMPARE_BITS,
    Answer,
    Confirmation,
    Offer,
    Receipt,
    check_offer,
    read_step,
)
from satqkd.keys.network.key_source import KeySource
from satqkd.keys.secret import Secret
from satqkd.keys.sql.network_schema import IMPORTED_KEYS, IMPORTS
from satqkd.keys.store.key_store import KeyStore

STORED, COMPARED, FINISHED, ABANDONED = 1, 2, 3, 4
"""Steps of an import at an end: it holds the bits; it knows that the other holds them (the offering end
alone); both know; given up."""
Tagged = Answer | Confirmation | Receipt
_NAMES: Final[dict[type[Tagged], str]] = {
    Answer: "answer",
    Confirmation: "confirmation",
    Receipt: "receipt",
}
_REPLIES: Final = {"answer": "confirmation", "confirmation": "receipt"}
_COVERED_BY: Final = {"answer": "offer", "confirmation": "answer", "receipt": "confirmation"}
_TAKEN_AT: Final = {"answer": STORED, "confirmation": STORED, "receipt": COMPARED}

ImportRow = Row[Any]


class ImportProgress(msgspec.Struct, frozen=True):
    """Where an import stands at this end, and what is to be said to the other."""

    import_id: str
    peer: str
    bits: int
    """Of key that it gives, both blocks together."""
    usable: bool
    """Whether this end may give out its own block now."""
    message: bytes | None
    """For the other end, no secret; None when it needs nothing more."""

    def __repr__(self) -> str:
        return f"<ImportProgress {self.import_id}: {self.bits} bits with {self.peer}, usable {self.usable}>"


def offer_import(
    store: KeyStore,
    peer: str,
    source: KeySource,
    *,
    count: int,
    size_bits: int,
    import_id: str,
    origin: Origin,
    now_utc: str,
) -> ImportProgress:
    """Draw `count` keys of `size_bits` and offer them to the peer. The same id again gives the same offer
    again.

    Raises ConfigError, KeyAlreadyUsed (one of the keys was imported before), and what the source raises.
    """
    check_name(peer, "peer")
    check_name(import_id, "import_id")
    if origin not in ORIGINS:
        raise ConfigError(f"origin: expected one of {', '.join(ORIGINS)}, got {origin!r}")
    with store.snapshot() as connection:
        row = _find(connection, store.node_id, import_id)
    if row is None:
        key_ids, key = source.draw(count, size_bits)
        with key:
            offer = Offer(1, store.node_id, peer, import_id, origin, size_bits, key_ids)
            with store.transaction() as connection:
                _hold(connection, store.node_id, offer, key, now_utc)
                _remember(connection, offer, msgspec.msgpack.encode(offer), None)
                row = _require(connection, store.node_id, import_id)
    if row.peer != peer:
        raise KeyAlreadyUsed(
            f"import id {import_id!r} belongs to one with {row.peer!r}; give this one another id"
        )
    _require_alive(row)
    return _progress(store.node_id, row, "offer")


def take_message(
    store: KeyStore, data: bytes, *, now_utc: str, source: KeySource | None = None
) -> ImportProgress:
    """Take the other end's message, and give what is to be said in return.

    source: for an offer. Raises DataFormatError, KeyNotFound (no such import here), KeyAlreadyUsed (imported
    before), AuthenticationError (the bits of both ends differ, or the message was changed on its way; nothing
    is done but to count it), KeyStoreError (given up), and what the source raises.
    """
    step = read_step(data)
    if isinstance(step, Offer):
        return _answer(store, step, data, source, now_utc)
    return _follow(store, step, data, now_utc)


def abandon_import(store: KeyStore, node: str, import_id: str, *, now_utc: str) -> None:
    """Give an import up that will not be finished: what is not confirmed of it is wiped. May be repeated.

    node: the end that offered. Raises KeyNotFound, KeyStoreError (finished).
    """
    with store.transaction() as connection:
        row = _require(connection, node, import_id)
        if row.step == FINISHED:
            raise KeyStoreError(f"import {import_id!r} of {node!r}: it is finished; its key is in the store")
        if row.step == ABANDONED:
            return
        offer = _offer_of(row)
        for part in (offer.node, offer.peer, "compare"):
            block = ledger.find_block(connection, offer.block_id(part))
            if block.state == "unconfirmed" or part == "compare":
                material.wipe_all(connection, block)
                ledger.set_state(connection, block, "discarded", now_utc)
        _move(connection, row, ABANDONED, {})
        audit.append(connection, "import abandoned", now_utc, node=node, import_id=import_id)


def _answer(
    store: KeyStore, offer: Offer, data: bytes, source: KeySource | None, now_utc: str
) -> ImportProgress:
    if offer.peer != store.node_id:
        raise KeyNotFound(
            f"this offer is from {offer.node!r} for {offer.peer!r}; this store is of {store.node_id!r}"
        )
    with store.snapshot() as connection:
        row = _find(connection, offer.node, offer.import_id)
        if row is None:
            _require_new(connection, offer)
    if row is None:
        if source is None:
            raise ConfigError("import: expected where the keys of an offer come from; name the source")
        with source.fetch(offer.key_ids, offer.size_bits) as key, store.transaction() as connection:
            _hold(connection, store.node_id, offer, key, now_utc)
            answer = _say(connection, offer, "answer", data, now_utc)
            _remember(connection, offer, data, answer)
            row = _require(connection, offer.node, offer.import_id)
    if bytes(row.offer) != data:
        raise KeyAlreadyUsed(
            f"import {offer.import_id!r} of {offer.node!r} was offered otherwise before; this one is refused"
        )
    _require_alive(row)
    return _progress(store.node_id, row, "answer")


def _follow(store: KeyStore, step: Tagged, data: bytes, now_utc: str) -> ImportProgress:
    got = _NAMES[type(step)]
    with store.transaction() as connection:
        row = _require(connection, step.node, step.import_id)
        _require_alive(row)
        if (row.node == store.node_id) == (got == "confirmation"):
            raise KeyStoreError(f"import {row.import_id!r}: a {got} is for the other end, which is not this")
        if row.step < _TAKEN_AT[got]:
            raise KeyStoreError(f"import {row.import_id!r}: a {got} came before what it replies to was said")
        repeated = row.step > _TAKEN_AT[got]
        good = repeated or _compare(connection, row, step, got, now_utc)
        if good and not repeated:
            _advance(connection, row, got, data, now_utc)
        row = _require(connection, step.node, step.import_id)
    if not good:
        raise AuthenticationError(
            f"import {step.import_id!r}: the tag of this {got} does not fit the bits here: both ends hold "
            f"different bits, or it was changed on its way; nothing was done; get it again or give up"
        )
    return _progress(store.node_id, row, _REPLIES.get(got))


def _advance(connection: Connection, row: ImportRow, got: str, data: bytes, utc: str) -> None:
    """Confirm what a good message allows, and say what follows it."""
    offer = _offer_of(row)
    confirmed = {"answer": [offer.peer], "confirmation": [offer.node, offer.peer], "receipt": [offer.node]}[
        got
    ]
    for part in confirmed:
        _confirm(connection, offer, part, utc)
    said = {got: data}
    if got in _REPLIES:
        said[_REPLIES[got]] = _say(connection, offer, _REPLIES[got], data, utc)
    _move(connection, row, COMPARED if got == "answer" else FINISHED, said)


def _compare(connection: Connection, row: ImportRow, step: Tagged, got: str, utc: str) -> bool:
    """Whether a message's tag fits; its key is then used, else the failure is counted."""
    offer = _offer_of(row)
    place = [offer.tag_range(got)]
    blocks = [ledger.find_block(connection, place[0].block_id)]
    use = Use("import tag", offer.import_id, utc)
    with _covered(connection, offer, got, bytes(getattr(row, _COVERED_BY[got]))) as data:
        if not onetime_mac.verify(connection, blocks, place, data.expose(), step.tag, use):
            return False
    ledger.use_up(connection, blocks, place, use)
    return True


def _say(connection: Connection, offer: Offer, name: str, before: bytes, utc: str) -> bytes:
    """A message with its tag, whose key is used."""
    place = [offer.tag_range(name)]
    blocks = [ledger.find_block(connection, place[0].block_id)]
    key = ledger.take(connection, blocks, place, Use("import tag", offer.import_id, utc)).key
    with key, _covered(connection, offer, name, before) as data:
        tag = onetime_mac.tag(key, data.expose())
    kind = next(kind for kind, each in _NAMES.items() if each == name)
    return msgspec.msgpack.encode(kind(1, offer.node, offer.import_id, tag))


def _covered(connection: Connection, offer: Offer, name: str, before: bytes) -> Secret:
    """What the tag of a message covers: the message before it; the answer's, both blocks besides."""
    if name != "answer":
        return Secret(before)
    whole = [ledger.find_block(connection, offer.block_id(part)) for part in (offer.node, offer.peer)]
    ranges = [KeyRange(block.block_id, 0, block.bits) for block in whole]
    with material.read(connection, whole, ranges) as key:
        covered = bytearray(len(before) + len(key))
        covered[: len(before)] = before
        covered[len(before) :] = key.expose()
    return Secret(covered)


def _hold(connection: Connection, node_id: str, offer: Offer, key: Secret, utc: str) -> None:
    """Store an import's three blocks and its row; raises KeyAlreadyUsed for keys imported before."""
    check_offer(offer)
    if len(key) * 8 != offer.bits:
        raise DataFormatError(f"import: expected {offer.bits} bits of the source, got {8 * len(key)}")
    _require_new(connection, offer)
    peer = offer.peer if node_id == offer.node else offer.node
    connection.execute(insert(IMPORTED_KEYS), [{"peer": peer, "key_id": key_id} for key_id in offer.key_ids])
    rest = offer.bits - COMPARE_BITS
    first = COMPARE_BITS + ledger.half_bits(rest)
    places = {
        "compare": (0, COMPARE_BITS),
        offer.node: (COMPARE_BITS, first),
        offer.peer: (first, offer.bits),
    }
    for part, (start, end) in places.items():
        mine = part == node_id
        new = ledger.NewBlock(
            block_id=offer.block_id(part),
            peer=peer,
            kind="pair",
            origin=offer.origin,
            state="unconfirmed",
            own_from_bits=0,
            own_until_bits=end - start if mine else 0,
            created_utc=utc,
        )
        with key.part(start // 8, end // 8) as bits:
            ledger.store_block(connection, new, bits.expose())
    _confirm(connection, offer, "compare", utc)
    audit.append(
        connection, "import", utc, node=offer.node, import_id=offer.import_id, peer=peer, bits=offer.bits
    )


def _remember(connection: Connection, offer: Offer, data: bytes, answer: bytes | None) -> None:
    row = insert(IMPORTS).values(
        node=offer.node,
        import_id=offer.import_id,
        peer=offer.peer,
        step=STORED,
        offer=data,
        answer=answer,
    )
    connection.execute(row)


def _require_new(connection: Connection, offer: Offer) -> None:
    known = select(IMPORTED_KEYS.c.key_id).where(IMPORTED_KEYS.c.key_id.in_(offer.key_ids))
    row = connection.execute(known).first()
    if row is not None:
        raise KeyAlreadyUsed(
            f"import {offer.import_id!r}: key {row.key_id!r} was imported before; draw others"
        )


def _confirm(connection: Connection, offer: Offer, part: str, utc: str) -> None:
    ledger.set_state(connection, ledger.find_block(connection, offer.block_id(part)), "confirmed", utc)


def _is(node: str, import_id: str) -> ColumnElement[bool]:
    return and_(IMPORTS.c.node == node, IMPORTS.c.import_id == import_id)


def _find(connection: Connection, node: str, import_id: str) -> ImportRow | None:
    return connection.execute(select(IMPORTS).where(_is(node, import_id))).first()


def _require(connection: Connection, node: str, import_id: str) -> ImportRow:
    row = _find(connection, node, import_id)
    if row is None:
        raise KeyNotFound(f"no import {import_id!r} of {node!r} in this store; begin with its offer")
    return row


def _require_alive(row: ImportRow) -> None:
    if row.step == ABANDONED:
        raise KeyStoreError(f"import {row.import_id!r} of {row.node!r} was given up here; offer other keys")


def _move(connection: Connection, row: ImportRow, step: int, said: dict[str, bytes]) -> None:
    connection.execute(update(IMPORTS).where(_is(row.node, row.import_id)).values(step=step, **said))


def _offer_of(row: ImportRow) -> Offer:
    return msgspec.msgpack.decode(row.offer, type=Offer)


def _progress(node_id: str, row: ImportRow, message: str | None) -> ImportProgress:
    offer = _offer_of(row)
    said = None if message is None else getattr(row, message)
    return ImportProgress(
        import_id=offer.import_id,
        peer=offer.peer if node_id == offer.node else offer.node,
        bits=offer.bits - COMPARE_BITS,
        usable=row.step == FINISHED,
        message=None if said is None else bytes(said),
    )
