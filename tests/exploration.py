"""Every state that a small protocol can reach, and what must hold in each.

    explored = explore(start, moves, check, maximum_states=100_000)

A state is any hashable value; `moves(state)` gives (label, next state) pairs, deterministic and complete:
every message that may arrive, every loss, every crash is a move. `check(state)` raises AssertionError where
something is wrong; the error then tells the shortest way there, label by label. When a search ends by itself
it was exhaustive: there is no state that it has not checked.

A network that loses, duplicates, delays and reorders needs no moves of its own: keep the set of all that
was ever said, and let any of it arrive at any time, any number of times, or never. `said` gives that set
out of a state, and the rest. A state in which less was said than in another with the same rest can do
nothing that the other cannot, and is left out; so checks must not fail for less having been said.

`Steps` runs real code where states are too many for it: a node is a pure function of its own state and
input, so each pair of them is run once, however many states of the whole they occur in.
"""

import heapq
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Node = TypeVar("Node", bound=Hashable)
Input = TypeVar("Input", bound=Hashable)
Result = TypeVar("Result")


class ViolationError(AssertionError):
    """A check failed in a state; the message tells the way to it."""


class Explored(Generic[State]):
    """What a search has seen."""

    def __init__(self) -> None:
        self.came_from: dict[State, tuple[State | None, object]] = {}
        self.moves = 0
        self.left_out = 0
        """States in which no more was said than in one that was seen."""
        self._most_said: dict[Hashable, list[frozenset[Any]]] = {}

    @property
    def states(self) -> int:
        return len(self.came_from)

    def way_to(self, state: State) -> list[object]:
        """Labels of the moves from the start, first to last."""
        labels: list[object] = []
        before, label = self.came_from[state]
        while before is not None:
            labels.append(label)
            before, label = self.came_from[before]
        return labels[::-1]

    def is_less(self, rest: Hashable, said: frozenset[Any]) -> bool:
        """Whether as much was said in a state seen before with the same rest; else this one counts."""
        known = self._most_said.setdefault(rest, [])
        if any(said <= other for other in known):
            return True
        known[:] = [other for other in known if not other <= said] + [said]
        return False


def nothing_said(state: Hashable) -> tuple[Hashable, frozenset[Any]]:
    """Of a state without a network: all of it is the rest."""
    return state, frozenset()


def explore(
    start: State,
    moves: Callable[[State], Iterable[tuple[object, State]]],
    check: Callable[[State], None],
    *,
    maximum_states: int,
    said: Callable[[State], tuple[Hashable, frozenset[Any]]] = nothing_said,
) -> Explored[State]:
    """Visit every state, those in which most was said first; without a network, breadth first.

    Raises ViolationError, and AssertionError past `maximum_states`.
    """
    seen: Explored[State] = Explored()
    seen.came_from[start] = None, None
    seen.is_less(*said(start))
    waiting = [(0, 0, start)]
    while waiting:
        state = heapq.heappop(waiting)[2]
        try:
            check(state)
            following = list(moves(state))
        except AssertionError as error:
            way = "\n".join(f"  {label}" for label in seen.way_to(state))
            raise ViolationError(f"{error}\nafter\n{way}") from error
        for label, after in following:
            seen.moves += 1
            if after in seen.came_from:
                continue
            rest, words = said(after)
            if seen.is_less(rest, words):
                seen.left_out += 1
                continue
            seen.came_from[after] = state, label
            heapq.heappush(waiting, (-len(words), seen.states, after))
        assert seen.states <= maximum_states, (
            f"more than {maximum_states} states: the search is not exhaustive"
        )
    return seen


class Steps(Generic[Node, Input, Result]):
    """What a node does in a state with an input: run once, remembered."""

    def __init__(self, run: Callable[[Node, Input], Result]) -> None:
        self._run = run
        self._known: dict[tuple[Node, Input], Result] = {}

    def __call__(self, node: Node, given: Input) -> Result:
        key = node, given
        if key not in self._known:
            self._known[key] = self._run(node, given)
        return self._known[key]

    @property
    def runs(self) -> int:
        """How often the real code ran."""
        return len(self._known)
