"""The satellite's half of a block: it holds the reference string and sends the syndromes.

It answers slot numbers with nothing, bases with matches and classes. Bases come after the block's end, or
where the announcement is streamed after each report; nothing that depends on a keyed value is said before the
end. The session hands the end on only when the satellite's clock says that the block's last slot is past. See
`block.py` for what both halves share.
"""

from collections.abc import Sequence
from enum import Enum

import numpy as np

from satqkd.bits import to_bytes
from satqkd.distill import codes, messages, verify
from satqkd.distill.authenticate import TO_SATELLITE, TO_STATION, PassKeys, TagUse
from satqkd.distill.block import (
    KEYS_DIFFER_REASON,
    NO_KEY_REASON,
    NO_TAG,
    BlockHalf,
    seed_bytes,
)
from satqkd.distill.dialogue import Reference
from satqkd.distill.opened import Answered
from satqkd.distill.outcome import (
    Outcome,
    RawConfirmed,
    RawReady,
    SecretConfirmed,
    SecretReady,
    SecretRefused,
)
from satqkd.distill.parameters import Parameters
from satqkd.distill.raw_blocks import pack_settings, unpack_settings
from satqkd.distill.reconciliation import reference_of
from satqkd.errors import RemoteProtocolError
from satqkd.randomness import RandBytes
from satqkd.records import Settings
from satqkd.results import KeyLength


class State(Enum):
    """What the satellite knows of a block."""

    COLLECTING = "hears slot numbers, answers no bases but streamed ones"
    OPENED = "knows all detections, waits for the rest of their bases"
    SIFTED = "has told matches and classes, waits for the code classes"
    RECONCILING = "has told parities, waits for verdicts"
    VERIFYING = "has told the hash seed and its tag, waits for the station's"
    AMPLIFIED = "holds the key, waits for the station's tag of it"
    CONFIRMING = "knows whether the keys agree, waits for the station's word"
    ABANDONED = "has told all values, waits for the error counts"
    FINISHED = "nothing more will be said"


class SatelliteBlock(BlockHalf):
    """One block at the satellite."""

    SENDS = TO_STATION
    RECEIVES = TO_SATELLITE
    TRANSITIONS = {
        (State.COLLECTING, messages.Keep): (State.FINISHED,),
        (State.COLLECTING, messages.Bases): (State.COLLECTING,),
        (State.COLLECTING, messages.Abandon): (State.FINISHED,),
        (State.COLLECTING, messages.Ended): (State.OPENED, State.SIFTED),
        (State.OPENED, messages.Bases): (State.OPENED, State.SIFTED),
        (State.SIFTED, messages.Bases): (State.SIFTED,),
        (State.SIFTED, messages.ChooseCodes): (State.RECONCILING,),
        (State.SIFTED, messages.Abandon): (State.ABANDONED,),
        (State.RECONCILING, messages.Verdicts): (State.RECONCILING, State.VERIFYING),
        (State.VERIFYING, messages.Close): (State.AMPLIFIED, State.FINISHED),
        (State.VERIFYING, messages.Abandon): (State.ABANDONED,),
        (State.ABANDONED, messages.Errors): (State.FINISHED,),
        (State.AMPLIFIED, messages.Confirm): (State.CONFIRMING,),
        (State.CONFIRMING, messages.Done): (State.FINISHED,),
    }

    def __init__(
        self, index: int, parameters: Parameters, keys: PassKeys, opening: bytes, randbytes: RandBytes
    ) -> None:
        super().__init__(index, parameters, keys, opening, State.COLLECTING)
        self._randbytes = randbytes
        self._answered = Answered(index, parameters)
        self.is_cut = False
        """Whether it answers for a part of the block only."""
        self._open: dict[int, Reference] = {}
        self._length: KeyLength | None = None
        self._secret = b""
        self._tag_expected = b""
        self._keys_match = False
        self._outcome: Outcome = "unconfirmed"
        self._reason = ""

    def expect(self, detections: int) -> None:
        """Whether a report of so many detections may come: asked before anything is built from it."""
        if self.state is not State.COLLECTING:
            raise RemoteProtocolError(
                f"block {self.index} is {self.state.name} and cannot take Announce; the session ends"
            )
        if self.detections + detections > messages.MAXIMUM_BLOCK_DETECTIONS:
            raise RemoteProtocolError(
                f"block {self.index}: more than {messages.MAXIMUM_BLOCK_DETECTIONS} detections announced"
            )

    def announced(self, message: messages.Announce, settings: Settings) -> None:
        """Take a report of detections, with this side's settings of those slots."""
        self.detections += len(settings)
        self._transcript.add(self.RECEIVES, messages.encode_one(message))
        self._answered.add(settings)

    def cut(self, message: messages.Announce) -> list[messages.BlockMessage]:
        """Take a report of slots that are forgotten, or that come after such ones: no detection of it counts.

        What counts is thus a prefix of what was told, whatever the bases were: nothing is chosen by them.
        """
        self._transcript.add(self.RECEIVES, messages.encode_one(message))
        if not self.is_cut:
            self.is_cut = True
            self._say(messages.Cut(self.index, message.start_slot))
        replies, self._replies = self._replies, []
        return replies

    def will_open(self, message: messages.Ended, joining: int) -> bool:
        """Whether the block can end so now, with so many detections of raw blocks: asked before the raw
        blocks are used up."""
        if self.state is not State.COLLECTING:
            return False
        self.pooled_detections = joining
        return message.detections == joining + self.detections

    def join(self, raw_blocks: Sequence[bytes]) -> None:
        """Put the settings of raw blocks of the pool before this block's own."""
        self._answered.put_before(unpack_settings(raw_blocks))

    def _on_keep(self, message: messages.Keep) -> State:
        self._require_all(message.detections, self.detections, "word to keep")
        data = pack_settings(self._answered.take(self.detections))
        self.events += [RawReady(self.index, self.detections, data), RawConfirmed(self.index)]
        self._say(messages.Kept(self.index, NO_TAG))
        self._finish_kept()
        return State.FINISHED

    def _on_ended(self, message: messages.Ended) -> State:
        known = self.pooled_detections + self.detections
        told = max(message.detections, known) if self.is_cut else known
        self._require_all(message.detections, told, "the end")
        return self._sifted()

    def _on_bases(self, message: messages.Bases) -> State:
        if self.state is State.COLLECTING and not self._parameters.streamed:
            raise RemoteProtocolError(
                f"block {self.index} is COLLECTING and its announcement deferred: bases came before the "
                f"block's end; the session ends"
            )
        waiting = self._answered.waiting
        if message.detections > waiting and not self.is_cut:
            raise RemoteProtocolError(
                f"block {self.index}: bases of {message.detections} detections came, {waiting} announced "
                f"ones have none; the session ends"
            )
        bases = messages.bits_of(message.bases, message.detections, "bases")[:waiting]
        if bases.size or not self.is_cut:
            self._say(self._answered.answer(bases))
        return self._sifted() if self.state is State.OPENED else self._unchanged()

    def _unchanged(self) -> State:
        state: State = self.state  # type: ignore[assignment]
        return state

    def _sifted(self) -> State:
        """The block has ended; it is sifted when no bases are missing."""
        if self._answered.waiting:
            return State.OPENED
        self.rounds, sample = self._answered.close()
        self._say(sample)
        return State.SIFTED

    def _on_choose(self, message: messages.ChooseCodes) -> State:
        bases, known = self._parameters.keyed_bases, len(codes.LEAK_FRACTIONS)
        if len(message.code_classes) != len(bases) or max(message.code_classes, default=0) >= known:
            raise RemoteProtocolError(
                f"block {self.index}: expected {len(bases)} code classes below {known}, got "
                f"{message.code_classes}; the session ends"
            )
        for basis, code_class in zip(bases, message.code_classes, strict=True):
            bits = self._known_rounds.keyed_bits(basis)
            reference = reference_of(bits, code_class, self._parameters.protocol)
            self.dialogues[basis] = self._open[basis] = reference
            self._say(messages.Parities(self.index, basis, to_bytes(reference.opening())))
        return State.RECONCILING

    def _on_verdicts(self, message: messages.Verdicts) -> State:
        reference = self._open.get(message.basis)
        if reference is None:
            raise RemoteProtocolError(f"block {self.index}: verdicts of basis {message.basis} not awaited")
        parities = reference.take(messages.bits_of(message.verdicts, reference.verdicts_awaited, "verdicts"))
        if reference.verdicts_awaited:
            self._say(messages.Parities(self.index, message.basis, to_bytes(parities)))
            return State.RECONCILING
        del self._open[message.basis]
        if reference.failed_bits:
            self._say(messages.Reveal(self.index, message.basis, to_bytes(reference.failed_values())))
        return State.RECONCILING if self._open else self._compare()

    def _compare(self) -> State:
        """Both strings are fixed: draw the hash seed and say this side's tag."""
        epsilon = self._parameters.protocol.epsilon_correctness
        seed = self._randbytes(verify.seed_bytes(epsilon))
        self._tag_expected = verify.tag(self._keyed_string(), seed, epsilon)
        self._say(messages.Verify(self.index, seed, self._tag_expected))
        return State.VERIFYING

    def _on_close(self, message: messages.Close) -> State:
        if not verify.matches(self._tag_expected, message.tag):
            raise RemoteProtocolError(
                f"block {self.index}: the station closed it although its verification tag differs"
            )
        self._take_errors(message.errors)
        self._length = self._key_length()
        lengths = self._secret_lengths(self._length)
        seeds = tuple(
            self._randbytes(seed_bytes(self.dialogues[basis].bits.size, bits))
            for basis, bits in zip(self._parameters.keyed_bases, lengths, strict=True)
        )
        if sum(lengths) == 0:
            self._say(messages.Amplify(self.index, lengths, (), NO_TAG))
            self._finish("no_key", NO_KEY_REASON, length=self._length)
            return State.FINISHED
        self._secret = self._distilled(lengths, seeds)
        self.events.append(SecretReady(self.index, sum(lengths), self._secret))
        self.holds_key = True
        self._say(messages.Amplify(self.index, lengths, seeds, NO_TAG))
        return State.AMPLIFIED

    def _on_confirm(self, message: messages.Confirm) -> State:
        expected = self._key_tag(TagUse.CONFIRM, self._secret, matches=True)
        self._keys_match = matches = verify.matches(expected, message.key_tag)
        tag = self._key_tag(TagUse.CONFIRMED, self._secret, matches=matches)
        self._say(messages.Confirmed(self.index, matches, tag))
        if not matches:
            self.events.append(SecretRefused(self.index))
        return State.CONFIRMING

    def _on_done(self, message: messages.Done) -> State:
        agreed = self._keys_match and message.matches
        if agreed:
            self.events.append(SecretConfirmed(self.index))
        bits = 8 * len(self._secret)
        self._secret = b""
        if agreed:
            self._finish("key", length=self._length, secret_bits=bits, keys_match=True)
        else:
            self._finish("unconfirmed", KEYS_DIFFER_REASON, length=self._length)
        return State.FINISHED

    def _on_abandon(self, message: messages.Abandon) -> State:
        self._outcome, self._reason = message.outcome, message.reason
        if self.rounds is None:
            self._answered = Answered(self.index, self._parameters)
            self._finish(self._outcome, self._reason)
            return State.FINISHED
        rounds = self._known_rounds
        values = tuple(to_bytes(rounds.keyed_bits(basis)) for basis in self._parameters.keyed_bases)
        self._say(messages.Values(self.index, values))
        return State.ABANDONED

    def _on_errors(self, message: messages.Errors) -> State:
        self._take_errors(message.errors)
        self._finish(self._outcome, self._reason)
        return State.FINISHED

    HANDLERS = {
        messages.Keep: _on_keep,
        messages.Ended: _on_ended,
        messages.Bases: _on_bases,
        messages.ChooseCodes: _on_choose,
        messages.Verdicts: _on_verdicts,
        messages.Close: _on_close,
        messages.Confirm: _on_confirm,
        messages.Done: _on_done,
        messages.Abandon: _on_abandon,
        messages.Errors: _on_errors,
    }

    def _require_all(self, told: int, known: int, what: str) -> None:
        if told != known:
            raise RemoteProtocolError(
                f"block {self.index}: {known} detections were announced, {what} came for {told}; the "
                f"session ends"
            )

    def _take_errors(self, errors: tuple[tuple[int, ...], ...]) -> None:
        table = np.array(errors, dtype=np.int64) if {len(row) for row in errors} == {3} else np.empty(0)
        if table.shape != (2, 3) or (table > self._detection_table()).any():
            raise RemoteProtocolError(
                f"block {self.index}: expected errors by 2 bases and 3 classes, none above its detections, "
                f"got {errors}; the session ends"
            )
        self.errors, self.errors_known = table, True
