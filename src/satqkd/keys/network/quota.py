"""How much key a node may relay for a pair of stations: in all, and in a day of UTC.

Every relay is counted, whoever asked for it; the limit is asked for by whoever serves others' commands.
Works inside the caller's transaction.
"""

from typing import Final

from sqlalchemy import Connection, and_, func, select

from satqkd.config import KeyNetwork
from satqkd.errors import KeyExhausted
from satqkd.keys.sql.network_schema import RELAYED
from satqkd.keys.sql.statements import run

_NOTE: Final = (
    "INSERT INTO relayed (relay_id, station_a, station_b, bits, relayed_utc) VALUES (?, ?, ?, ?, ?)"
)


def note(
    connection: Connection, relay_id: str, stations: tuple[str, str], bits: int, utc: str | None
) -> None:
    """Count a relay."""
    first, second = sorted(stations)
    run(connection, _NOTE, (relay_id, first, second, bits, utc or ""))


def relayed_bits(connection: Connection, stations: tuple[str, str], day_utc: str | None = None) -> int:
    """Bits relayed for a pair in either order; on a day, `2026-01-02`, or ever."""
    first, second = sorted(stations)
    mine = and_(RELAYED.c.station_a == first, RELAYED.c.station_b == second)
    if day_utc is not None:
        mine = and_(mine, RELAYED.c.relayed_utc.startswith(day_utc))
    return int(connection.execute(select(func.sum(RELAYED.c.bits)).where(mine)).scalar() or 0)


def require(
    connection: Connection, network: KeyNetwork, stations: tuple[str, str], bits: int, now_utc: str
) -> None:
    """Raises KeyExhausted where a relay of `bits` bits would pass the pair's quota; no quota, no limit."""
    quota = network.quota_of(stations)
    if quota is None:
        return
    day_utc = now_utc[:10]
    for limit, done, when in (
        (quota.bits, relayed_bits(connection, stations), "in all"),
        (quota.bits_a_day, relayed_bits(connection, stations, day_utc), f"on {day_utc}"),
    ):
        if limit is not None and done + bits > limit:
            raise KeyExhausted(
                f"quota of {stations[0]!r} and {stations[1]!r}: {limit} bits {when}, {done} relayed, {bits} "
                f"more asked for; ask for less, or raise the quota in the settings of this node"
            )
