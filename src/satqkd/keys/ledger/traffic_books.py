"""Whether user traffic and the ledger tell the same story, to the bit. Reads only."""

from collections import Counter

from sqlalchemy import Connection, select

from satqkd.keys.sql.schema import SPENDS
from satqkd.keys.sql.traffic_schema import INBOX, OUTBOX
from satqkd.keys.traffic_model import PURPOSE, received_reference, sent_reference


def faults(connection: Connection) -> list[str]:
    """What does not add up: key of each message against what was spent for it."""
    spent: Counter[str] = Counter()
    for row in connection.execute(
        select(SPENDS.c.reference, SPENDS.c.length_bits).where(SPENDS.c.purpose == PURPOSE)
    ):
        spent[row.reference] += row.length_bits
    told = _told(connection)
    return [
        f"traffic {reference!r}: {spent[reference]} bits spent, the message says {told[reference]}"
        for reference in sorted(spent | told)
        if spent[reference] != told[reference]
    ]


def _told(connection: Connection) -> Counter[str]:
    told: Counter[str] = Counter()
    sent = select(OUTBOX.c.number, OUTBOX.c.receiver, OUTBOX.c.key_bits).where(OUTBOX.c.key_bits > 0)
    for row in connection.execute(sent):
        told[sent_reference(row.receiver, row.number)] = row.key_bits
    for row in connection.execute(select(INBOX.c.sender, INBOX.c.number, INBOX.c.key_bits)):
        told[received_reference(row.sender, row.number)] = row.key_bits
    return told
