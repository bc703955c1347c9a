"""From the close of a block to its confirmation, in every order that losses, repetitions and kills allow.

In every state: nobody holds a block as confirmed whose key the other does not hold; the satellite, which
alone decides what is spent, holds none as confirmed that the station does not. And from every state, once the
network is calm, both ends hold all blocks as confirmed.
"""

import pytest
from confirm_states import SAT, Ends, Whole

from exploration import Explored, ViolationError, explore
from satqkd.distill.messages import Confirm
from satqkd.distill.outcome import SecretConfirmed
from satqkd.distill.satellite_block import SatelliteBlock
from simulator.plans import PROTOCOL
from simulator.world import cheap_bound
from toy_pass import replaced


class Checker:
    """What must hold."""

    def __init__(self, ends: Ends, blocks: int) -> None:
        self._ends, self._blocks = ends, blocks
        self._well: set[tuple[int, int]] = set()
        self.half = 0
        """States in which one end alone may use a block."""

    def __call__(self, whole: Whole) -> None:
        above, below = (self._ends.states[number] for number in whole[:2])
        assert "failed" not in (above.conversation, below.conversation), "a pass failed"
        for block_id in above.keys | below.keys:
            states = [end.keys.get(block_id, ("none", b"")) for end in (above, below)]
            self.half += [state for state, _ in states].count("confirmed") == 1
            if states[0][0] == "confirmed":
                assert states[1][0] == "confirmed", f"{block_id}: {SAT} may spend what the station may not"
            if "confirmed" in (states[0][0], states[1][0]):
                assert states[0][1] == states[1][1] != b"", f"{block_id}: the keys differ"
        if whole[:2] not in self._well:
            end = self._ends.calm(whole, self._is_done)
            assert self._is_done(end), "not all is confirmed in the end"
            self._well.add(whole[:2])

    def _is_done(self, whole: Whole) -> bool:
        nodes = [self._ends.states[number] for number in whole[:2]]
        return all(
            len(node.keys) == self._blocks and {state for state, _ in node.keys.values()} == {"confirmed"}
            for node in nodes
        )


def run(blocks: int, limit: int) -> tuple[Explored[Whole], Checker]:
    with cheap_bound():
        ends = Ends(replaced(PROTOCOL, blocks=blocks), "Close")
        checker = Checker(ends, blocks)
        explored = explore(
            ends.start,
            ends.moves,
            checker,
            maximum_states=limit,
            said=lambda whole: (whole[:2], whole[2]),
        )
    print(f"{explored.states} states, {explored.moves} moves, {ends.steps.runs} steps of real code")
    return explored, checker


def test_one_block() -> None:
    explored, checker = run(1, 2000)
    assert explored.states >= 20
    assert checker.half > 0, "the moment in which one end knows and the other does not was never looked at"


def test_a_satellite_that_confirms_before_the_last_word_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It believes the station's tag, and does not wait until the station holds the block as confirmed."""
    true = SatelliteBlock._on_confirm

    def on_confirm(self: SatelliteBlock, message: Confirm) -> object:
        state = true(self, message)
        self.events.append(SecretConfirmed(self.index))
        return state

    monkeypatch.setattr(SatelliteBlock, "HANDLERS", SatelliteBlock.HANDLERS | {Confirm: on_confirm})
    with pytest.raises(ViolationError, match="may spend what the station may not"):
        run(1, 2000)


@pytest.mark.soak
def test_two_blocks_side_by_side() -> None:
    explored, checker = run(2, 50_000)
    assert explored.states > 100
    assert checker.half > 0
