"""Attackers on the classical link of whole passes, both real terminals: a table.

Each attack is made in one contact; a calm one follows. Whatever it does: no key differs or is used twice,
nothing is confirmed without the peer's word, both stores' books balance; and the contact that follows gives
key. What each attack costs, and where it is tested, is `docs/attackers.md`.
"""

import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

import attackers
import msgspec
import pytest
from attackers import Attacker

from satqkd.distill import messages
from simulator.checker import books, confirmed, kept, single_use
from simulator.dice import Plan
from simulator.plans import PROTOCOL, flight
from simulator.plans import confirmed as keys_of
from simulator.words import Words
from simulator.world import World
from toy_pass import replaced

LAST = 2
"""Contacts: one that is overheard, one that is attacked, one that is calm."""
TWO_BLOCKS = replaced(PROTOCOL, blocks=2)


class Attack(NamedTuple):
    """One row of the table."""

    make: Callable[[Attacker], Attacker]
    """The attacker, who has overheard the contact before."""
    keeps_key: bool
    """Whether the contact under attack gives its key all the same."""


def forged(message: messages.Message, **envelope: object) -> Callable[[], bytes]:
    """A message of the pass under attack, with a code that is guessed."""
    made = messages.Envelope(messages.VERSION, "sat.graz.1", 3, message)  # type: ignore[arg-type]
    return lambda: messages.encode(msgspec.structs.replace(made, **envelope)) + bytes(16)


def huge(kind: bytes) -> Callable[[], bytes]:
    """MessagePack that announces four gigabytes and holds nothing."""
    head = msgspec.msgpack.encode([messages.VERSION, "sat.graz.1", 3])[1:]
    return lambda: b"\x94" + head + b"\x95\xa8Announce\x00\x00\x01" + kind + b"\xff\xff\xff\xff" + bytes(64)


NOBODY = messages.Hello("sat", "graz", bytes(32), 0, ())
TABLE = {
    "change": Attack(lambda _: attackers.Changes(), True),
    "replay in the pass": Attack(lambda _: attackers.ReplaysInThePass(), True),
    "replay another contact": Attack(lambda spy: attackers.ReplaysAnotherContact(spy), True),
    "messages of another pass": Attack(lambda spy: attackers.Resettles(spy), True),
    "reflect": Attack(lambda _: attackers.Reflects(), True),
    "inject frames": Attack(lambda _: attackers.InjectsFrames(), True),
    "a start that never was": Attack(lambda _: attackers.CallsByOtherBoots(0, 2**32 - 2), True),
    "the last start of all": Attack(lambda _: attackers.CallsByOtherBoots(0, 2**32 - 1), True),
    "a later start of the peer": Attack(lambda _: attackers.CallsByOtherBoots(900, 0), True),
    "the peer's last start": Attack(lambda _: attackers.CallsByOtherBoots(2**32 - 1, 0), False),
    "inject Done": Attack(lambda _: attackers.InjectsMessages(forged(messages.Done(0, True))), True),
    "inject Hello": Attack(lambda _: attackers.InjectsMessages(forged(NOBODY)), True),
    "inject a hello first": Attack(
        lambda _: attackers.InjectsMessages(forged(NOBODY, sequence=0), at=0), False
    ),
    "inject a receipt": Attack(
        lambda _: attackers.InjectsMessages(
            lambda: messages.encode_receipt(messages.Receipt("sat.graz.1", 2**39)) + bytes(16)
        ),
        True,
    ),
    "inject noise": Attack(lambda _: attackers.InjectsMessages(lambda: b"\xc1" * 300), True),
    "delay down": Attack(lambda _: attackers.Delays("down"), True),
    "delay up": Attack(lambda _: attackers.Delays("up"), True),
    "huge bytes": Attack(lambda _: attackers.InjectsMessages(huge(b"\xc6")), True),
    "huge array": Attack(lambda _: attackers.InjectsMessages(huge(b"\xdd")), True),
    "flood": Attack(lambda _: attackers.Floods(), True),
}
"""Attacks on every message; a row a kind of attack."""
PEAK_BYTES = 160 << 20
"""Of both ends together under attack: four streams' buffers each, of four of the longest messages."""


def attacked(name: str) -> tuple[World, Attacker]:
    """Three contacts, the second under attack."""
    spy = Attacker()
    flights = [flight(number, TWO_BLOCKS, slots=8000, link_end_s=6.0) for number in range(3)]
    world = World(Plan(1, tuple(flights)))
    world.attackers = {0: spy, LAST: Attacker()}
    world.attackers[1] = attacker = TABLE[name].make(spy)
    return world.run(), attacker


@pytest.mark.parametrize("name", TABLE)
def test_an_attacker_on_the_link_gets_nothing_and_the_next_contact_gives_key(name: str) -> None:
    world, attacker = attacked(name)
    assert attacker.acted > 0, "it did nothing"
    history = world.history
    found = [
        *single_use(history),
        *Words(history).tag_faults(),
        *confirmed(history),
        *books(world),
        *kept(world),
    ]
    assert found == []
    above, below = keys_of(world)
    assert above == below
    blocks = {f"sat.graz.{number}.block{block}" for number in (0, LAST) for block in range(2)}
    under_attack = {f"sat.graz.1.block{block}" for block in range(2)}
    assert blocks <= above
    if TABLE[name].keeps_key:
        assert under_attack <= above
    else:
        assert not under_attack & above, "it is told to cost the contact"


@pytest.mark.parametrize("name", ["flood", "huge bytes", "huge array"])
def test_what_an_attacker_makes_the_ends_hold_is_bounded(name: str) -> None:
    tracemalloc.start()
    try:
        attacked(name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{name}: {peak / 2**20:.1f} MiB at most")
    assert peak < PEAK_BYTES
