"""Freed memory goes back to the system, so that a node is as small between blocks as before the first.

The C library raises the size from which it maps memory by itself to the largest that was freed, 32 MiB at
most, and then takes a block's columns from a heap that later, smaller things keep from shrinking. A fixed
size keeps it from learning that, and what the heap holds free is given back from time to time. Only the GNU C
library offers this; elsewhere nothing is done.
"""

import ctypes
from functools import cache
from typing import Any, Final

_M_MMAP_THRESHOLD: Final = -3
LARGE_BYTES: Final = 1 << 20
"""From here on memory is mapped, and given back when it is freed."""


def map_large_memory() -> bool:
    """From now on; whether the C library could be told so."""
    library = _library()
    return library is not None and library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1


def give_back_free_memory() -> bool:
    """What the heap does not use; whether there was any. Takes a millisecond or less."""
    library = _library()
    return library is not None and library.malloc_trim(0) == 1


@cache
def _library() -> Any:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
