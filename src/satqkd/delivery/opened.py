"""The one place where delivery meets a store: it opens it and puts the supply of applications on it.

Everything else in this room knows a `Supply` alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from satqkd.delivery.settings import ServeConfig
from satqkd.keys import KeyStore
from satqkd.keys.supply import KeySupply
from satqkd.keys.supply_door import Supply


@contextmanager
def opened_supply(config: ServeConfig, *, demo: bool) -> Iterator[Supply]:
    """The supply of the settings' store; the desk closes the one, this the other. Raises KeyNotFound,
    ResourceError.

    demo: whether key of the digital twin or of a recording may be handed out.
    """

    with KeyStore.open(config.serve.store) as store:
        yield KeySupply(store, demo=demo)
