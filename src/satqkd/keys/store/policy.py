"""What operators want of key with each peer, and what is not so: alarms, daily quotas, age.

Alarms of a row: `low` (fewer unused bits than wanted), `old` (the oldest unused key is past its age), `quota`
(applications have had the day's key). Times are given by the caller; the settings are `KeyNetwork`'s.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, func, select

from satqkd.config import KeyNetwork
from satqkd.errors import KeyExhausted
from satqkd.keys.model import BlockRow, StatusRow
from satqkd.keys.paths import colluders
from satqkd.keys.sql.schema import BLOCKS, RESERVATIONS, SPENDS
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.retirement import Retired, expire
from satqkd.sky import format_utc, parse_utc

GIVEN: Final = ("delivered", "export")
"""Purposes that a quota counts: what applications got of this end's part."""


class LinkStatus(StatusRow, frozen=True):
    """A row of `keys status`: what is left with one peer, and what is wrong with it."""

    age_s: float | None = None
    """Of the oldest block with unused key."""
    colluders: int | None = None
    """So few nodes on its way would know some unused key if they joined; none: no number of them."""
    alarms: tuple[str, ...] = ()


def link_rows(
    store: KeyStore, network: KeyNetwork, *, low_bits: int | None = None, now_utc: str
) -> list[LinkStatus]:
    """One row for each peer and kind; a peer of the policy without pair key has one too.

    low_bits: under it every row is low, whatever the policy says.
    """
    blocks = store.list_blocks()
    rows = {row.link: row for row in store.status()}
    for policy in network.pair:
        link = f"{policy.peer} pair"
        rows.setdefault(link, StatusRow(link, 0, 0, 0, 0, None))
    with store.snapshot() as connection:
        given = {peer: given_bits(connection, peer, now_utc) for peer in _peers(network)}
    return [
        _row(row, [b for b in blocks if f"{b.peer} {b.kind}" == link], network, low_bits, given, now_utc)
        for link, row in sorted(rows.items())
    ]


def _peers(network: KeyNetwork) -> list[str]:
    return [each.peer for each in network.pair]


def _row(
    row: StatusRow,
    blocks: Sequence[BlockRow],
    network: KeyNetwork,
    low_bits: int | None,
    given: dict[str, int],
    now_utc: str,
) -> LinkStatus:
    peer, _, kind = row.link.rpartition(" ")
    policy = network.pair_with(peer) if kind == "pair" else None
    age_s = None if row.oldest_utc is None else _seconds(row.oldest_utc, now_utc)
    alarms = []
    wanted = [bits for bits in (low_bits, policy.low_bits if policy else None) if bits is not None]
    if wanted and row.live_bits < max(wanted):
        alarms.append("low")
    if policy is not None and policy.max_age_s is not None and (age_s or 0) > policy.max_age_s:
        alarms.append("old")
    if policy is not None and policy.bits_a_day is not None and given[peer] >= policy.bits_a_day:
        alarms.append("quota")
    return LinkStatus(
        **msgspec.structs.asdict(row), age_s=age_s, colluders=_fewest(blocks), alarms=tuple(alarms)
    )


def _fewest(blocks: Iterable[BlockRow]) -> int | None:
    found = [colluders(block.paths) for block in blocks if block.live_bits]
    return min((count for count in found if count is not None), default=None)


def _seconds(since_utc: str, now_utc: str) -> float:
    return (parse_utc(now_utc) - parse_utc(since_utc)).total_seconds()


def given_bits(connection: Connection, peer: str, now_utc: str) -> int:
    """What applications got of pair key with a peer on this day of UTC, and what is set aside for them."""
    pair = and_(BLOCKS.c.peer == peer, BLOCKS.c.kind == "pair")
    today = and_(SPENDS.c.purpose.in_(GIVEN), SPENDS.c.spent_utc.startswith(now_utc[:10]))
    spent = select(func.sum(SPENDS.c.length_bits)).join_from(SPENDS, BLOCKS, SPENDS.c.block_pk == BLOCKS.c.pk)
    aside = select(func.sum(RESERVATIONS.c.length_bits)).join_from(
        RESERVATIONS, BLOCKS, RESERVATIONS.c.block_pk == BLOCKS.c.pk
    )
    totals = (spent.where(and_(pair, today)), aside.where(pair))
    return sum(int(connection.execute(query).scalar() or 0) for query in totals)


def left_bits(connection: Connection, network: KeyNetwork, peer: str, now_utc: str) -> int | None:
    """What applications may still get today with a peer; None: as much as there is."""
    policy = network.pair_with(peer)
    if policy is None or policy.bits_a_day is None:
        return None
    return max(0, policy.bits_a_day - given_bits(connection, peer, now_utc))


def require_quota(
    connection: Connection, network: KeyNetwork, peer: str, bits: int, now_utc: str
) -> int | None:
    """What is left of the day's quota, None for no limit. Raises KeyExhausted for less than `bits`."""
    left = left_bits(connection, network, peer, now_utc)
    if left is not None and bits > left:
        raise KeyExhausted(
            f"quota of key with {peer!r}: {bits} bits asked for, {left} left on {now_utc[:10]}; ask for "
            f"less, or raise bits_a_day in the policy of this node"
        )
    return left


def expire_by_policy(store: KeyStore, network: KeyNetwork, *, now_utc: str) -> list[Retired]:
    """Give up pair key that is past its peer's `max_age_s`, and keys that wait for so long."""
    return [
        expire(store, before(now_utc, each.max_age_s), peer=each.peer, kind="pair", now_utc=now_utc)
        for each in network.pair
        if each.max_age_s is not None
    ]


def before(now_utc: str, age_s: float) -> str:
    """An instant so much earlier."""
    return format_utc(parse_utc(now_utc) - timedelta(seconds=age_s))
