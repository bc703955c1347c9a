"""What a satellite does with confirmed link key for its users: relays between pairs, grants to stations.

A record and the parcels that bring it to its stations are one transaction: a crash leaves both or neither.
"""

from sqlalchemy import Connection

from satqkd.config import Traffic
from satqkd.keys import KeyStore, largest_relay_bits
from satqkd.keys.ledger.ledger import Use
from satqkd.keys.model import MAC_KEY_BITS
from satqkd.keys.network.relay import combine, made_before, relays_made
from satqkd.keys.traffic import Parcel, make_grant, parcels


def due_relay_bits(store: KeyStore, settings: Traffic, pair: tuple[str, str], *, demo: bool) -> int:
    """What a relay of a pair would combine now; 0 while it would be less than the least."""
    spare = largest_relay_bits(store, *pair, demo=demo) - settings.reserve_bits
    bits = min(settings.relay_bits, spare // 8 * 8)
    return bits if bits >= settings.relay_least_bits else 0


def make_due_relays(store: KeyStore, settings: Traffic, *, now_utc: str, demo: bool) -> list[tuple[str, int]]:
    """Relay for every pair as long as there is key; gives ids and bits of the relays made."""
    made = []
    for pair in settings.pairs:
        while bits := due_relay_bits(store, settings, pair, demo=demo):
            made.append((_relay(store, pair, bits, now_utc, demo=demo), bits))
    return made


def _relay(store: KeyStore, pair: tuple[str, str], bits: int, utc: str, *, demo: bool) -> str:
    with store.transaction() as connection:
        sequence = 1 + relays_made(connection, store.node_id)
        relay_id = _free_id(connection, store.node_id, sequence)
        record = combine(connection, store.node_id, pair, bits, Use("relay", relay_id, utc), demo=demo)
        for station in pair:
            parcel = Parcel("relay", store.node_id, station, sequence)
            parcels.add(connection, parcel, record, urgent=False, utc=utc)
    return relay_id


def _free_id(connection: Connection, satellite: str, sequence: int) -> str:
    """A relay's id that nobody took, as a user may have by hand."""
    while made_before(connection, satellite, f"traffic-{sequence}") is not None:
        sequence += 1
    return f"traffic-{sequence}"


def make_due_grant(
    store: KeyStore, settings: Traffic, station: str, *, now_utc: str, demo: bool
) -> int | None:
    """Grant key to a station when little of the last grant is left; gives the grant's number if so."""
    left = store.available_bits(station, "pair", demo=demo)
    spare = store.available_bits(station, "link", demo=demo) - MAC_KEY_BITS - settings.reserve_bits
    if not settings.grant_bits or left > settings.grant_bits // 8 or spare < settings.grant_bits:
        return None
    with store.transaction() as connection:
        number, record = make_grant(
            connection, store.node_id, station, settings.grant_bits, now_utc, demo=demo
        )
        parcel = Parcel("grant", store.node_id, station, number)
        parcels.add(connection, parcel, record, urgent=False, utc=now_utc)
    return number
