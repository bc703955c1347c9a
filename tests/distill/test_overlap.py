"""Blocks that overlap at the sessions: what waits for what, and that a block given up holds nobody up."""

from typing import Any

import numpy as np
import pytest
from test_session import checked

import wiretap
from session_pair import UP, Pair, Table, parameters

MODES: dict[str, dict[str, Any]] = {
    "deferred": {},
    "streamed": {"announcement": "streamed", "bound": "variable-martingale"},
}


def overlapping(spoiled: int, *, how: str, **choices: Any) -> Pair:
    """Four blocks that all end before the first is reconciled; one of them is noise, or empty."""
    agreed = parameters(slots=800_000, blocks=4, **choices)
    table = Table(agreed)
    first, end = agreed.first_slot(spoiled), agreed.first_slot(spoiled + 1)
    inside = (table.slots >= first) & (table.slots < end)
    if how == "empty":
        table.keep(~inside)
    else:
        table.bits[inside] ^= (np.arange(table.slots.size)[inside] % 2).astype(np.uint8)
    pair = Pair(agreed, table)
    pair.greet()
    for block in range(4):
        pair.announce(block)
    for block in range(4):
        pair.station.end_block(block, pair.end_s(3))
    pair.exchange(pair.end_s(3))
    return pair


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("spoiled", "how"), [(0, "noise"), (1, "empty"), (3, "empty")])
def test_a_block_given_up_does_not_hold_up_those_after_it(mode: str, spoiled: int, how: str) -> None:
    pair = checked(overlapping(spoiled, how=how, **MODES[mode]))
    outcomes = [report.outcome for report in sorted(pair.reports(UP), key=lambda each: each.block)]
    given_up = "aborted" if how == "noise" else "no_key"
    assert outcomes == [given_up if block == spoiled else "key" for block in range(4)]
    said = wiretap.from_messages(pair.said)
    place = {(each.kind, each.block): i for i, each in enumerate(said) if each.kind not in wiretap.TALK}
    answered = [place["Crossed", block] for block in range(4)]
    assert max(answered) < place["Errors", spoiled]  # power: all were sifted before it was given up
    for block in range(1, 4):
        chosen = place["Abandon" if block == spoiled else "ChooseCodes", block]
        assert chosen > place["Errors" if block - 1 == spoiled else "Confirm", block - 1]
