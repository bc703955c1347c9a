"""Being asked to end: SIGTERM and SIGINT set a flag that loops look at between two ticks.

So a tick under way is finished and committed first. Handlers are given back when the work is over.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """It was."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask for it."""
        self._asked.set()

    def wait(self, duration_s: float) -> bool:
        """Sleep, but not beyond being asked; whether it was."""
        return self._asked.wait(duration_s)


@contextmanager
def stopping() -> Iterator[Stop]:
    """A flag that the two signals set while the block lasts; in a thread of its own only `ask` sets it."""
    stop = Stop()

    def on_signal(*_: Any) -> None:
        stop.ask()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
