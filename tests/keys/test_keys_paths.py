"""The algebra of paths against linear algebra: what a set of nodes can compute is what it says."""

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.errors import KeyStoreError
from satqkd.keys.model import Paths
from satqkd.keys.paths import (
    MAXIMUM_NODES,
    MAXIMUM_PATHS,
    both,
    colluders,
    either,
    from_text,
    known_to,
    normal,
    relayed,
    to_text,
    withstands,
)

NODES = ("a", "b", "m", "s", "t")


def subsets(nodes: tuple[str, ...]) -> list[frozenset[str]]:
    sizes = range(len(nodes) + 1)
    return [frozenset(each) for each in chain.from_iterable(combinations(nodes, n) for n in sizes)]


def every_paths(nodes: tuple[str, ...]) -> list[Paths]:
    """Every set of paths over some nodes, in normal form."""
    some = [path for path in subsets(nodes) if path]
    return sorted({normal(each) for n in range(len(some) + 1) for each in combinations(some, n)})


class World:
    """Nodes that share bits, relay and combine them; a bit is a set of unknowns, their exclusive or."""

    def __init__(self) -> None:
        self.fresh = 0
        self.held: list[tuple[str, int]] = []
        self.said: list[int] = []
        self.pairs: list[tuple[frozenset[str], int, Paths]] = []

    def link(self, one: str, two: str) -> None:
        bit = 1 << self.fresh
        self.fresh += 1
        self.held += [(one, bit), (two, bit)]
        self.pairs.append((frozenset((one, two)), bit, ()))

    def relay(self, first: int, second: int) -> None:
        (ends_a, a, paths_a), (ends_b, b, paths_b) = self.pairs[first], self.pairs[second]
        (node,) = ends_a & ends_b
        ends = ends_a ^ ends_b
        self.said.append(a ^ b)
        self.held += [(end, a) for end in ends]
        self._replace((first, second), (ends, a, relayed(paths_a, paths_b, node, ends=ends)))

    def combine(self, first: int, second: int) -> None:
        (ends, a, paths_a), (_, b, paths_b) = self.pairs[first], self.pairs[second]
        self.held += [(end, a ^ b) for end in ends]
        self._replace((first, second), (ends, a ^ b, both((paths_a, paths_b), ends=ends)))

    def _replace(self, used: tuple[int, int], made: tuple[frozenset[str], int, Paths]) -> None:
        self.pairs = [pair for index, pair in enumerate(self.pairs) if index not in used] + [made]

    def steps(self) -> list[tuple[str, int, int]]:
        """What can be done next: two keys that meet in one node, or have both ends in common."""
        found = []
        for first, second in combinations(range(len(self.pairs)), 2):
            shared = len(self.pairs[first][0] & self.pairs[second][0])
            found += [(("", "relay", "combine")[shared], first, second)] if shared else []
        return found

    def can_compute(self, nodes: frozenset[str], bit: int) -> bool:
        """Whether a bit is an exclusive or of what was said and what these nodes held."""
        basis: list[int] = []
        for known in [*self.said, *(held for node, held in self.held if node in nodes)]:
            left = reduced(known, basis)
            if left:
                basis = sorted([*basis, left], reverse=True)
        return reduced(bit, basis) == 0


def reduced(bit: int, basis: list[int]) -> int:
    for each in basis:
        bit = min(bit, bit ^ each)
    return bit


def paths_hold(world: World) -> None:
    for ends, bit, paths in world.pairs:
        for nodes in subsets(tuple(node for node in NODES if node not in ends)):
            assert world.can_compute(nodes, bit) == known_to(paths, nodes), (ends, paths, nodes)


@given(st.data())
def test_just_those_sets_of_nodes_know_a_key_that_its_paths_say(data: st.DataObject) -> None:
    world = World()
    pairs = st.lists(st.sampled_from(NODES), min_size=2, max_size=2, unique=True)
    for one, two in data.draw(st.lists(pairs, min_size=2, max_size=9)):
        world.link(one, two)
    while world.steps() and data.draw(st.integers(0, 9)):
        kind, first, second = data.draw(st.sampled_from(world.steps()))
        getattr(world, kind)(first, second)
        paths_hold(world)


def test_two_satellites_and_a_relay_behind_them() -> None:
    """a and m share key by s and by t; m relays it to b over a fibre."""
    world = World()
    for one, two in (("s", "a"), ("s", "m"), ("t", "a"), ("t", "m"), ("m", "b")):
        world.link(one, two)
    world.relay(0, 1)
    world.relay(0, 1)
    world.combine(1, 2)
    assert world.pairs[-1][2] == (("s",), ("t",))
    world.relay(0, 1)
    ((ends, _, paths),) = world.pairs
    assert (ends, paths) == (frozenset("ab"), (("m", "s"), ("m", "t")))
    assert (colluders(paths), known_to(paths, {"s"}), known_to(paths, {"s", "t"})) == (1, False, True)
    paths_hold(world)


def test_both_and_either_are_and_and_or_of_what_is_known() -> None:
    """Every two sets of paths over three nodes, every set of nodes."""
    every = every_paths(("m", "s", "t"))
    assert len(every) == 19
    for one in every:
        for two in every:
            for nodes in subsets(("m", "s", "t")):
                known = known_to(one, nodes), known_to(two, nodes)
                assert known_to(both((one, two)), nodes) == all(known)
                assert known_to(either((one, two)), nodes) == any(known)
                over = relayed(one, two, "m", ends=("a", "b"))
                assert known_to(over, nodes) == (any(known) or "m" in nodes)


def test_one_meaning_has_one_form() -> None:
    every = every_paths(("m", "s", "t"))
    meanings = {tuple(known_to(paths, nodes) for nodes in subsets(("m", "s", "t"))) for paths in every}
    assert len(meanings) == len(every)
    assert normal([["t", "s"], ["s"], ["t", "m"], ["m", "t"]]) == (("s",), ("m", "t"))
    assert normal([["a", "s"], ["t"]], ends=("a", "b")) == (("s",), ("t",))
    assert normal([["a"], ["t"]], ends=("a", "b")) == normal([[], ["t"]]) == normal([]) == ()


@given(st.lists(st.sets(st.sampled_from("mnstuv"), min_size=1), max_size=5))
def test_how_many_must_collude(sets: list[set[str]]) -> None:
    paths = normal(sets)
    knowing = [len(nodes) for nodes in subsets(tuple("mnstuv")) if known_to(paths, nodes)]
    assert colluders(paths) == (min(knowing) if paths else None)
    for fewest in range(1, 8):
        assert withstands(paths, fewest) == (not knowing or min(knowing) >= fewest)


def test_what_is_too_much_promises_less_or_is_refused() -> None:
    """Twelve shares on one side and twelve on the other would be 144 paths."""
    one = normal([[f"s{i:02}"] for i in range(12)])
    two = normal([[f"t{i:02}"] for i in range(12)])
    kept = either((one, two))
    assert len(kept) == MAXIMUM_PATHS
    assert set(kept) <= {(s, t) for (s,) in one for (t,) in two}
    with pytest.raises(KeyStoreError, match="64"):
        normal([[f"n{i}" for i in range(MAXIMUM_NODES + 1)]])
    assert from_text(to_text(kept)) == kept
