"""What the simulator found once, each as a plan by itself: small, and told in words."""

import pytest

from satqkd.keys import Journal
from simulator.checker import UNHEARD
from simulator.dice import LINK_BEFORE_S, RATE_HZ, Fall, Plan
from simulator.plans import POOLED, confirmed, dead_throughout, flight, flown, passes
from simulator.world import World
from toy_pass import replaced


def test_a_pass_whose_laser_link_never_came_up_does_not_stop_the_next_one() -> None:
    """Both ends have said hello for it, with the position of the key that the next pass draws."""
    world = flown(flight(0, frame_loss=1.0), flight(1, frame_loss=1.0), flight(2))
    assert passes(world) == [{"sat.graz.0": "failed", "sat.graz.1": "failed", "sat.graz.2": "closed"}] * 2
    assert confirmed(world) == [{"sat.graz.2.block0"}] * 2


@pytest.mark.parametrize("end", ["sat", "graz"])
def test_a_pass_of_which_one_end_knows_nothing_does_not_stop_the_next_one(end: str) -> None:
    world = flown(flight(0, falls=dead_throughout(end)), flight(1))
    here, there = passes(world) if end == "graz" else passes(world)[::-1]
    assert (here, there) == ({"sat.graz.0": "failed", "sat.graz.1": "closed"}, {"sat.graz.1": "closed"})
    assert confirmed(world) == [{"sat.graz.1.block0"}] * 2


class CutOff:
    """From a time on nothing arrives one way."""

    def __init__(self, way: str, from_s: float) -> None:
        self._way, self._from_s = way, from_s

    def arrives(self, way: str, now_s: float, datagrams: list[bytes]) -> list[bytes]:
        """What does."""
        return [] if way == self._way and now_s >= self._from_s else datagrams


@pytest.mark.parametrize("way", ["down", "up"])
def test_a_pass_that_one_end_alone_heard_is_given_up_by_both(way: str) -> None:
    """The one that heard has drawn key for it; where the other's key stands at the next hello tells it.

    The link is cut tick after tick later, until both have heard and the pass goes on at the next contact.
    """
    told = []
    for tick in range(20):
        world = World(Plan(1, (flight(0), flight(1))))
        world.attackers[0] = CutOff(way, -LINK_BEFORE_S + 0.05 * tick - 0.01)
        world.run()
        states = passes(world)
        assert states[0] == states[1] and states[0]["sat.graz.1"] == "closed"
        if states[0]["sat.graz.0"] == "closed":
            break
        assert confirmed(world) == [{"sat.graz.1.block0"}] * 2
        told.append(reasons(world))
    neither, above_alone = (UNHEARD[0], UNHEARD[0]), (UNHEARD[1], UNHEARD[0])
    assert set(told) == {neither, above_alone if way == "down" else above_alone[::-1]}


def reasons(world: World) -> tuple[str, ...]:
    """Why pass 0 failed, at the satellite and at the station."""
    ends = (("sat", "graz"), ("graz", "sat"))
    rows = [Journal(world.nodes[node].store, peer).find("sat.graz.0") for node, peer in ends]
    return tuple("" if row is None else row.reason for row in rows)


def test_raw_blocks_that_a_broken_pass_may_still_take_are_not_claimed_by_the_next_one() -> None:
    """Pass 0 keeps a block, pass 1 is to close the pool with it and breaks off, pass 2 begins meanwhile."""
    broken = flight(1, POOLED, link_end_s=0.3)
    world = flown(flight(0, POOLED), broken, flight(2, POOLED), flight(3, POOLED))
    raw = [world.nodes[node].store.list_raw_blocks() for node in ("sat", "graz")]
    assert {row.block_id for row in raw[0]} == {row.block_id for row in raw[1]}
    assert confirmed(world) == [{"sat.graz.3.block0"}] * 2


def test_a_block_that_closed_its_pool_is_rebuilt_with_the_raw_blocks_that_it_took() -> None:
    """Block 1 is under way with block 0, and block 2 is kept already, when both ends die."""
    protocol = replaced(POOLED, blocks=3)
    for tick in range(10):
        both = tuple(Fall(0.8 + 0.05 * tick, node, "after", 0, 0.0) for node in ("sat", "graz"))
        world = flown(flight(0, protocol, slots=int(0.9 * RATE_HZ), falls=both))
        assert world.history.of("failed") == []
        assert confirmed(world) == [{"sat.graz.0.block1"}] * 2
        raw = [world.nodes[node].store.list_raw_blocks() for node in ("sat", "graz")]
        states = [{row.block_id: row.state for row in rows} for rows in raw]
        assert states == [{"sat.graz.0.block0": "used", "sat.graz.0.block2": "confirmed"}] * 2
