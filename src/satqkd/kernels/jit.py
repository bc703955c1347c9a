"""One decorator for every kernel: compiled without the interpreter lock, cached where that is possible.

A package in a folder that cannot be written, with no home to fall back on, must still import: there
numba refuses to cache when it decorates, and the kernel is compiled afresh in each process. Divisions follow
numpy: no kernel divides by zero, and none pays for asking.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def njit(function: F) -> F:
    """Compile on first call, `nogil`, cached on disk unless no folder can hold the cache."""
    try:
        return cast(F, numba.njit(function, nogil=True, cache=True, error_model="numpy"))
    except RuntimeError:
        return cast(F, numba.njit(function, nogil=True, error_model="numpy"))
