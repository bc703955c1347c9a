"""Stores for the tests, closed at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keys_cases import add_link, key_bytes

from satqkd.keys import KeyStore


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[str], KeyStore]]:
    """Create a store by node name; all are closed at the end."""
    stores: list[KeyStore] = []

    def make(node_id: str) -> KeyStore:
        stores.append(KeyStore.create(tmp_path / f"{node_id}.db", node_id))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def network(make_store: Callable[[str], KeyStore]) -> dict[str, KeyStore]:
    """A satellite and two stations, 4096 bytes of confirmed link key on each of the two links."""
    stores = {name: make_store(name) for name in ("sat", "beijing", "stellenbosch")}
    for station in ("beijing", "stellenbosch"):
        add_link(stores, station, f"pass:{station}", key_bytes(4096, station), origin="hardware")
    return stores
