"""A satellite and two stations with couriers, joined by a line that a test may watch and disturb."""

from collections.abc import Callable
from pathlib import Path

from satqkd.config import Traffic
from satqkd.keys import KeyStore
from satqkd.keys.traffic import Draft, outgoing, queue
from satqkd.mission.courier import Courier

NOW = "2026-01-02T03:04:05Z"
SAT, A, B = "sat", "beijing", "stellenbosch"
SETTINGS = Traffic(pairs=((A, B),), relay_bits=2**20, relay_least_bits=64)
Line = Callable[[str, str, int, bytes], list[tuple[int, bytes]]]
"""Sender, receiver, priority, bytes: what comes out at the other end."""


def everything(priority: int, n_bytes: int) -> bool:
    """Room for all."""
    return True


def straight(sender: str, receiver: str, priority: int, data: bytes) -> list[tuple[int, bytes]]:
    """A line that neither loses nor changes."""
    return [(priority, data)]


def draft(receiver: str, content: bytes = b"hello", **changes: object) -> Draft:
    """A short text, changed as asked."""
    fields: dict[str, object] = {
        "receiver": receiver, "name": "", "is_text": True, "urgent": False, "policy": "wait", "demo": False,
        "content": content,
    }  # fmt: skip
    return Draft(**(fields | changes))  # type: ignore[arg-type]


class World:
    """Stores of three nodes with link key; contacts are flown one after the other."""

    def __init__(
        self, folder: Path, link_bytes: int = 40_000, settings: Traffic = SETTINGS, origin: str = "hardware",
        demo: bool = False,
    ) -> None:  # fmt: skip
        self.folder, self.settings, self.demo = folder, settings, demo
        self.stores = {name: KeyStore.create(folder / f"{name}.db", name) for name in (SAT, A, B)}
        self.said: list[tuple[str, str, int, bytes]] = []
        self.events: list[dict[str, object]] = []
        for station in (A, B):
            self.add_link(station, f"pass-{station}", link_bytes, origin)

    def add_link(self, station: str, block_id: str, n_bytes: int, origin: str = "hardware") -> None:
        key = bytes((7 * i + len(block_id)) % 251 for i in range(n_bytes))
        for node, peer in ((SAT, station), (station, SAT)):
            self.stores[node].add_block(
                block_id, peer=peer, kind="link", origin=origin, key=key, state="confirmed",
                allocator=SAT, now_utc=NOW,
            )  # fmt: skip

    def courier(self, node: str, peer: str, **changes: object) -> Courier:
        settings = changes.get("settings", self.settings)
        return Courier(
            self.stores[node], peer, settings, carrier=node == SAT,  # type: ignore[arg-type]
            demo=bool(changes.get("demo", self.demo)),
        )  # fmt: skip

    def contact(
        self, station: str, line: Line = straight, ticks: int = 200, now_utc: str = NOW,
        room: Callable[[int, int], bool] = everything,
    ) -> tuple[Courier, Courier]:  # fmt: skip
        """Two couriers talk until both are silent."""
        ends = {SAT: self.courier(SAT, station), station: self.courier(station, SAT)}
        for _ in range(ticks):
            busy = False
            for node, other in ((SAT, station), (station, SAT)):
                for priority, data in ends[node].to_send(now_utc, room):
                    busy = True
                    self.said.append((node, other, priority, data))
                    for out_priority, out in line(node, other, priority, data):
                        ends[other].receive(out_priority, out, now_utc)
            if not busy:
                break
        for courier in ends.values():
            self.events += courier.events()
        return ends[SAT], ends[station]

    def queue(self, node: str, receiver: str, content: bytes = b"hello", **changes: object) -> str:
        return queue(self.stores[node], draft(receiver, content, **changes), now_utc=NOW)

    def states(self, node: str) -> list[str]:
        return [row.state for row in outgoing(self.stores[node])]

    def wire(self, sender: str | None = None) -> bytes:
        """All that was said, one after the other."""
        return b"".join(data for node, _, _, data in self.said if sender in (None, node))

    def check(self) -> None:
        for store in self.stores.values():
            assert store.check().balanced, store.check().faults
            assert store.verify_audit().intact

    def close(self) -> None:
        for store in self.stores.values():
            store.close()
