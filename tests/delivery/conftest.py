"""Two KMEs in threads over a toy network, with certificates made for the session."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from delivery_cases import LOCAL, REMOTE, THIRD, Kme, make_folder, serve_config
from toy_supply import ToyNetwork

from satqkd.delivery import KmeClient, serving
from satqkd.delivery.pki_folder import PkiFolder


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PkiFolder:
    """One authority, certificates of both KMEs and of every application of the cases."""
    return make_folder(tmp_path_factory.mktemp("pki") / "certificates", datetime.now(UTC))


@pytest.fixture
def network() -> ToyNetwork:
    """Beijing and Stellenbosch share a mebibyte; so do the applications of each among themselves."""
    return ToyNetwork("beijing", "stellenbosch")


@pytest.fixture
def start(pki: PkiFolder, network: ToyNetwork, tmp_path: Path) -> Iterator[Callable[..., Kme]]:
    """Start a KME by its node's name; limits and other settings as keywords. Ended at the end."""
    with ExitStack() as stack:

        def begin(node: str, **changes: object) -> Kme:
            supply = network.supply(node)
            config = serve_config(pki.folder, node, tmp_path, **changes)
            address = stack.enter_context(serving(supply, config))
            return Kme(address, supply, pki.folder)

        yield begin


@pytest.fixture
def beijing(start: Callable[..., Kme]) -> Kme:
    """KME of applications `LOCAL` and `THIRD`."""
    return start("beijing")


@pytest.fixture
def stellenbosch(start: Callable[..., Kme]) -> Kme:
    """KME of application `REMOTE`."""
    return start("stellenbosch")


@pytest.fixture
def master(beijing: Kme) -> Iterator[KmeClient]:
    with beijing.client(LOCAL) as client:
        yield client


@pytest.fixture
def slave(stellenbosch: Kme) -> Iterator[KmeClient]:
    with stellenbosch.client(REMOTE) as client:
        yield client


@pytest.fixture
def third(beijing: Kme) -> Iterator[KmeClient]:
    with beijing.client(THIRD) as client:
        yield client
