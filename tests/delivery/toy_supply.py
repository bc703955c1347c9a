"""A supply in memory: two nodes that share bytes, the rules of the door and nothing else.

Both ends of a pair are two `ToySupply` of one `ToyNetwork`. Each key is handed out once to its master
and once to each slave; ids are UUIDs of version 8 that are no function of key; a node is its own peer.
"""

import random
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from satqkd.errors import KeyExhausted, KeyNotFound, OriginRefused
from satqkd.exposition import Metric
from satqkd.keys.model import Paths
from satqkd.keys.push_door import Intake
from satqkd.keys.secret import Secret
from satqkd.keys.supply_door import ConstraintsUnmet, KeyBatch, KeyRequest, NotEntitled


@dataclass
class Drawn:
    """A key that a master has."""

    origin_node: str
    peer: str
    master: str
    slaves: tuple[str, ...]
    key: bytes
    paths: Paths
    fetched: set[str] = field(default_factory=set)
    entitled: bool = False
    """Whether the KME of several slaves knows of them."""


class ToyNetwork:
    """What the ends share: bytes by pair of nodes, and what was drawn."""

    def __init__(self, *nodes: str, bytes_each: int = 1 << 20, seed: int = 1) -> None:
        dice = random.Random(seed)
        self.pools = {
            frozenset({one, other}): dice.randbytes(bytes_each)
            for index, one in enumerate(nodes)
            for other in nodes[index:]
        }
        self.used = dict.fromkeys(self.pools, 0)
        self.drawn: dict[str, Drawn] = {}
        self.dice = dice
        self.paths: Paths = (("jinan-1",),)
        self.origin = "hardware"

    def supply(self, node_id: str, *, demo: bool = False) -> "ToySupply":
        """One end."""
        return ToySupply(self, node_id, demo=demo)

    def new_id(self) -> str:
        """Of version 8, variant 1."""
        bits = self.dice.getrandbits(128)
        bits = bits & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62
        return str(uuid.UUID(int=bits))


class ToySupply:
    """One end's supply. `slow`: nothing is ready, so that every draw goes to the thread."""

    def __init__(self, network: ToyNetwork, node_id: str, *, demo: bool) -> None:
        self._network, self._node_id, self._demo = network, node_id, demo
        self.slow = False
        self.closed = False
        self.settled = 0
        self.inside = 0
        self.calls: list[str] = []

    @property
    def node_id(self) -> str:
        return self._node_id

    def available_bits(self, peer: str) -> int:
        pair = frozenset({self._node_id, peer})
        return 8 * (len(self._network.pools.get(pair, b"")) - self._network.used.get(pair, 0))

    def metrics(self, *, now_utc: str) -> list[Metric]:
        return []

    def ready(self, request: KeyRequest) -> bool:
        return not self.slow

    def draw(self, request: KeyRequest, *, now_utc: str) -> KeyBatch:
        network, pair = self._network, frozenset({self._node_id, request.peer})
        if pair not in network.pools:
            raise KeyNotFound(f"no key with {request.peer}")
        if network.origin == "twin" and not self._demo:
            raise OriginRefused("key of the twin needs --demo")
        size = request.size_bits // 8
        length, begin = request.count * size, network.used[pair]
        known = {node for path in network.paths for node in path}
        blocked = all(any(node in request.avoid for node in path) for path in network.paths)
        if begin + length > len(network.pools[pair]):
            raise KeyExhausted(f"{length} bytes wanted of {sorted(known)}")
        if blocked or request.colluders > len(network.paths):
            raise ConstraintsUnmet("no way fits")
        network.used[pair] += length
        key = network.pools[pair][begin : begin + length]
        ids = tuple(network.new_id() for _ in range(request.count))
        for number, name in enumerate(ids):
            piece = key[number * size : (number + 1) * size]
            network.drawn[name] = Drawn(
                self._node_id, request.peer, request.master, request.slaves, piece, network.paths
            )
            network.drawn[name].entitled = len(request.slaves) == 1 or request.peer == self._node_id
        return KeyBatch(ids, Secret(key), request.size_bits, network.origin, (network.paths,) * request.count)

    def fetch(
        self, peer: str, *, master: str, slave: str, key_ids: Sequence[str], now_utc: str
    ) -> list[KeyBatch]:
        found = [self._found(peer, name) for name in key_ids]
        if any(each.master != master or slave not in each.slaves or not each.entitled for each in found):
            raise NotEntitled("not named")
        if any(slave in each.fetched for each in found):
            raise KeyNotFound("given before")
        batches: list[list[int]] = []
        for index, each in enumerate(found):
            each.fetched.add(slave)
            if batches and len(found[batches[-1][0]].key) == len(each.key):
                batches[-1].append(index)
            else:
                batches.append([index])
        return [
            KeyBatch(
                tuple(key_ids[index] for index in batch),
                Secret(b"".join(found[index].key for index in batch)),
                8 * len(found[batch[0]].key),
                self._network.origin,
                tuple(found[index].paths for index in batch),
            )
            for batch in batches
        ]

    def _found(self, peer: str, name: str) -> Drawn:
        drawn = self._network.drawn.get(name)
        if drawn is None or (drawn.origin_node, drawn.peer) != (peer, self._node_id):
            raise KeyNotFound("no such key")
        return drawn

    def entitle(
        self, key_ids: Sequence[str], *, peer: str, master: str, slaves: Sequence[str], now_utc: str
    ) -> None:
        found = [self._found(peer, name) for name in key_ids]
        if any((each.master, each.slaves) != (master, tuple(slaves)) for each in found):
            raise NotEntitled("not named so")
        for each in found:
            each.entitled = True

    def intake(self, sender: str, *, peers: Collection[str], chunk_bytes: int) -> Intake:
        raise KeyNotFound("a toy takes no key")

    def settle(self, *, now_utc: str) -> bool:
        self.settled += 1
        return False

    def close(self, *, now_utc: str) -> None:
        self.closed = True
