"""What the pictures of an operation are drawn from: the operation as JSON tells it; levels of its stores.

Fields that are not shown are ignored. Knows no ledger, no sky and no file.
"""

from typing import Any

import msgspec
import numpy as np

from satqkd.errors import DataFormatError
from satqkd.show.plan_parts import Alarm, StoreLevels
from satqkd.sky import parse_utc


class PairServed(msgspec.Struct, frozen=True, kw_only=True):
    """A pair over the horizon."""

    pair: str
    demand_bit_s: float
    wanted_bits: int
    used_bits: int
    share: float
    share_of_periods: float
    lowest_bits: int
    longest_empty_s: float
    key_bits: int
    waiting_bits: int
    left_bits: int


class LinkServed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a link's key."""

    satellite: str
    station: str
    key_bits: int
    relayed_bits: int
    tag_bits: int
    overflow_bits: int
    expired_bits: int
    left_bits: int


class SatelliteFlown(msgspec.Struct, frozen=True, kw_only=True):
    """A satellite's contacts."""

    satellite: str
    contacts: int
    cloudy: int
    contact_s: float


class AlarmTold(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's store below its mark."""

    pair: str
    begin_utc: str
    end_utc: str | None
    lowest_bits: int


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as `satqkd operate --json` prints it, the fields that are shown."""

    name: str
    seed: int
    method: str
    start_utc: str
    duration_s: float
    period_s: float
    window_s: float
    share: float
    worst_share: float
    pairs: tuple[PairServed, ...]
    links: tuple[LinkServed, ...]
    satellites: tuple[SatelliteFlown, ...]
    alarms: tuple[AlarmTold, ...]
    levels: tuple[tuple[int, ...], ...]


def view_of_operation(operation: dict[str, Any]) -> OperationView:
    """An operation's JSON. Raises DataFormatError for what is none."""
    try:
        return msgspec.convert(operation, OperationView)
    except msgspec.ValidationError as error:
        raise DataFormatError(
            f"operation: expected what `satqkd operate --json` prints, got {error}"
        ) from None


def levels_of(operation: OperationView) -> StoreLevels:
    """Stores of the pairs, empty at first, then as they were at the end of each period."""
    count = len(operation.levels[0]) if operation.levels else 0
    ends_s = np.minimum(operation.period_s * np.arange(1, count + 1), operation.duration_s)
    level_bits = np.array(operation.levels, dtype=np.float64).reshape(len(operation.pairs), count)
    return StoreLevels(
        title="stores of pairs",
        names=tuple(each.pair for each in operation.pairs),
        t_s=np.concatenate([[0.0], ends_s]),
        level_bits=np.concatenate([np.zeros((len(operation.pairs), 1)), level_bits], axis=1),
        alarms=tuple(_alarm(operation, each) for each in operation.alarms),
    )


def _alarm(operation: OperationView, alarm: AlarmTold) -> Alarm:
    def after_start_s(utc: str) -> float:
        return (parse_utc(utc) - parse_utc(operation.start_utc)).total_seconds()

    end_s = operation.duration_s if alarm.end_utc is None else after_start_s(alarm.end_utc)
    return Alarm(store=alarm.pair, start_s=after_start_s(alarm.begin_utc), end_s=end_s)
