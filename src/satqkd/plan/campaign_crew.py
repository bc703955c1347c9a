"""Who runs the tasks of a campaign: this process, processes of this machine, or a Dask cluster.

All three take functions and give futures; none knows what is run. A worker that is killed takes its pool with
it (`BrokenExecutor`): `renew` brings another, `alone` gives one for a single task.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, Final, Protocol

from satqkd.errors import LinkError, ResourceError

_REACH_S: Final = 30
"""For a scheduler to answer, and for its first worker."""
_AHEAD: Final = 2
"""Tasks for each thread of a cluster, so that none waits for the next."""


class Crew(Protocol):
    """Runs functions somewhere."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Begin a call, or put it into the queue."""
        ...

    @property
    def at_once(self) -> int:
        """As many calls as keep all workers busy."""
        ...

    def alone(self) -> "Executor":
        """Another executor with one worker, which no other task can take along."""
        ...

    def renew(self) -> None:
        """New workers in the place of those that broke."""
        ...


class InProcess(Executor):
    """Runs each call when it is submitted, in this very process."""

    at_once = 1

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """Done when it returns; what the function raises is in the future."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future

    def alone(self) -> Executor:
        """Itself: nothing breaks."""
        return self

    def renew(self) -> None:
        """Nothing to do."""


class _Pool(ProcessPoolExecutor):
    """Whose workers hear no interrupt from their first moment on: a terminal sends it to all of them."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """It is here that workers are begun, and they inherit what is held back."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(function, *arguments, **named)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class LocalPool:
    """Processes of this machine, begun anew (spawn) and ended with this one, however it ends."""

    def __init__(self, workers: int) -> None:
        self._workers, self.at_once = workers, workers + 1  # so that none waits for the next
        self._lifeline, self._held = multiprocessing.Pipe(duplex=False)
        self._pool = self._begin(workers)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """Raises BrokenExecutor where a worker was killed."""
        return self._pool.submit(function, *arguments)

    def alone(self) -> Executor:
        """A pool of one."""
        return self._begin(1)

    def renew(self) -> None:
        """A new pool."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._begin(self._workers)

    def close(self, *, cut: bool) -> None:
        """End the workers; cut: without waiting for what they are at."""
        self._pool.shutdown(wait=not cut, cancel_futures=True)
        self._held.close()
        self._lifeline.close()

    def _begin(self, workers: int) -> ProcessPoolExecutor:
        return _Pool(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_hold_on,
            initargs=(self._lifeline,),
        )


class DaskCluster:
    """Workers of a Dask scheduler. Raises LinkError where none answers, ResourceError without distributed."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise ResourceError(
                f"scheduler {address}: expected the package distributed, got none; install it "
                "(pip install 'satqkd[cluster]'), or run on this machine with --workers"
            ) from None
        try:
            client: Any = distributed.Client
            self._client = client(address, timeout=_REACH_S, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_REACH_S)
        except (OSError, ValueError) as error:  # of time-outs, too
            raise LinkError(
                f"scheduler {address}: expected one with a worker, got none in {_REACH_S} s ({error}); look "
                "at its address, and whether workers are joined to it"
            ) from None
        self._executor: Executor = self._client.get_executor()

    @property
    def at_once(self) -> int:
        """By the workers that are there now."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, _AHEAD * sum(threads.values()))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Future[Any]":
        """The scheduler itself tries a call again whose worker went away."""
        return self._executor.submit(function, *arguments)

    def alone(self) -> Executor:
        """The cluster: a scheduler counts whose worker it was that died."""
        executor: Executor = self._client.get_executor()
        return executor

    def renew(self) -> None:
        """The scheduler sees to it."""

    def close(self) -> None:
        """Leave the scheduler; what it was given is given up."""
        self._client.close()


@contextmanager
def local_crew(workers: int) -> Iterator[Crew]:
    """workers: processes; 0: none but this one."""
    if workers == 0:
        yield InProcess()
        return
    pool = LocalPool(workers)
    cut = True
    try:
        yield pool
        cut = False
    finally:
        pool.close(cut=cut)


@contextmanager
def cluster_crew(address: str) -> Iterator[Crew]:
    """The workers of a scheduler. Raises LinkError, ResourceError."""
    cluster = DaskCluster(address)
    try:
        yield cluster
    finally:
        cluster.close()


def usual_workers() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hold_on(lifeline: Connection) -> None:
    """In a worker: an interrupt is the parent's to hear, and the end of the parent is the worker's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        wait([lifeline])
        os._exit(1)

    Thread(target=watch, daemon=True).start()
