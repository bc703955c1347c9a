"""What the two halves of a block share: the state table, the transcript, the tags, the account.

A half receives messages and returns messages; it does nothing else. Events for the node collect in
`events`. States say what is known. No clock, no socket; randomness comes through `randbytes`.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, to_bytes
from satqkd.distill import amplify, messages
from satqkd.distill.authenticate import PassKeys, TagUse, Transcript, require_equal
from satqkd.distill.dialogue import Account, Dialogue
from satqkd.distill.frames import joined
from satqkd.distill.outcome import BlockFinished, BlockReport, Event, Outcome, StageEntered
from satqkd.distill.parameters import Parameters
from satqkd.distill.priors import Lesson
from satqkd.distill.sift import Rounds, class_counts, tabulate
from satqkd.errors import LocalProtocolError, RemoteProtocolError
from satqkd.records import BASIS_NAMES
from satqkd.results import KeyLength
from satqkd.security import SecurityTargets, key_length

NO_TAG: Final = bytes(16)
NO_KEY_REASON: Final = "the bound gives no secret bits for these counts and this leak"
KEYS_DIFFER_REASON: Final = "the keys of both ends differ under one-time tags"
KEPT_REASON: Final = "kept for pool {}: nothing but slots is told before the pool closes"
Transitions = Mapping[tuple[Any, type[messages.Message]], tuple[Any, ...]]
Handler = Callable[[Any, Any], Any]


def seed_bytes(n_bits: int, secret_bits: int) -> int:
    """Bytes of the Toeplitz seed for one basis; none where nothing is distilled."""
    return (amplify.seed_bits_needed(n_bits, secret_bits) + 7) // 8 if secret_bits else 0


class BlockHalf:
    """One end's half of one block."""

    SENDS: ClassVar[bytes]
    RECEIVES: ClassVar[bytes]
    TRANSITIONS: ClassVar[Transitions]
    HANDLERS: ClassVar[Mapping[type[messages.Message], Handler]]
    TAGGED: ClassVar[Mapping[type[messages.Message], TagUse]] = {
        messages.Close: TagUse.CLOSE,
        messages.Amplify: TagUse.AMPLIFY,
        messages.Keep: TagUse.CLOSE,
        messages.Kept: TagUse.AMPLIFY,
    }

    def __init__(
        self, index: int, parameters: Parameters, keys: PassKeys, opening: bytes, state: Enum
    ) -> None:
        self.index = index
        self.state = state
        self.events: list[Event] = []
        self.rounds: Rounds | None = None
        self.errors: NDArray[np.int64] = np.zeros((2, 3), dtype=np.int64)
        self.dialogues: dict[int, Dialogue] = {}
        self.detections = self.pooled_detections = self.kept_detections = 0
        self.holds_key = self.errors_known = self.kept = False
        self._parameters = parameters
        self._keys = keys
        self._transcript = Transcript(opening)
        self._replies: list[messages.BlockMessage] = []

    def receive(self, message: messages.BlockMessage) -> list[messages.BlockMessage]:
        """Take one message, return the answers. Raises RemoteProtocolError naming state and message."""
        kind = type(message)
        allowed = self.TRANSITIONS.get((self.state, kind))
        if allowed is None:
            raise RemoteProtocolError(
                f"block {self.index} is {self.state.name} ({self.state.value}) and cannot take "
                f"{kind.__name__}; the session ends"
            )
        if kind in self.TAGGED:
            self._check_tag(message, self.TAGGED[kind])
        self._transcript.add(self.RECEIVES, messages.encode_one(message))
        self._enter(self.HANDLERS[kind](self, message), allowed)
        replies, self._replies = self._replies, []
        return replies

    def _enter(self, state: Enum, allowed: tuple[Enum, ...]) -> None:
        if state not in allowed:
            raise LocalProtocolError(f"block {self.index}: no way from {self.state.name} to {state.name}")
        if state is not self.state:
            self.events.append(StageEntered(self.index, state.name.lower()))
        self.state = state

    def _say(self, message: messages.BlockMessage) -> None:
        use = self.TAGGED.get(type(message))
        if use is not None:
            message = msgspec.structs.replace(message, transcript_tag=self._tag(message, use))
        self._transcript.add(self.SENDS, messages.encode_one(message))
        self._replies.append(message)

    def _tag(self, message: messages.BlockMessage, use: TagUse) -> bytes:
        """One-time tag over the transcript so far and the message itself, its tag field zero."""
        bare = msgspec.structs.replace(message, transcript_tag=NO_TAG)
        covered = (*self._transcript.parts(), messages.encode_one(bare))
        return self._keys.one_time_tag(self.index, use, *covered)

    def _check_tag(self, message: messages.BlockMessage, use: TagUse) -> None:
        got: bytes = message.transcript_tag  # type: ignore[attr-defined]
        require_equal(self._tag(message, use), got, f"transcript of block {self.index}")

    def _key_tag(self, use: TagUse, secret: bytes, *, matches: bool) -> bytes:
        """One-time tag of block number, verdict and key."""
        head = self.index.to_bytes(4, "little") + bytes([matches])
        return self._keys.one_time_tag(self.index, use, head, secret)

    @property
    def _known_rounds(self) -> Rounds:
        if self.rounds is None:
            raise LocalProtocolError(f"block {self.index} is {self.state.name}: nothing is sifted yet")
        return self.rounds

    def _keyed_string(self) -> Bits:
        """Keyed bits of all bases, in order of basis: what verification compares."""
        return joined([self.dialogues[basis].bits for basis in self._parameters.keyed_bases])

    def _detection_table(self) -> NDArray[np.int64]:
        """Kept detections by basis and class, int64 (2, 3); zeros before sifting."""
        if self.rounds is None:
            return np.zeros((2, 3), dtype=np.int64)
        return tabulate(self.rounds.basis, self.rounds.intensity_class)

    def _leak(self) -> dict[str, int]:
        """Leak by basis: what reconciliation said both ways, and the error counts announced."""
        table = self._detection_table()
        leak: dict[str, int] = {}
        for basis, dialogue in self.dialogues.items():
            announced = sum(
                int(table[basis, k]).bit_length() for k in range(3) if self._parameters.is_keyed(basis, k)
            )
            leak[BASIS_NAMES[basis]] = dialogue.account.leaked_bits + announced
        return leak

    def _said(self) -> Account:
        """Reconciliation of all bases together; they go on side by side, so the longest counts its rounds."""
        accounts = [dialogue.account for dialogue in self.dialogues.values()]
        return Account(
            frames=sum(each.frames for each in accounts),
            failed=sum(each.failed for each in accounts),
            rounds=max((each.rounds for each in accounts), default=0),
            parity_bits=sum(each.parity_bits for each in accounts),
            verdict_bits=sum(each.verdict_bits for each in accounts),
        )

    def _key_length(self) -> KeyLength:
        protocol = self._parameters.protocol
        return key_length(
            class_counts(self._detection_table(), self.errors, self._parameters),
            self._parameters.source,
            SecurityTargets(protocol.epsilon_secrecy, protocol.epsilon_correctness),
            leaked_bits=self._leak(),
            bound=protocol.bound,
            keyed_bases=protocol.keyed_bases,
            keyed_classes=protocol.keyed_classes,
            receiver=self._parameters.receiver,
            weights=self._parameters.weights or None,
        )

    def _secret_lengths(self, length: KeyLength) -> tuple[int, ...]:
        """Secret bits by keyed basis; the last basis gives up the bits that fill no whole byte."""
        lengths = [
            int(length.terms["bases"][BASIS_NAMES[basis]]["secret_bits"])
            for basis in self._parameters.keyed_bases
        ]
        spare = sum(lengths) % 8
        for index in reversed(range(len(lengths))):
            cut = min(spare, lengths[index])
            lengths[index] -= cut
            spare -= cut
        return tuple(lengths)

    def _distilled(self, lengths: tuple[int, ...], seeds: tuple[bytes, ...]) -> bytes:
        """The secret of all keyed bases, one after the other, as bytes."""
        parts = [
            amplify.amplify(self.dialogues[basis].bits, secret_bits, seed)
            for basis, secret_bits, seed in zip(self._parameters.keyed_bases, lengths, seeds, strict=True)
            if secret_bits
        ]
        return to_bytes(joined(parts))

    def lessons(self) -> dict[int, Lesson]:
        """What the block taught those after it, by basis."""
        return {}

    def interrupted(self, reason: str) -> BlockReport:
        """The account of a block never closed: with its counts, and unconfirmed if a key was made."""
        return self._report("unconfirmed" if self.holds_key else "no_key", reason)

    def _finish(
        self,
        outcome: Outcome,
        reason: str = "",
        *,
        length: KeyLength | None = None,
        secret_bits: int = 0,
        keys_match: bool = False,
    ) -> None:
        """Report the block: nothing more will be said about it."""
        report = self._report(outcome, reason, length=length, secret_bits=secret_bits, keys_match=keys_match)
        self.events.append(BlockFinished(report))

    def _report(
        self,
        outcome: Outcome,
        reason: str,
        *,
        length: KeyLength | None = None,
        secret_bits: int = 0,
        keys_match: bool = False,
    ) -> BlockReport:
        counts = class_counts(self._detection_table(), self.errors, self._parameters)
        keyed = [row for row in counts if self._carries_key(row.basis, row.class_name)]
        said = self._said()
        return BlockReport(
            block=self.index,
            outcome=outcome,
            reason=reason,
            detections=self.detections,
            counts=counts,
            sifted_bits=sum(row.detections for row in keyed),
            errors=sum(row.errors for row in keyed),
            errors_known=self.errors_known,
            frames=said.frames,
            frames_failed=said.failed,
            leaked_bits=self._leak(),
            reconciliation_bits=said.leaked_bits,
            parity_bits=said.parity_bits,
            reconciliation_rounds=said.rounds,
            secret_bits=secret_bits,
            length=length,
            keys_match=keys_match,
            pool=self._pool,
            kept_bits=self.kept_detections,
            pooled_bits=self.pooled_detections,
        )

    def _finish_kept(self) -> None:
        """Report a block whose detections both ends have put aside."""
        self.kept, self.kept_detections = True, self.detections
        self._finish("no_key", KEPT_REASON.format(self._pool))

    @property
    def _pool(self) -> str:
        planned = self._parameters.planned
        return planned[self.index].pool if planned else ""

    def _carries_key(self, basis: str, class_name: str) -> bool:
        protocol = self._parameters.protocol
        return basis in protocol.keyed_bases and class_name in protocol.keyed_classes
