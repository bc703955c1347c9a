"""Calls into a supply, one at a time: at once where it answers out of memory, else in one thread that waits.

So the event loop never waits for a disk, and what needs none is not handed to a thread. Knows no key and
no HTTP.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from satqkd.delivery.refusals import too_soon

T = TypeVar("T")


class Lane:
    """One at a time, in the order asked.

    most_waiting: calls that may wait; more are refused (503, to be tried again).
    """

    def __init__(self, most_waiting: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="key supply")
        self._most_waiting = most_waiting
        self.waiting = 0
        """Calls handed to the thread and not yet over, even if nobody awaits them any more."""

    def is_free(self) -> bool:
        """Whether nobody is in the thread, so that a call may be made at once."""
        return self.waiting == 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do it in the thread. Raises what it raises, and Refusal where too many wait."""
        if self.waiting >= self._most_waiting:
            raise too_soon("too many requests wait for the key store; try again")
        loop = asyncio.get_running_loop()
        self.waiting += 1
        future = self._thread.submit(work)
        future.add_done_callback(lambda done: self._tell(loop, done))
        return await asyncio.wrap_future(future)

    def _tell(self, loop: asyncio.AbstractEventLoop, _: "Future[T]") -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        self.waiting -= 1

    def close(self) -> None:
        """Wait for the call under way; none begins after it."""
        self._thread.shutdown(wait=True, cancel_futures=True)
