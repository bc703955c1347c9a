"""Operations with easy numbers, in the form that `satqkd operate --json` prints."""

from typing import Any

from satqkd.constants import DAY_S

START = "2025-01-15T12:00:00Z"


def pair(name: str, share: float, **changes: Any) -> dict[str, Any]:
    """A pair that wanted 1000 bits a day of three days."""
    return {
        "pair": name,
        "ends": name.split("-"),
        "satellites": 1,
        "demand_bit_s": 0.25,
        "wanted_bits": 3000,
        "used_bits": int(3000 * share),
        "share": share,
        "share_of_periods": share / 2,
        "lowest_bits": 17,
        "longest_empty_s": 2 * DAY_S,
        "relayed_bits": 4000,
        "combined_bits": 0,
        "waiting_bits": 321,
        "key_bits": 4000,
        "left_bits": 1234,
    } | changes


def operation(**changes: Any) -> dict[str, Any]:
    """Two pairs over one satellite."""
    return {
        "name": "easy",
        "seed": 7,
        "method": "exact",
        "start_utc": START,
        "duration_s": 2.5 * DAY_S,
        "period_s": DAY_S,
        "window_s": 7 * DAY_S,
        "share": 0.75,
        "worst_share": 0.5,
        "pairs": [pair("graz-cape", 1.0), pair("tokyo-cape", 0.5)],
        "links": [
            {
                "satellite": "s-1",
                "station": "graz",
                "key_bits": 987_654,
                "overflow_bits": 11_111,
                "relayed_bits": 900_000,
                "tag_bits": 543,
                "expired_bits": 22_222,
                "left_bits": 53_778,
            }
        ],
        "satellites": [{"satellite": "s-1", "contacts": 8, "cloudy": 2, "contact_s": 5400.0}],
        "alarms": [
            {
                "pair": "graz-cape",
                "begin_utc": "2025-01-16T12:00:00Z",
                "end_utc": "2025-01-17T12:00:00Z",
                "lowest_bits": 3,
            },
            {"pair": "tokyo-cape", "begin_utc": "2025-01-17T12:00:00Z", "end_utc": None, "lowest_bits": 0},
        ],
        "levels": [[5000, 3, 700], [0, 10, 0]],
    } | changes
