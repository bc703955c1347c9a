"""A pass's raw blocks in the node's store: what the session sees of them and wants done with them."""

from collections.abc import Collection, Sequence
from typing import Any
from typing import Protocol as Interface

from satqkd.distill.messages import RawClaim
from satqkd.distill.outcome import RawConfirmed, RawLeftOut, RawReady
from satqkd.distill.parameters import Parameters
from satqkd.distill.pooling import HeldBlock
from satqkd.keys import KeyStore, RawShelf


class Node(Interface):
    """What is asked of the terminal whose session keeps blocks."""

    parameters: Parameters

    def end_utc(self, block: int) -> str:
        """When the block's last slot is past."""
        ...

    def log(self, now_s: float, stage: str, event: str, **counts: Any) -> None:
        """One line of the event log."""
        ...


class KeptBlocks:
    """The shelf of a session: raw blocks of one peer and one origin."""

    def __init__(self, store: KeyStore, peer: str, *, origin: str, spoken_for: Collection[str] = ()) -> None:
        """spoken_for: raw blocks whose fate another pass decides; they are not held here."""
        self._shelf = RawShelf(store, peer, origin=origin)
        self._spoken_for = frozenset(spoken_for)

    def held(self, pools: Collection[str]) -> Sequence[HeldBlock]:
        """What waits in some pools, oldest first."""
        return [
            HeldBlock(
                RawClaim(row.block_id, row.pool, row.sifted_bits, row.detections),
                confirmed=row.state == "confirmed",
            )
            for row in self._shelf.held(pools)
            if row.block_id not in self._spoken_for
        ]

    def take(self, block_ids: Sequence[str], *, reference: str) -> Sequence[bytes]:
        """Raw blocks' bytes, marked used and wiped in the store before they are returned."""
        return self._shelf.take(block_ids, reference=reference)

    def handle(self, event: RawReady | RawConfirmed | RawLeftOut, node: Node, now_s: float) -> None:
        """Do what a session wants done before it says more."""
        match event:
            case RawReady():
                planned = node.parameters.planned[event.block]
                self._shelf.keep(
                    node.parameters.block_id(event.block),
                    event.data,
                    pool=planned.pool,
                    sifted_bits=planned.sifted_bits,
                    detections=event.detections,
                    now_utc=node.end_utc(event.block),
                )
                node.log(now_s, "pool", "kept", block=event.block, detections=event.detections)
            case RawConfirmed():
                self._shelf.confirm(node.parameters.block_id(event.block))
                node.log(now_s, "pool", "confirmed", block=event.block)
            case RawLeftOut():
                self._shelf.discard(event.block_ids)
                node.log(now_s, "pool", "left_out", raw_blocks=len(event.block_ids))
