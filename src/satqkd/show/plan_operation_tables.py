"""The tables of an operation's report as rows of text. Knows the operation's view; no HTML."""

from typing import Final

from satqkd.constants import DAY_S
from satqkd.show.plan_operation_view import OperationView
from satqkd.show.tables import Table, decimals, percent, whole

MOST_ALARMS: Final = 200
"""In the table."""


def pair_table(operation: OperationView) -> Table:
    """Every pair, the worst served first."""
    alarms = [each.pair for each in operation.alarms]
    header = (
        "pair",
        "demand, bit/s",
        "demand met",
        "periods served",
        "unmet, bits",
        "lowest level, bits",
        "longest empty, days",
        "waiting, bits",
        "left, bits",
        "alarms",
    )
    rows = [
        (
            each.pair,
            f"{each.demand_bit_s:g}",
            percent(each.share),
            percent(each.share_of_periods),
            whole(each.wanted_bits - each.used_bits),
            whole(each.lowest_bits),
            decimals(each.longest_empty_s / DAY_S, 1),
            whole(each.waiting_bits),
            whole(each.left_bits),
            whole(alarms.count(each.pair)),
        )
        for each in sorted(operation.pairs, key=lambda each: (each.share, each.pair))
    ]
    return Table("Pairs", header, tuple(rows))


def satellite_table(operation: OperationView) -> Table:
    """Contacts of each satellite, flown and cloudy."""
    rows = [
        (
            each.satellite,
            whole(each.contacts),
            whole(each.contacts - each.cloudy),
            whole(each.cloudy),
            percent(each.cloudy / each.contacts if each.contacts else None),
            decimals(each.contact_s / 3600, 1),
        )
        for each in operation.satellites
    ]
    header = ("satellite", "contacts flown", "clear", "cloudy", "share cloudy", "time in contact, hours")
    return Table("Satellites", header, tuple(rows))


def link_table(operation: OperationView) -> Table:
    """What came over each link, and into what it went; each row adds up."""
    rows = [
        (
            f"{each.satellite} and {each.station}",
            whole(each.key_bits),
            whole(each.relayed_bits),
            whole(each.tag_bits),
            whole(each.overflow_bits),
            whole(each.expired_bits),
            whole(each.left_bits),
        )
        for each in operation.links
    ]
    header = (
        "link",
        "came, bits",
        "relayed, bits",
        "for tags, bits",
        "without room, bits",
        "too old, bits",
        "left on board, bits",
    )
    return Table("Links", header, tuple(rows))


def alarm_table(operation: OperationView) -> Table:
    """The first alarms, in order of time."""
    listed = sorted(operation.alarms, key=lambda each: each.begin_utc)[:MOST_ALARMS]
    rows = [
        (each.pair, each.begin_utc, each.end_utc or "lasted to the end", whole(each.lowest_bits))
        for each in listed
    ]
    header = ("pair", "begin, UTC", "end, UTC", "lowest, bits")
    return Table(f"The first {len(rows)} of {whole(len(operation.alarms))} alarms", header, tuple(rows))
