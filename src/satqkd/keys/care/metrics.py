"""A store's numbers as Prometheus metrics: by peer and kind, base units in the names; no key, no clock."""

from collections.abc import Iterator, Sequence

import msgspec

from satqkd.exposition import Labels, Metric
from satqkd.keys.store.accounts import counts_of
from satqkd.keys.store.key_store import KeyStore
from satqkd.keys.store.policy import LinkStatus


class StoreNumbers(msgspec.Struct, frozen=True):
    """What is told of a store."""

    node_id: str
    links: tuple[LinkStatus, ...]
    failed_tags: int
    """Wrong tags of files and records that are counted against their keys."""
    audit_entries: int
    held_keys: int


def numbers_of(store: KeyStore, links: Sequence[LinkStatus]) -> StoreNumbers:
    """Of a store now, with its rows as `policy.link_rows` gives them."""
    with store.snapshot() as connection:
        failed, entries, held = counts_of(connection)
    return StoreNumbers(store.node_id, tuple(links), failed, entries, held)


def store_metrics(numbers: StoreNumbers) -> Iterator[Metric]:
    """All of them; what is not known has no sample."""
    told = (
        ("live_bits", "gauge", "Confirmed key that is not used.", "live_bits"),
        ("reserved_bits", "gauge", "Key set aside for a delivery under way.", "reserved_bits"),
        ("spent_bits_total", "counter", "Key that was used.", "spent_bits"),
        ("unconfirmed_bits", "gauge", "Key not known to be held by the peer.", "unconfirmed_bits"),
        ("oldest_age_seconds", "gauge", "Age of the oldest block with unused key.", "age_s"),
    )
    for name, kind, text, field in told:
        values = [(_labels(numbers, row), getattr(row, field)) for row in numbers.links]
        samples = [(labels, float(value)) for labels, value in values if value is not None]
        yield Metric(f"satqkd_store_{name}", kind, text, samples)
    alarms = [
        (_labels(numbers, row) | {"alarm": alarm}, float(alarm in row.alarms))
        for row in numbers.links
        for alarm in ("low", "old", "quota")
    ]
    yield Metric("satqkd_store_alarm", "gauge", "1 for an alarm that is on.", alarms)
    me = {"node": numbers.node_id}
    for name, kind, text, value in (
        ("failed_tags_total", "counter", "Wrong tags of files and records.", numbers.failed_tags),
        ("audit_entries_total", "counter", "Entries of the audit log.", numbers.audit_entries),
        ("held_keys", "gauge", "Keys that wait for applications.", numbers.held_keys),
    ):
        yield Metric(f"satqkd_store_{name}", kind, text, [(me, float(value))])


def _labels(numbers: StoreNumbers, row: LinkStatus) -> Labels:
    peer, _, kind = row.link.rpartition(" ")
    return {"node": numbers.node_id, "peer": peer, "kind": kind}
