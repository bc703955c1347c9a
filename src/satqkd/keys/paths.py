"""Who knew a key on its way: the algebra of paths.

Paths say which sets of nodes, the two ends aside, learn a key: those that have a node of every path. No path
at all says that nobody but the ends does. With one share a path, each known to all nodes of its path, and
the key their exclusive or, that is plain; it stays exact under both things that are done with key:

    exclusive or of two keys     known where both are       `both`: paths of the one and paths of the other
    one key carried by another   known where either is      `either`: each path of the one joined to each of
                                                            the other
    relay of a and b by M        a known, b known, or M     `relayed`: either of a, b and [[M]]

One set of nodes has one normal form: names in order, no path that holds another, shorter paths first. Where
it would be longer than `MAXIMUM_PATHS`, the last are left out: fewer paths promise less, never more. No store
here.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from satqkd.errors import DataFormatError, KeyStoreError
from satqkd.keys.model import Paths

MAXIMUM_PATHS: Final = 32
"""Of one key. Two keys of four paths each, relayed, come to sixteen."""
MAXIMUM_NODES: Final = 64
"""Of one path."""

_Node = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
WirePath = Annotated[tuple[_Node, ...], Meta(min_length=1, max_length=MAXIMUM_NODES)]
WirePaths = Annotated[tuple[WirePath, ...], Meta(max_length=MAXIMUM_PATHS)]
"""Paths as a record from outside may name them."""


def normal(paths: Iterable[Iterable[str]], *, ends: Collection[str] = ()) -> Paths:
    """The one way to write some paths, without the names of the ends, who know the key anyway.

    A share that nobody else knows leaves the whole unknown: no paths. Raises KeyStoreError (a path too long).
    """
    sets = {frozenset(path) - frozenset(ends) for path in paths}
    if frozenset() in sets:
        return ()
    least = [path for path in sets if not any(other < path for other in sets)]
    if any(len(path) > MAXIMUM_NODES for path in least):
        raise KeyStoreError(f"paths: expected at most {MAXIMUM_NODES} nodes on one; relay over fewer")
    ordered = sorted((tuple(sorted(path)) for path in least), key=lambda path: (len(path), path))
    return tuple(ordered[:MAXIMUM_PATHS])


def both(many: Iterable[Paths], *, ends: Collection[str] = ()) -> Paths:
    """Of the exclusive or of several keys: whoever knows it knows all of them."""
    return normal([path for paths in many for path in _shares(paths)], ends=ends)


def either(many: Iterable[Paths], *, ends: Collection[str] = ()) -> Paths:
    """Of key of which each of several keys gives a part or all: whoever knows one of them knows some."""
    joined: Paths = ()
    for paths in many:
        joined = normal([{*one, *two} for one in _shares(joined) for two in _shares(paths)])
    return normal(_shares(joined), ends=ends)


def relayed(a: Paths, b: Paths, node: str, *, ends: Collection[str]) -> Paths:
    """Of the end-to-end key that a node makes of key a of its own with one end and b with the other."""
    return either((a, b, ((node,),)), ends=ends)


def known_to(paths: Paths, nodes: Collection[str]) -> bool:
    """Whether these nodes together, none of them an end, know the key."""
    return bool(paths) and all(not set(nodes).isdisjoint(path) for path in paths)


def colluders(paths: Paths) -> int | None:
    """How many nodes must at least join what they know to know the key; None: no number is enough."""
    if not paths:
        return None
    nodes = {node for path in paths for node in path}
    return next(count for count in range(1, len(nodes) + 1) if _can_know(paths, count))


def withstands(paths: Paths, fewest: int) -> bool:
    """Whether fewer than `fewest` nodes never know the key."""
    return not paths or not _can_know(paths, fewest - 1)


def to_text(paths: Paths) -> str:
    """As the store keeps them: JSON."""
    return msgspec.json.encode(paths).decode()


def from_text(text: str) -> Paths:
    """What `to_text` wrote. Raises DataFormatError."""
    try:
        return msgspec.json.decode(text, type=Paths)
    except msgspec.MsgspecError as error:
        raise DataFormatError(
            f"paths of a block: expected JSON lists of names, got {text!r}: {error}"
        ) from None


def _shares(paths: Paths) -> Paths:
    """What nobody on the way knows is one share whose path is empty."""
    return paths or ((),)


def _can_know(paths: Paths, count: int) -> bool:
    """Whether some `count` nodes meet every path: one node of the first path must be among them."""
    if not paths:
        return True
    return count > 0 and any(
        _can_know(tuple(path for path in paths if node not in path), count - 1) for node in paths[0]
    )
