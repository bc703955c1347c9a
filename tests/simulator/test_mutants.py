"""Software that is wrong in one place: the checker must say so. A checker that passes these is none."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from satqkd.distill import station_block, verify
from satqkd.distill.authenticate import PassKeys, TagUse
from satqkd.distill.memory import RecordedRandom
from satqkd.distill.outcome import SecretConfirmed
from satqkd.distill.station_block import StationBlock
from satqkd.keys.store.journal import Journal
from satqkd.lasercom import Endpoint
from simulator.dice import Fall, Plan
from simulator.plans import flight
from simulator.runner import faults_of
from simulator.world import Contact, Node


@contextmanager
def one_commit_forgotten() -> Iterator[None]:
    """A disk that told of a commit which it did not keep: a node that dies comes back one change earlier."""
    true = Contact._fell

    def fell(self: Contact, node: Node, now_s: float) -> None:
        true(self, node, now_s)
        if len(copies[node.name]) > 1:
            node.database.put_back(copies[node.name][-2])

    copies: dict[str, list[bytes]] = {"sat": [], "graz": []}
    true_start = Contact._start

    def start(self: Contact, node: Node) -> Any:
        node.database.on_commit = lambda: copies[node.name].append(node.database.copy())
        return true_start(self, node)

    with patch.object(Contact, "_fell", fell), patch.object(Contact, "_start", start):
        yield


@contextmanager
def tag_key_reused() -> Iterator[None]:
    """Close and Amplify of a block go under one key."""
    true = PassKeys.one_time_tag

    def one_time_tag(self: PassKeys, block: int, use: TagUse, *parts: Any) -> bytes:
        self._used.clear()
        return true(self, block, TagUse.CLOSE if use is TagUse.AMPLIFY else use, *parts)

    with patch.object(PassKeys, "one_time_tag", one_time_tag):
        yield


@contextmanager
def confirmed_without_a_word() -> Iterator[None]:
    """The station uses its key as soon as it has it."""
    true = StationBlock._on_amplify

    def on_amplify(self: StationBlock, message: Any) -> Any:
        state = true(self, message)
        self.events.append(SecretConfirmed(self.index))
        return state

    handlers = StationBlock.HANDLERS | {station_block.messages.Amplify: on_amplify}
    with patch.object(StationBlock, "HANDLERS", handlers):
        yield


@contextmanager
def duplicate_handed_on() -> Iterator[None]:
    """The link gives every seventh message twice."""
    true, count, again = Endpoint.next_message, [0], {}

    def next_message(self: Endpoint) -> Any:
        if id(self) in again:
            return again.pop(id(self))
        found = true(self)
        count[0] += found is not None
        if found is not None and count[0] % 7 == 0:
            again[id(self)] = found
        return found

    with patch.object(Endpoint, "next_message", next_message):
        yield


@contextmanager
def other_key_unnoticed() -> Iterator[None]:
    """The station's amplification is wrong in a bit, and comparisons of tags are forgotten."""
    true = StationBlock._distilled

    def distilled(self: StationBlock, *arguments: Any) -> bytes:
        key = true(self, *arguments)
        return bytes([key[0] ^ 1, *key[1:]])

    with (
        patch.object(StationBlock, "_distilled", distilled),
        patch.object(verify, "matches", lambda *_: True),
    ):
        yield


@contextmanager
def seeds_drawn_anew() -> Iterator[None]:
    """A satellite that is taken up again does not remember what it drew."""

    def replay(self: RecordedRandom, noted: bytes, action: Callable[[], object]) -> None:
        action()

    with patch.object(RecordedRandom, "replay", replay):
        yield


@contextmanager
def said_before_it_is_durable() -> Iterator[None]:
    """Messages never reach the journal's outbox: who dies has said what it does not know."""
    with patch.object(Journal, "put", lambda *_: None):
        yield


CASES = {
    "one_commit_forgotten": (one_commit_forgotten, "twice|not what it was|went through its door|failed"),
    "tag_key_reused": (tag_key_reused, "not tagged under its own key"),
    "confirmed_without_a_word": (confirmed_without_a_word, "without the peer's word"),
    "duplicate_handed_on": (duplicate_handed_on, "not the first it said"),
    "other_key_unnoticed": (other_key_unnoticed, "the other end holds other key"),
    "seeds_drawn_anew": (seeds_drawn_anew, "twice|failed"),
    "said_before_it_is_durable": (said_before_it_is_durable, "after a calm contact|failed"),
}


def plans() -> Iterator[Plan]:
    """A pass in which the satellite dies at one tick after the other of its dialogue, then a calm one."""
    for tick in range(20):
        fall = Fall(0.45 + 0.05 * tick, "sat" if tick % 2 else "graz", "after", 0, 0.1)
        yield Plan(tick, (flight(0, falls=(fall,)), flight(1, users_spend_bits=64)))


@pytest.mark.parametrize("name", CASES)
def test_the_checker_finds_it(name: str) -> None:
    mutant, words = CASES[name]
    found: list[str] = []
    with mutant():
        for plan in plans():
            found += faults_of(plan)[1]
            if found:
                break
    assert found, "a wrong software passed"
    assert re.search(words, "\n".join(found)), found


def test_the_same_plans_pass_with_the_true_software() -> None:
    for plan in list(plans())[::4]:
        assert faults_of(plan)[1] == []
