"""The core: who asks for what becomes a call of the supply, and its answers or errors become answers.

ETSI GS QKD 014 and SKIP both stand on it. It knows applications by their certified names, KMEs and nodes
by the settings, and key only as batches that pass through. No socket, no certificate.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from satqkd.delivery.demands import NONE, Demands, of_policy
from satqkd.delivery.lane import Lane
from satqkd.delivery.peers import Entitle, Peers
from satqkd.delivery.refusals import (
    MANDATORY_UNMET,
    NOT_A_MULTIPLE,
    NOT_FOUND,
    Refusal,
    bad_request,
    unauthorized,
    unavailable,
)
from satqkd.delivery.settings import Roster, ServeConfig
from satqkd.delivery.wire import Status
from satqkd.errors import ConfigError, Error, KeyAlreadyUsed, KeyExhausted, KeyNotFound, OriginRefused
from satqkd.exposition import Metric
from satqkd.keys.push_door import Intake, NoLink, StreamInUse
from satqkd.keys.supply_door import ConstraintsUnmet, KeyBatch, KeyRequest, NotEntitled, Supply

T = TypeVar("T")
_log = logging.getLogger(__name__)
_WANTS: Final = (ConstraintsUnmet, KeyExhausted, KeyNotFound)
PUSH_WANTS: Final = (StreamInUse, NoLink, KeyAlreadyUsed, KeyExhausted, KeyNotFound, ConfigError)
"""What a node that pushes is told by its own name."""
_NO_KEY: Final = "no key is left for these applications; ask again when more was made"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that a master asks for."""

    master: str
    slave: str
    more_slaves: tuple[str, ...] = ()
    count: int = 1
    size_bits: int | None = None
    """None: the default."""
    mandatory: Demands = NONE
    optional: Demands = NONE


class Desk:
    """Everything that an application may ask, by name.

    now_utc: the clock, ISO 8601 with Z. randbytes: of the system, for `/entropy`. The desk owns the supply
    and closes it.
    """

    def __init__(
        self,
        supply: Supply,
        config: ServeConfig,
        *,
        now_utc: Callable[[], str],
        randbytes: Callable[[int], bytes],
    ) -> None:
        self._supply, self._config, self._now_utc = supply, config, now_utc
        self.randbytes: Final = randbytes
        self._peers = Peers(config)
        self.limits = config.limits
        self.roster = Roster(config, supply.node_id)
        self.lane = Lane(config.limits.waiting)

    async def status(self, master: str, slave: str) -> Status:
        """What a master may draw for a slave. Raises Refusal."""
        kme, limits = self._kme_of(slave), self.limits
        bits = await self._asked(lambda: self._supply.available_bits(self.roster.node_of(kme)))
        return Status(
            source_KME_ID=self.roster.own_kme,
            target_KME_ID=kme,
            master_SAE_ID=master,
            slave_SAE_ID=slave,
            key_size=limits.key_bits,
            stored_key_count=min(bits // limits.key_bits, limits.max_stored_keys),
            max_key_count=limits.max_stored_keys,
            max_key_per_request=limits.max_keys,
            max_key_size=limits.max_key_bits,
            min_key_size=limits.min_key_bits,
            max_SAE_ID_count=limits.max_additional_slaves,
        )

    async def draw(self, wish: Wish) -> KeyBatch:
        """New keys for a master; slaves that are several are told to their KME first. Raises Refusal."""
        request = self._request(wish)
        batch = await self._wished(wish, request)
        if wish.more_slaves and request.peer != self._supply.node_id:
            try:
                await self._peers.entitle(self._kme_of(wish.slave), wish.master, request.slaves, batch.ids)
            except Error as error:
                batch.keys.wipe()
                _log.error("%s", error)
                raise unavailable("the KME of the slaves cannot be told; ask again") from None
        return batch

    async def entitle(self, kme: str, asked: Entitle) -> None:
        """Slaves of this KME may fetch what a master at another one drew. Raises Refusal."""
        if not all(self.roster.is_local(slave) for slave in asked.slaves):
            raise bad_request("slaves: expected clients of this KME")
        if self.roster.kme_of(asked.master) != kme:
            raise unauthorized("the master is no client of the KME that asks")
        node, now_utc, ids = (
            self.roster.node_of(kme),
            self._now_utc(),
            [each.lower() for each in asked.key_IDs],
        )
        await self._asked(
            lambda: self._supply.entitle(
                ids, peer=node, master=asked.master, slaves=asked.slaves, now_utc=now_utc
            )
        )

    async def push(self, sender: str, work: Callable[[Intake, str], T], *, chunk_bytes: int) -> T:
        """A call of the intake that a node pushes into; it is told the time. Lets `PUSH_WANTS` through.

        Raises Refusal.
        """
        intake = self._supply.intake(sender, peers=self.roster.nodes, chunk_bytes=chunk_bytes)
        now_utc = self._now_utc()
        return await _refusing(self.lane.run(lambda: work(intake, now_utc)), *PUSH_WANTS)

    async def settle(self) -> None:
        """Let the supply write down what was handed out, a little at a time: others get in between.

        About once a second. Raises Refusal.
        """
        now_utc = self._now_utc()
        while await self._asked(lambda: self._supply.settle(now_utc=now_utc)):
            pass

    async def fetch(self, slave: str, master: str, key_ids: Sequence[str]) -> list[KeyBatch]:
        """Keys that a master drew for this slave, in the order asked. Raises Refusal; then none was used."""
        if len(key_ids) > self.limits.max_keys:
            raise bad_request(f"key_IDs: expected at most {self.limits.max_keys}, got {len(key_ids)}")
        if len(set(key_ids)) < len(key_ids):
            raise bad_request("key_IDs: expected each id once, got one twice")
        kme = self.roster.kme_of(master)
        if kme is None:
            raise bad_request(NOT_FOUND, master_SAE_ID="not known to this KME")
        node, now_utc = self.roster.node_of(kme), self._now_utc()
        return await self._asked(
            lambda: self._supply.fetch(node, master=master, slave=slave, key_ids=key_ids, now_utc=now_utc)
        )

    async def available_bits(self) -> dict[str, int]:
        """By node. Raises Refusal."""
        return await self._asked(
            lambda: {node: self._supply.available_bits(node) for node in self.roster.nodes}
        )

    async def supply_metrics(self) -> list[Metric]:
        """What the supply tells operators. Raises Refusal."""
        now_utc = self._now_utc()
        return await self._asked(lambda: self._supply.metrics(now_utc=now_utc))

    def close(self) -> None:
        """End what is under way, and the supply."""
        self.lane.close()
        self._supply.close(now_utc=self._now_utc())

    def _kme_of(self, slave: str) -> str:
        kme = self.roster.kme_of(slave)
        if kme is None:
            raise bad_request("slave_SAE_ID: not known to this KME", slave_SAE_ID=slave[:200])
        return kme

    def _request(self, wish: Wish) -> KeyRequest:
        slaves = (wish.slave, *wish.more_slaves)
        self._check_slaves(slaves)
        return KeyRequest(
            peer=self.roster.node_of(self._kme_of(wish.slave)),
            master=wish.master,
            slaves=slaves,
            count=self._count(wish.count),
            size_bits=self._size(wish.size_bits),
        )

    def _check_slaves(self, slaves: tuple[str, ...]) -> None:
        most = self.limits.max_additional_slaves
        if len(slaves) - 1 > most:
            raise bad_request(f"additional_slave_SAE_IDs: expected at most {most}, got {len(slaves) - 1}")
        if len(set(slaves)) < len(slaves):
            raise bad_request("additional_slave_SAE_IDs: expected each slave once, got one twice")
        if len({self._kme_of(slave) for slave in slaves}) > 1:
            raise bad_request(
                "additional_slave_SAE_IDs: expected clients of one KME; ask for each KME's by itself"
            )
        kme = self._kme_of(slaves[0])
        if len(slaves) > 1 and kme != self.roster.own_kme and not self._peers.is_reachable(kme):
            raise bad_request("additional_slave_SAE_IDs: the KME of these slaves cannot be told of them")

    def _count(self, count: int) -> int:
        if not 1 <= count <= self.limits.max_keys:
            raise bad_request(f"number: expected 1 to {self.limits.max_keys}, got {count}")
        return count

    def _size(self, size_bits: int | None) -> int:
        limits = self.limits
        size = limits.key_bits if size_bits is None else size_bits
        if size % 8:
            raise bad_request(NOT_A_MULTIPLE)
        if not limits.min_key_bits <= size <= limits.max_key_bits:
            raise bad_request(
                f"size: expected {limits.min_key_bits} to {limits.max_key_bits} bits, got {size}"
            )
        return size

    async def _wished(self, wish: Wish, request: KeyRequest) -> KeyBatch:
        """With what is optional where that is possible, else without."""
        demands = of_policy(self._config.policy_of(wish.master, wish.slave)) | wish.mandatory
        wished = demands | wish.optional
        wants = (KeyExhausted, KeyNotFound, ConstraintsUnmet)
        if wished != demands:
            with suppress(*wants):
                return await self._drawn(_demanding(request, wished))
        try:
            return await self._drawn(_demanding(request, demands))
        except wants as want:
            if isinstance(want, ConstraintsUnmet) and wish.mandatory != NONE:
                raise bad_request(MANDATORY_UNMET) from None
            raise unavailable(_NO_KEY) from None

    async def _drawn(self, request: KeyRequest) -> KeyBatch:
        """Out of memory where that is possible, else in the lane. Lets a want of key through."""
        supply, now_utc = self._supply, self._now_utc()

        def work() -> KeyBatch:
            return supply.draw(request, now_utc=now_utc)

        wants = (KeyExhausted, KeyNotFound, ConstraintsUnmet)
        if self.lane.is_free() and supply.ready(request):
            return await _refusing(_at_once(work), *wants)
        return await _refusing(self.lane.run(work), *wants)

    async def _asked(self, work: Callable[[], T]) -> T:
        return await _refusing(self.lane.run(work))


def _demanding(request: KeyRequest, demands: Demands) -> KeyRequest:
    return msgspec.structs.replace(request, avoid=demands.avoid, colluders=demands.colluders)


async def _at_once(work: Callable[[], T]) -> T:
    return work()


async def _refusing(answer: Awaitable[T], *let_through: type[Error]) -> T:
    """An answer of the supply; its errors become refusals, told in words that hold nothing of the request."""
    try:
        return await answer
    except let_through:
        raise
    except NotEntitled:
        raise unauthorized("this SAE is not among the slaves of every key asked for") from None
    except (KeyNotFound, KeyAlreadyUsed):
        raise bad_request(NOT_FOUND) from None
    except KeyExhausted:
        raise unavailable(_NO_KEY) from None
    except OriginRefused:
        raise unavailable(
            "the key at hand is a demonstration's, and this server gives out none such"
        ) from None
    except Error as error:
        _log.error("the key store failed: %s: %s", type(error).__name__, error)
        raise unavailable("the key store is not available") from None
    except Refusal:
        raise
    except Exception as error:  # of a database or a disk, in whatever words
        _log.error("the key store failed: %s", type(error).__name__, exc_info=error)
        raise unavailable("the key store is not available") from None
