"""Seeds that anybody can replay: forty on every run of the tests, an hour of them by `make soak`."""

import os

import pytest

from simulator.dice import plan_of
from simulator.runner import new_total, run_on_all_cores, run_seed

QUICK = 40
REACHED = (
    "block key",
    "block no_key",
    "block key, pooled",
    "heard Cut",
    "heard Abandon",
    "satellite taken up again",
    "station taken up again",
    "satellite goes on with an earlier pass",
    "block after a contact: unconfirmed above, confirmed below",
    "message delivered",
    "message refused",
)
"""What forty seeds must have seen at least once, or they test nothing."""


@pytest.mark.parametrize("part", range(4))
def test_forty_seeds(part: int) -> None:
    total = new_total()
    for seed in range(part, QUICK, 4):
        run_seed(seed, total)
    assert not total.failed, "\n".join(total.failed)
    assert total.faults["node killed"] > 5 and total.faults["datagram lost"] > 20


def test_a_seed_is_one_run_on_any_machine() -> None:
    """The plan, and all that the nodes say and hear, byte for byte."""
    from simulator.world import World

    first, second = (World(plan_of(11)).run().history.events for _ in range(2))
    assert first == second


@pytest.mark.soak
def test_an_hour_of_seeds() -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    total, report = run_on_all_cores(seconds, first=1000)
    print(report)
    assert not total.failed, "\n".join(total.failed)
    if seconds >= 600:
        assert [name for name in REACHED if not total.reached[name]] == []
