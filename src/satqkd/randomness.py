"""Named random streams for simulation, and public expansions that both ends must share.

`stream(seed, "twin", "darks")` is an independent generator for each name, so that adding a
component never shifts the draws of another. `expand` is the SHAKE-256 expansion for choices that
may be public and fixed beforehand (code construction, permutations); its vectors stand in
`docs/protocol.md`. Neither is for secrets: those come from an injected `randbytes`.
"""

import hashlib
from collections.abc import Callable

import numpy as np

RandBytes = Callable[[int], bytes]
"""Source of fresh random bytes; `secrets.token_bytes` outside tests."""


def stream(seed: int, *names: str) -> np.random.Generator:
    """A PCG64 generator that depends on the seed and the path of names alone."""
    digest = hashlib.sha256("/".join(("satqkd", str(seed), *names)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def stream_bytes(seed: int, *names: str) -> RandBytes:
    """A repeatable `randbytes` for simulated coin tosses; what it gives is not secret."""
    return stream(seed, *names).bytes


def key_words(seed: int, *names: str) -> tuple[int, int]:
    """Two 32-bit words that key a counter-based generator (Philox4x32) of this name."""
    digest = hashlib.sha256("/".join(("satqkd", str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[0:4], "little"), int.from_bytes(digest[4:8], "little")


def expand(label: str, n_bytes: int) -> bytes:
    """SHAKE-256 of the UTF-8 label, `n_bytes` long: public, the same at both ends."""
    return hashlib.shake_256(label.encode()).digest(n_bytes)
