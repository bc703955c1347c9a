"""Pools: several blocks, of one or several passes of a link, made one by telling no basis before the last.

A block that does not close its pool is kept: its slots are told, nothing else of it, and both ends put what
they know of these detections aside as a raw block. The block that closes the pool takes the raw blocks that
both ends hold and is distilled with them as one: sifted, reconciled, verified, counted and amplified once.
So whatever is proved of a block is proved of a pool.

Which block closes follows from predictions, fixed in hello, and from which raw blocks both ends hold; no
count of a block enters. Knows no store: raw blocks lie on a shelf that gives each out once.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple, NoReturn, Protocol

import msgspec

from satqkd.distill.messages import MAXIMUM_BLOCK_DETECTIONS, MAXIMUM_CLAIMS, RawClaim
from satqkd.distill.parameters import Parameters
from satqkd.errors import LocalProtocolError

MAXIMUM_KEPT_DETECTIONS: Final = MAXIMUM_BLOCK_DETECTIONS // 2
"""Of all raw blocks that one block takes with it, and of a block of its own that may have to take some."""


class HeldBlock(msgspec.Struct, frozen=True):
    """A raw block on this end's shelf."""

    claim: RawClaim
    confirmed: bool
    """The peer's one-time tag showed that it holds the same detections."""


class _Waiting(NamedTuple):
    """A raw block that waits for its pool to close."""

    block: int
    """Of this pass; -1 from an earlier one."""
    claim: RawClaim


class Shelf(Protocol):
    """The door to the store's raw blocks with this peer."""

    def held(self, pools: Collection[str]) -> Sequence[HeldBlock]:
        """What waits in some pools, oldest first."""

    def take(self, block_ids: Sequence[str], *, reference: str) -> Sequence[bytes]:
        """Raw blocks' bytes, marked used and wiped durably before they are returned, never twice."""


class EmptyShelf:
    """The shelf of an end that keeps nothing."""

    def held(self, pools: Collection[str]) -> Sequence[HeldBlock]:
        """Nothing."""
        return ()

    def take(self, block_ids: Sequence[str], *, reference: str) -> NoReturn:
        """Nothing can be asked for."""
        raise LocalProtocolError(f"{reference}: no raw blocks are kept here, {len(block_ids)} are asked for")


class Pools:
    """Which blocks of a pass close a pool, and with which raw blocks: the same at both ends."""

    def __init__(
        self,
        parameters: Parameters,
        shelf: Shelf,
        held: Sequence[HeldBlock] = (),
        *,
        satellite: Sequence[RawClaim] = (),
        station: Sequence[RawClaim] = (),
    ) -> None:
        """held: by this end when it said hello; satellite, station: what their hellos claim."""
        both = set(station)
        agreed = [claim for claim in dict.fromkeys(satellite) if claim in both]
        names = {claim.block_id for claim in agreed}
        self.left_out = tuple(each.claim.block_id for each in held if each.claim.block_id not in names)
        """Raw blocks of this end's shelf that the other end does not hold confirmed, or this one does not."""
        self._parameters, self._shelf = parameters, shelf
        self._waiting: dict[str, list[_Waiting]] = {name: [] for name in parameters.pool_names}
        for claim in agreed:
            if claim.pool in self._waiting:
                self._waiting[claim.pool].append(_Waiting(-1, claim))
        self._closing = self._fixed_beforehand()

    def _fixed_beforehand(self) -> list[bool]:
        """By block: whether the bits predicted for its pool so far reach what a pool needs."""
        needed = self._parameters.protocol.pool_sifted_bits
        total = {name: sum(each.claim.sifted_bits for each in all_) for name, all_ in self._waiting.items()}
        closing = []
        for planned in self._parameters.planned:
            total[planned.pool] += planned.sifted_bits
            closing.append(total[planned.pool] >= needed)
            if closing[-1]:
                total[planned.pool] = 0
        return closing

    def closes(self, block: int) -> bool:
        """Whether the block is distilled at its end, with whatever waits in its pool; else it is kept."""
        return not self._closing or self._closing[block]

    def keep(self, block: int, detections: int) -> None:
        """A block of this pass joins those that wait."""
        planned = self._parameters.planned[block]
        claim = RawClaim(self._parameters.block_id(block), planned.pool, planned.sifted_bits, detections)
        self._waiting[planned.pool].append(_Waiting(block, claim))

    def joining_detections(self, block: int) -> int:
        """Detections of the raw blocks that the block would take with it now."""
        return sum(claim.detections for claim in self._joining(block))

    def take(self, block: int) -> Sequence[bytes]:
        """The raw blocks that a closing block takes with it, oldest first; they leave the shelf for good."""
        ids = [claim.block_id for claim in self.took(block)]
        return self._shelf.take(ids, reference=self._parameters.block_id(block)) if ids else ()

    def took(self, block: int) -> list[RawClaim]:
        """The same claims without their bytes: they wait no longer."""
        joining = self._joining(block)
        if joining:
            pool = self._parameters.planned[block].pool
            self._waiting[pool] = [each for each in self._waiting[pool] if each.claim not in joining]
        return joining

    def promised(self, blocks: Iterable[int]) -> set[str]:
        """Raw blocks that wait and that these blocks may yet take with them."""
        return {
            each.claim.block_id for block in blocks if self._closing[block] for each in self._before(block)
        }

    def _joining(self, block: int) -> list[RawClaim]:
        """As many as fit, oldest first; what does not fit waits on."""
        if not self._parameters.planned:
            return []
        joining: list[RawClaim] = []
        room = MAXIMUM_KEPT_DETECTIONS
        for each in self._before(block):
            room -= each.claim.detections
            if room < 0:
                break
            joining.append(each.claim)
        return joining

    def _before(self, block: int) -> list["_Waiting"]:
        """What waits of earlier blocks. Of later ones something waits only where a session is taken up again:
        they were kept while this one was under way."""
        waiting = self._waiting[self._parameters.planned[block].pool]
        return [each for each in waiting if each.block < block]


def claimed(held: Sequence[HeldBlock]) -> tuple[RawClaim, ...]:
    """What hello says of the raw blocks on this end's shelf: the oldest confirmed ones."""
    return tuple(each.claim for each in held if each.confirmed)[:MAXIMUM_CLAIMS]
