"""The ground commands a relay: one message, believed once.

A command is known by its commander and sequence. Its tag's key is pair key that the commander allocates (at a
satellite: of a grant), so that nothing has to be agreed first; authentication key is no good for it, since a
pass under way would step over its position before the command arrives.

At the node, in one transaction: the tag is checked, its key used, the sequence moved forward, the relay made
or its refusal noted. A wrong tag changes nothing but the count of wrong tags. A command that is authentic is
never looked at a second time: said again it gives the record it gave, one that was refused must be given
anew, and one that comes after a later one is refused.
"""

import hashlib
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select

from satqkd.config import KeyNetwork
from satqkd.errors import AuthenticationError, ConfigError, KeyAlreadyUsed, KeyNotFound, KeyStoreError
from satqkd.keys.ledger import audit, ledger, onetime_mac
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS, check_bits, check_name
from satqkd.keys.network import quota
from satqkd.keys.network.command_record import CommandEnvelope, Order, read_command
from satqkd.keys.network.relay import LINKS, RelayRecord, allocate_ends, combine, find_relay, made_before
from satqkd.keys.network.relay_record import RelayKind
from satqkd.keys.sql.network_schema import COMMANDS
from satqkd.keys.store.key_store import KeyStore

_USE: Final = "command"


def make_command(
    store: KeyStore,
    node: str,
    stations: tuple[str, str],
    bits: int,
    *,
    relay_id: str,
    not_after_utc: str,
    now_utc: str,
    kinds: tuple[RelayKind, RelayKind] = LINKS,
    demo: bool = False,
) -> bytes:
    """At the commander: order a relay; takes MAC_KEY_BITS of its part of the pair key with the node.

    not_after_utc: to the second, with Z. The same relay id again gives the same command again. Raises
    ConfigError, KeyExhausted, KeyNotFound, OriginRefused, KeyAlreadyUsed (the id is of another command).
    """
    _check_request(store.node_id, node, stations, bits, relay_id)
    with store.transaction() as connection:
        data = _ordered_before(connection, store.node_id, node, relay_id)
        if data is None:
            key = ledger.spend(
                connection, node, "pair", MAC_KEY_BITS, Use(_USE, relay_id, now_utc), demo=demo
            )
            order = Order(
                commander=store.node_id,
                node=node,
                sequence=1 + last_sequence(connection, store.node_id, node),
                relay_id=relay_id,
                stations=stations,
                kinds=kinds,
                bits=bits,
                not_after_utc=not_after_utc,
                mac_ranges=key.ranges,
            )
            body = msgspec.msgpack.encode(order)
            with key.key as secret:
                data = msgspec.msgpack.encode(CommandEnvelope(1, body, onetime_mac.tag(secret, body)))
            read_command(data)  # what the node would refuse is not sent
            _note(connection, order, body, command=data, refusal=None, utc=now_utc)
    order, _ = read_command(data)
    if (order.stations, order.kinds, order.bits) != (stations, kinds, bits):
        raise KeyAlreadyUsed(
            f"relay id {relay_id!r} belongs to a command of {order.bits} bits for {order.stations[0]!r} and "
            f"{order.stations[1]!r}; give this one another id"
        )
    return data


def execute_command(
    store: KeyStore, command: bytes, *, network: KeyNetwork, now_utc: str, demo: bool = False
) -> RelayRecord:
    """At the node: make the relay that an authentic command orders, once.

    The same command again gives the same record again. Raises DataFormatError, KeyNotFound (for another
    node), KeyStoreError (not a commander here; too late), KeyAlreadyUsed (replayed with changes, out of
    order, or refused before), AuthenticationError, KeyExhausted (key or quota), OriginRefused. After the last
    three of these and where it is too late the commander has to command anew.
    """
    order, envelope = read_command(command)
    if order.node != store.node_id:
        raise KeyNotFound(f"this command is for {order.node!r}; this store is of {store.node_id!r}")
    if order.commander not in network.commanders:
        raise KeyStoreError(
            f"command of {order.commander!r}: expected one of the commanders of this node, "
            f"{list(network.commanders)}; see the setting commanders"
        )
    refusal: KeyStoreError | None = None
    with store.transaction() as connection:
        good = _done_before(connection, order, envelope.body)
        if not good and _authentic(connection, order, envelope, now_utc, demo=demo):
            refusal, good = _refusal(connection, order, network, now_utc, demo=demo), True
            _note(connection, order, envelope.body, command=None, refusal=refusal, utc=now_utc)
            if refusal is None:
                use = Use("relay", order.relay_id, now_utc)
                combine(connection, order.node, order.stations, order.bits, use, kinds=order.kinds, demo=demo)
    if refusal is not None:
        raise refusal
    record = find_relay(store, order.relay_id) if good else None
    if record is None:
        raise AuthenticationError(
            f"the tag of command {order.sequence} does not fit the key shared with {order.commander!r}: it "
            f"was changed on its way or is not from there; nothing was done; get it again"
        )
    return record


def last_sequence(connection: Connection, commander: str, node: str) -> int:
    """Of the last command of a commander to a node that was made or believed here; 0 before the first."""
    mine = and_(COMMANDS.c.commander == commander, COMMANDS.c.node == node)
    return int(connection.execute(select(func.max(COMMANDS.c.sequence)).where(mine)).scalar() or 0)


def _check_request(node_id: str, node: str, stations: tuple[str, str], bits: int, relay_id: str) -> None:
    names = ((node, "node"), (stations[0], "station_a"), (stations[1], "station_b"), (relay_id, "relay_id"))
    for name, what in names:
        check_name(name, what)
    check_bits(bits, "bits to relay")
    if len({node, *stations}) != 3 or node == node_id:
        raise ConfigError(
            f"command: expected two stations and a node between other than {node_id!r}, got {stations} and "
            f"{node!r}"
        )


def _ordered_before(connection: Connection, commander: str, node: str, relay_id: str) -> bytes | None:
    mine = and_(COMMANDS.c.commander == commander, COMMANDS.c.node == node, COMMANDS.c.relay_id == relay_id)
    found = connection.execute(select(COMMANDS.c.command).where(mine)).scalar()
    return None if found is None else bytes(found)


def _is(order: Order) -> ColumnElement[bool]:
    return and_(
        COMMANDS.c.commander == order.commander,
        COMMANDS.c.node == order.node,
        COMMANDS.c.sequence == order.sequence,
    )


def _done_before(connection: Connection, order: Order, body: bytes) -> bool:
    """Whether just this command was obeyed. Raises KeyAlreadyUsed where its time is over otherwise."""
    row = connection.execute(select(COMMANDS).where(_is(order))).first()
    last = last_sequence(connection, order.commander, order.node)
    if row is not None and bytes(row.command_sha256) == hashlib.sha256(body).digest():
        if row.refusal is None:
            return True
        raise KeyAlreadyUsed(
            f"command {order.sequence} of {order.commander!r} was refused ({row.refusal}); command anew"
        )
    if order.sequence <= last:
        raise KeyAlreadyUsed(
            f"command {order.sequence} of {order.commander!r}: expected a sequence above {last}, the last "
            f"one believed; command anew"
        )
    return False


def _authentic(
    connection: Connection, order: Order, envelope: CommandEnvelope, utc: str, *, demo: bool
) -> bool:
    """Check the tag and use its key up; a wrong tag is counted and uses nothing."""
    use = Use(_USE, order.relay_id, utc)
    blocks = ledger.locate_for_peer(connection, order.commander, "pair", order.mac_ranges, demo=demo)
    if not onetime_mac.verify(connection, blocks, order.mac_ranges, envelope.body, envelope.tag, use):
        return False
    ledger.use_up(connection, blocks, order.mac_ranges, use)
    return True


def _refusal(
    connection: Connection, order: Order, network: KeyNetwork, now_utc: str, *, demo: bool
) -> KeyStoreError | None:
    """Why an authentic command is not obeyed; marks nothing."""
    try:
        if now_utc[:19] > order.not_after_utc[:19]:
            raise KeyStoreError(
                f"command {order.sequence} of {order.commander!r}: expected before {order.not_after_utc}, "
                f"came {now_utc}; command anew"
            )
        if made_before(connection, order.node, order.relay_id) is not None:
            raise KeyAlreadyUsed(f"relay id {order.relay_id!r} is of another relay; command under another id")
        quota.require(connection, network, order.stations, order.bits, now_utc)
        allocate_ends(connection, order.stations, order.kinds, order.bits, demo=demo)
    except KeyStoreError as error:
        return error
    return None


def _note(
    connection: Connection,
    order: Order,
    body: bytes,
    *,
    command: bytes | None,
    refusal: KeyStoreError | None,
    utc: str,
) -> None:
    told = None if refusal is None else str(refusal)
    connection.execute(
        insert(COMMANDS).values(
            commander=order.commander,
            node=order.node,
            sequence=order.sequence,
            relay_id=order.relay_id,
            command=command,
            command_sha256=hashlib.sha256(body).digest(),
            refusal=told,
        )
    )
    audit.append(
        connection,
        "command",
        utc,
        commander=order.commander,
        node=order.node,
        sequence=order.sequence,
        relay_id=order.relay_id,
        stations=list(order.stations),
        bits=order.bits,
        refusal=told,
    )
