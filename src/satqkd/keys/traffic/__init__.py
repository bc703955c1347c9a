"""User traffic of a node: what is sent, what came, what is carried.

    queue(store, draft, now_utc=...)      a message waits in the outbox, in plain
    seal_waiting(store, now_utc=...)      key is spent, the ciphertext is ready to go, the plain text gone
    receive(connection, parcel, data)     tag checked, kept once, receipt on its way

What is said over the link about all this is `mission.courier`. Formats and attacks: `docs/traffic.md`.
"""

from satqkd.keys.traffic.grant import accept_grant, granted, make_grant
from satqkd.keys.traffic.inbox import content_of, incoming, receive
from satqkd.keys.traffic.outbox import Sealing, outgoing, queue, seal_waiting
from satqkd.keys.traffic.seal import TOKEN_BITS, key_bits_for
from satqkd.keys.traffic_model import (
    URGENT_BYTES,
    Draft,
    IncomingRow,
    OutgoingRow,
    Parcel,
    Policy,
    check_draft,
    split_id,
)

__all__ = [
    "TOKEN_BITS",
    "URGENT_BYTES",
    "Draft",
    "IncomingRow",
    "OutgoingRow",
    "Parcel",
    "Policy",
    "Sealing",
    "accept_grant",
    "check_draft",
    "content_of",
    "granted",
    "incoming",
    "key_bits_for",
    "make_grant",
    "outgoing",
    "queue",
    "receive",
    "seal_waiting",
    "split_id",
]
