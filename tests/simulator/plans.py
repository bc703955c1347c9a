"""Plans by hand: contacts without a fault, but for what a test asks."""

from typing import Any

from satqkd.config import Protocol
from satqkd.keys import Journal
from simulator.dice import RATE_HZ, Fall, Flight, Plan, calm
from simulator.world import World

PROTOCOL = Protocol(
    frame_bits=8192, blocks=1, polarisation_sample=64, epsilon_correctness=1e-9, keyed_bases=("Z",)
)
POOLED = Protocol(
    frame_bits=8192,
    blocks=1,
    polarisation_sample=64,
    epsilon_correctness=1e-9,
    pooling="pooled",
    pool_sifted_bits=1000,
)
"""Of blocks foretold to hold 500 bits: the second closes the pool."""
LIGHT_S = 0.5


def flight(number: int, protocol: Protocol = PROTOCOL, **changes: Any) -> Flight:
    """A contact without a fault, but for the changes."""
    plain = calm(number, "graz", protocol, "pool" if protocol.pooling == "pooled" else "")
    mine = {"slots": int(LIGHT_S * RATE_HZ), "link_end_s": 8.0, "users_spend_bits": 0}
    return plain._replace(**mine | changes)


def flown(*flights: Flight) -> World:
    """The world after these contacts."""
    return World(Plan(1, flights)).run()


def dead_throughout(end: str) -> tuple[Fall, ...]:
    """One end is dead for the whole contact, and begins nothing."""
    return tuple(Fall(-0.3 + 0.01 * n, end, "before", 0, 99.0) for n in range(4))


def passes(world: World) -> list[dict[str, str]]:
    """State of each pass in the journals of satellite and station."""
    states = []
    for node, peer in (("sat", "graz"), ("graz", "sat")):
        journal = Journal(world.nodes[node].store, peer)
        rows = [journal.find(f"sat.graz.{each.number}") for each in world.plan.flights]
        states.append({row.pass_id: row.state for row in rows if row is not None})
    return states


def confirmed(world: World) -> list[set[str]]:
    """Confirmed link key in the stores of satellite and station."""
    return [
        {
            row.block_id
            for row in world.nodes[node].store.list_blocks()
            if row.kind == "link" and row.state == "confirmed"
        }
        for node in ("sat", "graz")
    ]
