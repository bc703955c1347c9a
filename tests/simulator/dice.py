"""What happens in a run, all of it drawn from one seed before anything runs.

A plan is data: a failing one can be looked at, and flown again. Knows no node and no store.
"""

from typing import NamedTuple

import numpy as np

from satqkd.config import Impairments, Protocol
from satqkd.config.lasercom import Outage
from satqkd.randomness import stream

RATE_HZ = 12e3
"""Of the source: few slots, and a tick of pass time holds 600."""
LINK_BEFORE_S = 0.3
STATIONS = ("graz", "jinan")


class Fall(NamedTuple):
    """A node dies in a contact."""

    at_s: float
    node: str
    when: str
    """before or after a commit"""
    changes: int
    """So many durable changes after `at_s`."""
    down_s: float


class Step(NamedTuple):
    """The clock that a node goes by jumps, and stays so."""

    at_s: float
    node: str
    by_s: float


class Flight(NamedTuple):
    """One contact with one station."""

    number: int
    station: str
    protocol: Protocol
    pool: str
    slots: int
    link_end_s: float
    frame_loss: float
    impairments: Impairments
    falls: tuple[Fall, ...]
    steps: tuple[Step, ...]
    qber: float
    horizon_slots: int | None
    users_spend_bits: int
    """What users take of the link's key when the contact is over."""


class Plan(NamedTuple):
    """All contacts of a run, the last ones without a fault."""

    seed: int
    flights: tuple[Flight, ...]


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    rng = stream(seed, "simulator")
    stations = STATIONS[: 1 + int(rng.random() < 0.3)]
    protocol, pool = _protocol(rng)
    contacts = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    flights = [_flight(rng, number, str(rng.choice(stations)), protocol, pool) for number in range(contacts)]
    flown = [name for name in stations if any(flight.station == name for flight in flights)]
    flights += [calm(contacts + place, name, protocol, pool) for place, name in enumerate(flown)]
    return Plan(seed, tuple(flights))


def _protocol(rng: np.random.Generator) -> tuple[Protocol, str]:
    way = str(rng.choice(["deferred", "streamed", "pooled"], p=[0.6, 0.15, 0.25]))
    settings = {
        "frame_bits": 8192,
        "blocks": int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])),
        "keyed_bases": ("Z", "X") if rng.random() < 0.5 else ("Z",),
        "keyed_classes": ("signal",) if rng.random() < 0.8 else ("signal", "decoy"),
        "further_rounds": int(rng.choice([0, 5])),
        "polarisation_sample": 64,
        "epsilon_correctness": 1e-9,
    }
    if way == "streamed":
        settings |= {"announcement": "streamed", "bound": "variable-martingale"}
    if way == "pooled":
        settings |= {"pooling": "pooled", "pool_sifted_bits": int(rng.choice([1000, 1500, 2500]))}
    return Protocol(**settings), "pool" if way == "pooled" else ""  # type: ignore[arg-type]


def _flight(rng: np.random.Generator, number: int, station: str, protocol: Protocol, pool: str) -> Flight:
    slots = int(rng.integers(1500, 9000)) * protocol.blocks
    light_s = slots / RATE_HZ
    # Cut off in the light, just behind it, in the midst of the last block's dialogue, or not at all.
    over_s = light_s + float(rng.choice([-0.3 * light_s, 0.2, 0.5, 0.8, 1.2, 2.5]))
    worst = float(rng.choice([0.0, 0.05, 0.3]))
    return Flight(
        number=number,
        station=station,
        protocol=protocol,
        pool=pool,
        slots=slots,
        link_end_s=over_s,
        frame_loss=float(worst * rng.random()),
        impairments=_impairments(rng, over_s, worst),
        falls=_falls(rng, station, over_s),
        steps=_steps(rng, station, over_s),
        qber=float(rng.choice([0.0, 0.01, 0.02, 0.15], p=[0.3, 0.4, 0.2, 0.1])),
        horizon_slots=None if pool or rng.random() < 0.7 else int(RATE_HZ * rng.choice([0.2, 0.5])),
        users_spend_bits=int(rng.choice([0, 64, 128])),
    )


def calm(number: int, station: str, protocol: Protocol, pool: str) -> Flight:
    """A contact in which nothing goes wrong."""
    return Flight(
        number=number,
        station=station,
        protocol=protocol,
        pool=pool,
        slots=6000 * protocol.blocks,
        link_end_s=6000 * protocol.blocks / RATE_HZ + 4.0,
        frame_loss=0.0,
        impairments=Impairments(),
        falls=(),
        steps=(),
        qber=0.005,
        horizon_slots=None,
        users_spend_bits=64,
    )


def _impairments(rng: np.random.Generator, end_s: float, worst: float) -> Impairments:
    outages = tuple(
        Outage(from_s=at_s, to_s=at_s + float(rng.choice([0.1, 0.4, 1.0])))
        for at_s in np.sort(rng.uniform(-LINK_BEFORE_S, end_s, int(rng.choice([0, 0, 1, 2])))).tolist()
    )
    return Impairments(
        burst_loss=float(worst * rng.random() * (rng.random() < 0.3)),
        burst_s=0.05,
        duplicated=float(worst * (rng.random() < 0.5)),
        reordered=float(worst * (rng.random() < 0.5)),
        delay_spread_s=float(rng.choice([0.05, 0.3])),
        corrupted=float(worst * (rng.random() < 0.5)),
        outages=outages,
    )


def _falls(rng: np.random.Generator, station: str, end_s: float) -> tuple[Fall, ...]:
    falls: list[Fall] = []
    for _ in range(int(rng.choice([0, 0, 1, 1, 2, 5]))):
        at_s, both = float(rng.uniform(-LINK_BEFORE_S, end_s)), rng.random() < 0.15
        for node in ("sat", station) if both else (str(rng.choice(["sat", station])),):
            when, changes = str(rng.choice(["before", "after"])), int(rng.choice([0, 0, 1, 2]))
            falls.append(Fall(at_s, node, when, changes, float(rng.choice([0.0, 0.1, 0.5]))))
    return tuple(sorted(falls))


def _steps(rng: np.random.Generator, station: str, end_s: float) -> tuple[Step, ...]:
    if rng.random() < 0.85:
        return ()
    node, by_s = str(rng.choice(["sat", station])), float(rng.choice([-0.3, -0.02, 0.02, 0.3]))
    return (Step(float(rng.uniform(-LINK_BEFORE_S, end_s)), node, by_s),)
