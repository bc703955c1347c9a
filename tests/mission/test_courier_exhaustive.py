"""Relay, debit of messages and receipts, in every order that the network and crashes allow.

What is checked in every state: no key range used for two things, at any end; nothing sealed on its way
whose key is not spent; each message received at most once, as it was sent; delivered only when received;
a true receipt said only when the message is on the receiver's disk; every store's books. And from every
state, once the network is calm, all messages are delivered: nothing is lost for ever.
"""

import pytest
from courier_states import CONTENT, NODES, RELAY_BITS, Network, NodeState, Said, Whole_
from courier_world import SAT, A, B

from exploration import Explored, explore
from satqkd.config import Traffic
from satqkd.keys.traffic import Parcel
from satqkd.keys.traffic.seal import read_message_header
from satqkd.mission.courier_messages import AnyCourierMessage, Custody, Refused, Whole, decode, encode

SETTINGS = Traffic(pairs=((A, B),), relay_bits=RELAY_BITS, relay_least_bits=64)


class Checker:
    """What must hold."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._consistent: set[tuple[int, int]] = set()
        self._ends_well: set[tuple[object, ...]] = set()

    def __call__(self, whole: Whole_) -> None:
        states = [self._network.states[number] for number in whole[:3]]
        for i in range(3):
            for j in range(i):
                self._same_uses(whole[i], whole[j])
        by_name = dict(zip(NODES, states, strict=True))
        for sender, receiver in ((A, B), (B, A)):
            self._delivery(by_name[sender], by_name[receiver], sender)
        for said in whole[3]:
            self._said(by_name, said)
        self._calm(whole, states)

    def _same_uses(self, one: int, other: int) -> None:
        if (one, other) in self._consistent:
            return
        first, second = (self._network.states[number].uses for number in (one, other))
        for (block, offset, bits), use in first.items():
            for (other_block, start, length), other_use in second.items():
                if block == other_block and offset < start + length and start < offset + bits:
                    assert use == other_use, f"{block} bits {offset}: {use!r} and {other_use!r}"
        self._consistent.add((one, other))

    def _delivery(self, sender: NodeState, receiver: NodeState, name: str) -> None:
        for number, state in sender.sent.items():
            if state == "delivered":
                assert (name, number) in receiver.received, f"{name}:{number} delivered but not received"
        for (source, number), content in receiver.received.items():
            assert content == CONTENT[source]
            assert sender.sent[number] != "waiting"

    def _said(self, by_name: dict[str, NodeState], said: Said) -> None:
        message = decode(said[2])
        if not isinstance(message, Whole):
            return
        parcel = message.parcel
        if parcel.kind == "message" and said[0] in (parcel.source, SAT):
            header = read_message_header(message.data)
            for piece in header.ranges:
                assert any(
                    block == piece.block_id and start <= piece.offset_bits and piece.end_bits <= start + bits
                    for block, start, bits in by_name[parcel.source].uses
                ), f"{parcel} is on its way, its key is not spent"
        if parcel.kind == "receipt" and message.data != FORGED_TOKEN:
            assert (parcel.destination, parcel.number) in by_name[parcel.source].received

    def _calm(self, whole: Whole_, states: list[NodeState]) -> None:
        durable = tuple(state.durable for state in states)
        if durable not in self._ends_well:
            end = self._network.calm(whole)
            for number in end[1:3]:
                sent = self._network.states[number].sent
                assert set(sent.values()) <= {"delivered"}, f"in the end {sent}"
            self._ends_well.add(durable)


FORGED_TOKEN = bytes(16)


def run(messages: tuple[tuple[str, str], ...], forged: frozenset[Said], limit: int) -> Explored[Whole_]:
    network = Network(SETTINGS, messages)
    start = (*network.start[:3], forged)
    explored = explore(
        start, network.moves, Checker(network), maximum_states=limit, said=lambda whole: (whole[:3], whole[3])
    )
    print(f"{explored.states} states, {explored.moves} moves, {network.steps.runs} steps of real code")
    return explored


def forged() -> frozenset[Said]:
    """What somebody on the line may say at any time, to everybody whom it might harm."""
    message, receipt = Parcel("message", A, B, 1), Parcel("receipt", B, A, 1)
    record = Parcel("relay", SAT, A, 1)
    words: list[tuple[str, str, AnyCourierMessage]] = [
        (SAT, A, Custody(message, 10**6, False)),
        (SAT, A, Refused(message, "wrong tag")),
        (B, SAT, Refused(message, "wrong tag")),
        (B, SAT, Whole(receipt, False, FORGED_TOKEN)),
        (SAT, A, Whole(receipt, False, FORGED_TOKEN)),
        (A, SAT, Refused(record, "unreadable")),
    ]
    return frozenset((sender, receiver, encode(each)) for sender, receiver, each in words)


def test_one_message_with_loss_duplication_reordering_and_crashes() -> None:
    assert run(((A, B),), frozenset(), 20_000).states > 500


@pytest.mark.soak
def test_one_message_while_somebody_forges_custody_refusals_and_receipts() -> None:
    assert run(((A, B),), forged(), 200_000).states > 1000


@pytest.mark.soak
def test_two_messages_that_cross() -> None:
    assert run(((A, B), (B, A)), frozenset(), 2_000_000).states > 10_000
