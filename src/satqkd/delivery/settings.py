"""What a key server is told: one TOML file, checked, with every path made absolute.

Names of nodes (whose stores hold key), of KMEs (whose servers applications speak to) and of applications
(SAE) meet here and nowhere else. Reads no certificate and opens no store.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.config import Settings, load, read_toml
from satqkd.errors import ConfigError

Port = Annotated[int, Meta(ge=0, le=65535)]
KeyBits = Annotated[int, Meta(ge=8, le=131_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Span = Annotated[float, Meta(gt=0, le=3600)]
Name = Annotated[str, Meta(min_length=1, max_length=1000)]
BYTE: Final = 8


class Serve(Settings, frozen=True, kw_only=True):
    """Where the server listens and what it opens. Paths are relative to the file's folder."""

    store: str
    """Key store of this node: a file, or `postgresql://...`."""
    network: str | None = None
    """The policy of this node's key (`KeyNetwork`); none: no quota, nothing expires."""
    host: str = "127.0.0.1"
    port: Port = 8443
    """0: one that the system chooses, told when the server listens."""
    metrics_port: Port | None = None
    """On loopback, plain HTTP; none: no metrics."""
    log: str | None = None
    """JSON lines, one a request; none: none are written."""
    skip: bool = False
    """Serve SKIP besides, on the same port."""


class Tls(Settings, frozen=True, kw_only=True):
    """The server's certificate and whom it believes, all PEM files."""

    certificate: str
    key: str
    ca: str
    """Certificates that client certificates must descend from."""
    crl: str | None = None
    """Revoked client certificates; none: none is revoked."""
    reload_s: Span = 2.0
    """How often the files are looked at for a change."""


class Kme(Settings, frozen=True, kw_only=True):
    """A key management entity: the server beside one node's store."""

    id: Name
    node: Name
    """Name of its node in the key stores."""
    url: str | None = None
    """Where other KMEs reach its server, `https://HOST:PORT`; none: no keys for several of its slaves."""


class Node(Settings, frozen=True, kw_only=True):
    """A process that makes key for this server's store, and may push it there."""

    id: Name
    """As its certificate names it."""


class Sae(Settings, frozen=True, kw_only=True):
    """An application that draws key."""

    id: Name
    """As its certificate names it."""
    kme: Name
    """Whose client it is, by the KME's id."""


class Limits(Settings, frozen=True, kw_only=True):
    """What one application, and all together, may ask for."""

    key_bits: KeyBits = 256
    """Size of a key where a request names none."""
    min_key_bits: KeyBits = 64
    max_key_bits: KeyBits = 4096
    max_keys: Count = 128
    """Keys, and key ids, in one request."""
    max_stored_keys: Count = 1_000_000
    """The most that a status tells as stored."""
    max_additional_slaves: Annotated[int, Meta(ge=0, le=100)] = 8
    """Of one request; 0: no multicast."""
    body_bytes: Annotated[int, Meta(ge=256, le=16_777_216)] = 65_536
    connections: Count = 256
    waiting: Count = 256
    """Requests that wait for the store's disk at a time."""
    requests_per_s: Annotated[float, Meta(gt=0, le=1e6)] = 5000.0
    """Of one application in the long run."""
    burst: Count = 1000
    """Requests above that rate at once."""
    idle_s: Span = 30.0
    """A connection on which no whole request comes for so long is closed."""
    body_s: Span = 10.0
    """How long a request's body may take to come."""
    grace_s: Span = 10.0
    """How long requests under way may take when the server is asked to end."""

    def __post_init__(self) -> None:
        sizes = (self.min_key_bits, self.key_bits, self.max_key_bits)
        if sorted(sizes) != list(sizes) or any(size % BYTE for size in sizes):
            raise ConfigError(
                f"limits: expected min_key_bits <= key_bits <= max_key_bits, multiples of {BYTE}, "
                f"got {sizes[0]}, {sizes[1]}, {sizes[2]}"
            )


class Policy(Settings, frozen=True, kw_only=True):
    """What keys of some pairs of applications must be, whatever a request says. The first that fits holds."""

    master: Name | None = None
    """None: any."""
    slave: Name | None = None
    """None: any."""
    avoid_nodes: tuple[Name, ...] = ()
    """Nodes that must not have known the key."""
    colluders: Annotated[int, Meta(ge=1, le=16)] = 1
    """So many nodes on its way at least would have to join what they know."""

    def fits(self, master: str, slave: str) -> bool:
        """Whether it holds for this pair."""
        return self.master in (None, master) and self.slave in (None, slave)


class ServeConfig(Settings, frozen=True, kw_only=True):
    """One key server."""

    serve: Serve
    tls: Tls
    kme: tuple[Kme, ...]
    sae: tuple[Sae, ...]
    limits: Limits = Limits()
    policy: tuple[Policy, ...] = ()
    node: tuple[Node, ...] = ()
    """Who may push key; none: nobody."""

    def __post_init__(self) -> None:
        known = [each.id for each in self.kme]
        _refuse_twins("kme.id", known)
        _refuse_twins("kme.node", [each.node for each in self.kme])
        _refuse_twins("sae.id", [each.id for each in self.sae])
        _refuse_twins("node.id", [each.id for each in self.node])
        for each in self.sae:
            if each.kme not in known:
                raise ConfigError(f"sae {each.id!r}: expected kme to be one of {known}, got {each.kme!r}")

    def policy_of(self, master: str, slave: str) -> Policy:
        """What holds for keys of a pair."""
        return next((each for each in self.policy if each.fits(master, slave)), Policy())


class Roster:
    """Who is where: applications, their KMEs, the KMEs' nodes. Made once, asked by name.

    Raises ConfigError when no KME is that of this node.
    """

    def __init__(self, config: ServeConfig, node_id: str) -> None:
        self._kme_of_sae = {each.id: each.kme for each in config.sae}
        self._node_of_kme = {each.id: each.node for each in config.kme}
        self._feeders = frozenset(each.id for each in config.node)
        own = [each.id for each in config.kme if each.node == node_id]
        if not own:
            raise ConfigError(
                f"kme: expected one with node {node_id!r}, whose store this is, "
                f"got {list(self._node_of_kme.values())}"
            )
        self.own_kme = own[0]

    def kme_of(self, sae: str) -> str | None:
        """Id of the KME whose client an application is; None for one that is not known."""
        return self._kme_of_sae.get(sae)

    def node_of(self, kme: str) -> str:
        """The node of a KME that is known."""
        return self._node_of_kme[kme]

    def knows_kme(self, kme: str) -> bool:
        """Whether it is another KME of the settings."""
        return kme in self._node_of_kme and kme != self.own_kme

    def knows_node(self, node: str) -> bool:
        """Whether a process of this certified name may push key."""
        return node in self._feeders

    def is_local(self, sae: str) -> bool:
        """Whether an application is a client of this KME."""
        return self._kme_of_sae.get(sae) == self.own_kme

    @property
    def applications(self) -> list[str]:
        """All that are known."""
        return list(self._kme_of_sae)

    @property
    def nodes(self) -> list[str]:
        """Of all KMEs that are known."""
        return list(self._node_of_kme.values())


def read_serve_config(path: Path) -> ServeConfig:
    """Read and check a server's file; its paths come back absolute. Raises ConfigError."""
    config = load(read_toml(path), ServeConfig, str(path)).value
    folder = path.resolve().parent
    serve = msgspec.structs.replace(
        config.serve,
        store=_store(folder, config.serve.store),
        network=_placed(folder, config.serve.network),
        log=_placed(folder, config.serve.log),
    )
    tls = msgspec.structs.replace(
        config.tls,
        certificate=str(folder / config.tls.certificate),
        key=str(folder / config.tls.key),
        ca=str(folder / config.tls.ca),
        crl=_placed(folder, config.tls.crl),
    )
    return msgspec.structs.replace(config, serve=serve, tls=tls)


def _store(folder: Path, name: str) -> str:
    return name if "://" in name else str(folder / name)


def _placed(folder: Path, name: str | None) -> str | None:
    return None if name is None else str(folder / name)


def _refuse_twins(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{where}: expected each name once, got {twice[0]!r} twice")
