"""Tags that hold whatever the forger's computer: Poly1305 with r and s used for one message.

A forger who sees one message and its tag passes another message with probability at most
8 ceil(L / 16) / 2^106 an attempt, L the bytes of the longer one (Bernstein 2005, theorem 3.3; a
Wegman-Carter code, as s is as long as the tag and used once). Files and relay records come over ground
paths that anybody can write to, so wrong ones must not kill the right one: the receiver allows
`ATTEMPTS` = 2^16 wrong tags per key, counted durably before the verdict is told; with the last of them
the key counts as spent. All of them together pass with probability at most 2^16 times the bound of one:
2^(16 + 3 + 16 - 106) = 2^-71 for 1 MiB (2^16 pieces of 16 bytes), and 2^(16 + 3 + 24 - 106) = 2^-63 for
the longest relay record, 2^28 bytes.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.poly1305 import Poly1305
from sqlalchemy import Connection, and_, delete, insert, select

from satqkd.keys.ledger import audit, ledger, material
from satqkd.keys.model import MAC_KEY_BITS, KeyRange
from satqkd.keys.secret import Secret, xor_all
from satqkd.keys.sql.schema import FAILED_TAGS

TAG_BYTES: Final = 16
ATTEMPTS: Final = 1 << 16


def tag(key: Secret, data: bytes | memoryview) -> bytes:
    """Poly1305 (RFC 8439, section 2.5) of the data under a 32-byte one-time key r || s."""
    return Poly1305.generate_tag(key.expose(), data)


def verify(
    connection: Connection,
    blocks: Sequence[ledger.Block],
    ranges: Sequence[KeyRange],
    data: bytes | memoryview,
    got: bytes,
    use: ledger.Use,
    *,
    shares: int = 1,
) -> bool:
    """Whether a tag fits the key that lies in `ranges` (MAC_KEY_BITS in all); a failure is counted.

    shares: so many keys lie there, one after the other, and the tag's is their exclusive or.

    The caller commits either answer before telling it. Spends nothing unless the attempts are used up;
    raises KeyAlreadyUsed when the key is spent.
    """
    assert sum(piece.length_bits for piece in ranges) == shares * MAC_KEY_BITS
    ledger.require_unused(connection, blocks, ranges)
    with material.read_unused(connection, blocks, ranges) as keys, _mixed(keys, shares) as key:
        good = hmac.compare_digest(tag(key, data), got)
    if not good:
        _count_failure(connection, blocks, ranges, use)
    return good


def _mixed(keys: Secret, shares: int) -> Secret:
    n = len(keys) // shares
    return xor_all([keys.part(i * n, (i + 1) * n) for i in range(shares)])


def _count_failure(
    connection: Connection, blocks: Sequence[ledger.Block], ranges: Sequence[KeyRange], use: ledger.Use
) -> None:
    place = and_(FAILED_TAGS.c.block_pk == blocks[0].pk, FAILED_TAGS.c.offset_bits == ranges[0].offset_bits)
    failures = 1 + (connection.execute(select(FAILED_TAGS.c.failures).where(place)).scalar() or 0)
    connection.execute(delete(FAILED_TAGS).where(place))
    connection.execute(
        insert(FAILED_TAGS).values(
            block_pk=blocks[0].pk, offset_bits=ranges[0].offset_bits, failures=failures
        )
    )
    if failures & (failures - 1) == 0 or failures == ATTEMPTS:  # a flood must not fill the log
        audit.append(
            connection, "wrong tag", use.utc, purpose=use.purpose, ranges=list(ranges), failures=failures
        )
    if failures >= ATTEMPTS:
        refused = ledger.Use("refused tag", use.reference, use.utc)
        ledger.use_up(connection, blocks, ranges, refused)
