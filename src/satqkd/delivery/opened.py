"""The one place where delivery meets a store: it opens it and puts the supply of applications on it.

Everything else in this room knows a `Supply` alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from satqkd.config import KeyNetwork, load, read_toml
from satqkd.delivery.settings import ServeConfig
from satqkd.keys import KeyStore
from satqkd.keys.supply.key_supply import KeySupply
from satqkd.keys.supply_door import Supply


@contextmanager
def opened_supply(
    config: ServeConfig, *, demo: bool, open_store: Callable[[str], KeyStore] = KeyStore.open
) -> Iterator[Supply]:
    """The supply of the settings' store; the desk closes the one, this the other. Raises KeyNotFound,
    ResourceError.

    demo: whether key of the digital twin or of a recording may be handed out. open_store: how
    it is opened.
    """
    name = config.serve.network
    network = None if name is None else load(read_toml(Path(name)), KeyNetwork, name).value
    with open_store(config.serve.store) as store:
        yield KeySupply(store, demo=demo, network=network)
