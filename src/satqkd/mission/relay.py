"""How much two links can give to a pair."""

from satqkd.keys import KeyStore
from satqkd.keys.model import MAC_KEY_BITS


def largest_relay_bits(satellite: KeyStore, station_a: str, station_b: str, *, demo: bool = False) -> int:
    """The most bits a relay may combine now: the smaller link less its tag's key, in whole bytes."""
    live = min(satellite.available_bits(station, "link", demo=demo) for station in (station_a, station_b))
    return max(0, (live - MAC_KEY_BITS) // 8 * 8)
