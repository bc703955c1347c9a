"""The station's half of a block: it corrects its string to the satellite's and closes the block.

It tells slot numbers while the block lasts, bases after the block's last slot or, where the announcement is
streamed, with each report, code classes from revealed rounds and what closed blocks taught. See `block.py`
for what both halves share.
"""

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from satqkd.bits import Bits, to_bytes
from satqkd.distill import messages, verify
from satqkd.distill.authenticate import TO_SATELLITE, TO_STATION, PassKeys, TagUse
from satqkd.distill.block import (
    KEYS_DIFFER_REASON,
    NO_KEY_REASON,
    NO_TAG,
    BlockHalf,
    seed_bytes,
)
from satqkd.distill.dialogue import Correction
from satqkd.distill.gathered import Gathered
from satqkd.distill.opened import Told
from satqkd.distill.outcome import (
    AngleEstimated,
    GivenUp,
    Outcome,
    RawConfirmed,
    RawReady,
    SecretConfirmed,
    SecretReady,
    SecretRefused,
)
from satqkd.distill.parameters import Parameters
from satqkd.distill.polarisation import frame_angle
from satqkd.distill.priors import Lesson, Prior, prior_of
from satqkd.distill.profile import error_profile
from satqkd.distill.reconciliation import class_of, correction_of
from satqkd.distill.sift import crossed_at_station, tabulate
from satqkd.errors import LocalProtocolError, RemoteProtocolError
from satqkd.records import BASIS_NAMES
from satqkd.results import KeyLength


class State(Enum):
    """What the station knows of a block."""

    COLLECTING = "has detections, tells their slots; their bases where they are streamed"
    KEPT = "has put its detections aside for the pool, waits for the satellite's word that it has too"
    ANNOUNCED = "has told all its bases, waits for matches and classes"
    CHOSEN = "has told the code classes, waits for parities"
    RECONCILED = "has corrected what it can, waits for failed frames and the hash seed"
    CLOSED = "knows that both strings are equal, waits for the Toeplitz seeds"
    CONFIRMING = "holds the key, waits for the satellite's tag of it"
    ABANDONED = "has given the block up, waits for its values to count the errors"
    FINISHED = "nothing more will be said"


class StationBlock(BlockHalf):
    """One block at the station."""

    SENDS = TO_SATELLITE
    RECEIVES = TO_STATION
    TRANSITIONS = {
        (State.COLLECTING, messages.Cut): (State.COLLECTING,),
        (State.ANNOUNCED, messages.Cut): (State.ANNOUNCED,),
        (State.KEPT, messages.Kept): (State.FINISHED,),
        (State.COLLECTING, messages.Sift): (State.COLLECTING,),
        (State.ANNOUNCED, messages.Sift): (State.ANNOUNCED,),
        (State.ANNOUNCED, messages.Crossed): (State.CHOSEN, State.ABANDONED),
        (State.CHOSEN, messages.Parities): (State.CHOSEN, State.RECONCILED),
        (State.RECONCILED, messages.Reveal): (State.RECONCILED,),
        (State.CHOSEN, messages.Reveal): (State.CHOSEN,),
        (State.RECONCILED, messages.Verify): (State.CLOSED, State.ABANDONED),
        (State.ABANDONED, messages.Values): (State.FINISHED,),
        (State.CLOSED, messages.Amplify): (State.CONFIRMING, State.FINISHED),
        (State.CONFIRMING, messages.Confirmed): (State.FINISHED,),
    }

    def __init__(self, index: int, parameters: Parameters, keys: PassKeys, opening: bytes) -> None:
        super().__init__(index, parameters, keys, opening, State.COLLECTING)
        self._gathered = Gathered()
        self._told = Told(index, parameters)
        self.is_cut = False
        """Whether the satellite answers for a part of it only: more detections are of no use."""
        self._open: dict[int, Correction] = {}
        self._unrevealed: set[int] = set()
        self._priors: dict[int, Prior] = {}
        self.earlier: dict[int, Lesson] = {}
        self._length: KeyLength | None = None
        self._secret = b""
        self._outcome: Outcome = "unconfirmed"
        self._reason = ""

    def collect(
        self, message: messages.Announce, slots: NDArray[np.int64], bases: Bits, bits: Bits
    ) -> list[messages.BlockMessage]:
        """Take detections whose slots are now told by `message`; returns it, and what tells their bases where
        the announcement is streamed."""
        self.require_collecting("announce")
        self.detections += slots.size
        self._say(message)
        if self._parameters.streamed:
            self._tell(slots, bases, bits)
        else:
            self._gathered.add(slots, bases, bits)
        return self._said_so_far()

    def end(self, raw_blocks: Sequence[bytes] = ()) -> list[messages.BlockMessage]:
        """The block's last slot is past and all its detections are told: say so, and the bases untold yet.

        raw_blocks: of the pool that this block closes; their detections are put before its own, as if they
        had flown just before it.
        """
        self.require_collecting("end")
        first = self._parameters.first_slot(self.index)
        self.pooled_detections = self._gathered.put_before(raw_blocks, slot=first)
        self._say(messages.Ended(self.index, self.pooled_detections + self.detections))
        self._tell(*self._gathered.columns())
        self._gathered = Gathered()
        self._enter(State.ANNOUNCED, (State.ANNOUNCED,))
        return self._said_so_far()

    def _tell(self, slots: NDArray[np.int64], bases: Bits, bits: Bits) -> None:
        for message in self._told.tell(slots, bases, bits):
            self._say(message)

    def keep(self) -> list[messages.BlockMessage]:
        """The block's last slot is past and all its detections are told: put them aside for the pool."""
        self.require_collecting("keep")
        first, end = (self._parameters.first_slot(self.index + step) for step in (0, 1))
        data = self._gathered.packed(first_slot=first, end_slot=end)
        self._gathered = Gathered()
        self.events.append(RawReady(self.index, self.detections, data))
        self._say(messages.Keep(self.index, self.detections, NO_TAG))
        self._enter(State.KEPT, (State.KEPT,))
        return self._said_so_far()

    def refuse(self, reason: str) -> list[messages.BlockMessage]:
        """Give the block up before it is opened: no error of it is counted."""
        self.require_collecting("refuse")
        self._gathered = Gathered()
        self._say(messages.Abandon(self.index, "aborted", reason))
        self._finish("aborted", reason)
        self._enter(State.FINISHED, (State.FINISHED,))
        return self._said_so_far()

    def _said_so_far(self) -> list[messages.BlockMessage]:
        replies, self._replies = self._replies, []
        return replies

    def require_collecting(self, verb: str) -> None:
        """Raises LocalProtocolError once the block's detections are all told."""
        if self.state is not State.COLLECTING:
            raise LocalProtocolError(f"block {self.index} is {self.state.name}: too late to {verb}")

    def _on_cut(self, message: messages.Cut) -> State:
        self.is_cut = True
        slot = message.start_slot
        self.detections = self._told.drop_from(slot) + self._gathered.drop_from(slot)
        state: State = self.state  # type: ignore[assignment]
        return state

    def _on_kept(self, _: messages.Kept) -> State:
        self.events.append(RawConfirmed(self.index))
        self._finish_kept()
        return State.FINISHED

    def _on_sift(self, message: messages.Sift) -> State:
        self._told.take(message)
        state: State = self.state  # type: ignore[assignment]
        return state

    def _on_crossed(self, message: messages.Crossed) -> State:
        self._told.require_all()
        self.rounds, slots, wrong = self._told.table()
        self.errors = tabulate(self.rounds.basis[wrong], self.rounds.intensity_class[wrong])
        self.events.append(error_profile(self.index, self.rounds, slots, wrong, self._parameters))
        self._estimate_angle(message)
        self._told = Told(self.index, self._parameters)
        keyed_rounds = int(self.rounds.keyed.sum())
        if keyed_rounds == 0:
            detected = self.pooled_detections + self.detections
            return self._abandon("no_key", f"no keyed rounds among {detected} detections")
        for basis in self._parameters.keyed_bases:
            self._priors[basis] = prior_of(
                self.rounds, slots, wrong, basis, self._parameters, lesson=self.earlier.get(basis)
            )
        limit = self._parameters.protocol.maximum_qber
        for basis, prior in self._priors.items():
            if prior.qber > limit:
                return self._abandon(
                    "aborted",
                    f"estimated QBER {prior.qber:.3f} in basis {BASIS_NAMES[basis]}, at most {limit} allowed",
                )
        classes = tuple(self._open_dialogue(basis, prior) for basis, prior in self._priors.items())
        self._say(messages.ChooseCodes(self.index, classes))
        return State.CHOSEN

    def lessons(self) -> dict[int, Lesson]:
        """What the block taught by basis, once its errors are counted: for the blocks after it."""
        if not self.errors_known:
            return {}
        keyed = np.where(self._keyed_table(), self.errors, 0).sum(axis=1)
        told = {basis: prior.lesson(int(keyed[basis])) for basis, prior in self._priors.items()}
        return {basis: lesson for basis, lesson in told.items() if lesson is not None}

    def _open_dialogue(self, basis: int, prior: Prior) -> int:
        """Choose the code class of a basis and stand ready for its parities."""
        protocol, bits = self._parameters.protocol, self._known_rounds.keyed_bits(basis)
        rates = prior.rates if bits.size else self._parameters.expected_qber
        code_class = class_of(rates, bits.size, prior.sample_bits, protocol)
        correction = correction_of(bits, code_class, prior.rates, protocol)
        self.dialogues[basis] = self._open[basis] = correction
        return code_class

    def _on_parities(self, message: messages.Parities) -> State:
        correction = self._open.get(message.basis)
        if correction is None:
            raise RemoteProtocolError(f"block {self.index}: parities of basis {message.basis} not awaited")
        verdicts = correction.take(
            messages.bits_of(message.parities, correction.parities_awaited, "parities")
        )
        self._say(messages.Verdicts(self.index, message.basis, to_bytes(verdicts)))
        if not correction.parities_awaited:
            del self._open[message.basis]
            self._unrevealed |= {message.basis} if correction.failed_bits else set()
        return State.CHOSEN if self._open else State.RECONCILED

    def _on_reveal(self, message: messages.Reveal) -> State:
        if message.basis not in self._unrevealed:
            raise RemoteProtocolError(
                f"block {self.index}: no failed frames in basis {message.basis} awaited"
            )
        self._unrevealed.discard(message.basis)
        dialogue = self.dialogues[message.basis]
        dialogue.replace_failed(messages.bits_of(message.values, dialogue.failed_bits, "revealed frames"))
        state: State = self.state  # type: ignore[assignment]
        return state

    def _on_verify(self, message: messages.Verify) -> State:
        epsilon = self._parameters.protocol.epsilon_correctness
        if len(message.seed) != verify.seed_bytes(epsilon):
            raise RemoteProtocolError(
                f"block {self.index}: expected a hash seed of {verify.seed_bytes(epsilon)} bytes, got "
                f"{len(message.seed)}; the session ends"
            )
        self._count_keyed_errors()
        tag = verify.tag(self._keyed_string(), message.seed, epsilon)
        if not verify.matches(tag, message.tag):
            return self._abandon("aborted", "the verification tags differ after reconciliation")
        self._say(messages.Close(self.index, tag, self._error_table(), NO_TAG))
        return State.CLOSED

    def _on_amplify(self, message: messages.Amplify) -> State:
        self._length = self._key_length()
        lengths = self._secret_lengths(self._length)
        if lengths != message.secret_bits:
            raise RemoteProtocolError(
                f"block {self.index}: our secret lengths are {lengths}, the satellite's "
                f"{message.secret_bits}; install equal versions"
            )
        if sum(lengths) == 0:
            self._finish("no_key", NO_KEY_REASON, length=self._length)
            return State.FINISHED
        wanted = [
            seed_bytes(self.dialogues[basis].bits.size, bits)
            for basis, bits in zip(self._parameters.keyed_bases, lengths, strict=True)
        ]
        if [len(seed) for seed in message.seeds] != wanted:
            raise RemoteProtocolError(f"block {self.index}: expected Toeplitz seeds of {wanted} bytes")
        self._secret = self._distilled(lengths, message.seeds)
        self.events.append(SecretReady(self.index, sum(lengths), self._secret))
        self.holds_key = True
        self._say(messages.Confirm(self.index, self._key_tag(TagUse.CONFIRM, self._secret, matches=True)))
        return State.CONFIRMING

    def _on_confirmed(self, message: messages.Confirmed) -> State:
        expected = self._key_tag(TagUse.CONFIRMED, self._secret, matches=message.matches)
        same = verify.matches(expected, message.key_tag)
        agreed = message.matches and same
        bits = 8 * len(self._secret)
        self._secret = b""
        self._say(messages.Done(self.index, agreed))
        if agreed:
            self.events.append(SecretConfirmed(self.index))
            self._finish("key", length=self._length, secret_bits=bits, keys_match=True)
        else:
            if not same:
                self.events.append(SecretRefused(self.index))
            self._finish("unconfirmed", KEYS_DIFFER_REASON, length=self._length)
        return State.FINISHED

    def _on_values(self, message: messages.Values) -> State:
        bases = self._parameters.keyed_bases
        if len(message.values) != len(bases):
            raise RemoteProtocolError(f"block {self.index}: expected values of {len(bases)} bases")
        rounds = self._known_rounds
        reference = rounds.bit.copy()
        for basis, data in zip(bases, message.values, strict=True):
            mask = rounds.keyed & (rounds.basis == basis)
            reference[mask] = messages.bits_of(data, int(mask.sum()), "values")
        self._add_keyed_errors(reference)
        self._say(messages.Errors(self.index, self._error_table()))
        self._finish(self._outcome, self._reason)
        return State.FINISHED

    HANDLERS = {
        messages.Cut: _on_cut,
        messages.Kept: _on_kept,
        messages.Sift: _on_sift,
        messages.Crossed: _on_crossed,
        messages.Parities: _on_parities,
        messages.Reveal: _on_reveal,
        messages.Verify: _on_verify,
        messages.Amplify: _on_amplify,
        messages.Confirmed: _on_confirmed,
        messages.Values: _on_values,
    }

    def _abandon(self, outcome: GivenUp, reason: str) -> State:
        self._outcome, self._reason = outcome, reason
        self.errors *= ~self._keyed_table()
        self.errors_known = False
        self._say(messages.Abandon(self.index, outcome, reason))
        return State.ABANDONED

    def _count_keyed_errors(self) -> None:
        reference = self._known_rounds.bit.copy()
        for basis, dialogue in self.dialogues.items():
            rows = np.flatnonzero(self._known_rounds.keyed & (self._known_rounds.basis == basis))
            reference[rows[dialogue.order]] = dialogue.bits
        self._add_keyed_errors(reference)

    def _add_keyed_errors(self, reference: Bits) -> None:
        rounds = self._known_rounds
        wrong = rounds.keyed & (rounds.bit != reference)
        self.errors = self.errors + tabulate(rounds.basis[wrong], rounds.intensity_class[wrong])
        self.errors_known = True

    def _estimate_angle(self, message: messages.Crossed) -> None:
        """Tell the node how the frames lay; in several blocks at once they lay in several ways."""
        crossed = crossed_at_station(*self._told.crossed(), message, self._parameters)
        if self._parameters.protocol.polarisation_sample and not self.pooled_detections:
            self.events.append(AngleEstimated(self.index, frame_angle(*crossed)))

    def _keyed_table(self) -> NDArray[np.bool_]:
        return np.array([[self._parameters.is_keyed(b, k) for k in range(3)] for b in range(2)])

    def _error_table(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(int(value) for value in row) for row in self.errors)
