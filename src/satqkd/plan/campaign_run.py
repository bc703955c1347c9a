"""A campaign run: what is missing is computed, what fails is kept beside, the rest goes on.

Workers get the network itself, so that they need no file of the scenario; answers are written here, each as
it comes. Reads the clock for nothing but how long a run took.
"""

import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import ExitStack
from typing import Final

import msgspec

from satqkd.errors import LinkError
from satqkd.plan.campaign import Grid, Point
from satqkd.plan.campaign_crew import Crew
from satqkd.plan.campaign_folder import CampaignFolder, Done, Failed
from satqkd.plan.campaign_tasks import TASKS, Settings, Task
from satqkd.plan.network import Network, network_of
from satqkd.results import to_json

KILLED: Final = (
    "the worker's process ended before the run did: killed, out of memory, or without a module of the task"
)


class Ended(msgspec.Struct, frozen=True):
    """How a run ended, as it comes back from a worker."""

    data: bytes | None
    """Of `done/ID.json`; None: it failed."""
    took_s: float
    error: str = ""
    traceback: str = ""


class State(msgspec.Struct, frozen=True):
    """How far a campaign is, in runs."""

    runs: int
    done: int
    failed: int
    ran: int
    """Of these, ended in this very run of the campaign, done or failed."""

    @property
    def missing(self) -> int:
        """Neither done nor failed."""
        return self.runs - self.done - self.failed


Progress = Callable[[State], None]


def state_of(grid: Grid, folder: CampaignFolder, ran: int = 0) -> State:
    """What is in the folder of a campaign's runs."""
    runs = grid.runs
    return State(len(runs), len(folder.done(runs)), len(folder.failed(runs)), ran)


def run_campaign(
    grid: Grid,
    folder: CampaignFolder,
    crew: Crew,
    *,
    retry: bool = False,
    progress: Progress | None = None,
) -> State:
    """Run what is neither done nor, without `retry`, failed; `progress` is told of each end.

    Raises LinkError when the crew goes away, with all that is done kept; what the folder raises when it
    cannot be written.
    """
    return _Run(grid, folder, crew, progress or (lambda state: None)).all(retry=retry)


def perform(task: Task, network: Network, inputs: tuple[str, str, int], settings: Settings) -> Ended:
    """One run, on a worker; whatever it raises is in the answer. inputs: id, task's name, seed."""
    name, kind, seed = inputs
    began_s = time.perf_counter()
    try:
        answer = task.function(network, seed, settings)
        data = to_json(Done(id=name, task=kind, seed=seed, row=answer.row, parts=answer.parts))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Ended(None, time.perf_counter() - began_s, text, traceback.format_exc())
    return Ended(data, time.perf_counter() - began_s)


class _Run:
    """The runs that are due, some of them under way."""

    def __init__(self, grid: Grid, folder: CampaignFolder, crew: Crew, progress: Progress) -> None:
        self._grid, self._folder, self._crew, self._progress = grid, folder, crew, progress
        self._failed_before = folder.failed(grid.runs)
        self._state = state_of(grid, folder)
        self._under_way: dict[Future[Ended], Point] = {}
        self._suspects: list[Point] = []

    def all(self, *, retry: bool) -> State:
        """Run what is due."""
        skipped = self._folder.done(self._grid.runs).keys() | (set() if retry else self._failed_before)
        runs = (point for name, point in self._grid.runs.items() if name not in skipped)
        due = deque(sorted(runs, key=lambda point: point.family))
        while due or self._under_way:
            while due and len(self._under_way) < self._crew.at_once and not self._suspects:
                self._begin(due.popleft())
            self._settle()
        return self._state

    def _begin(self, point: Point) -> None:
        try:
            self._under_way[self._submitted(self._crew.submit, point)] = point
        except BrokenExecutor:
            self._suspects.append(point)

    def _submitted(self, submit: Callable[..., "Future[Ended]"], point: Point) -> "Future[Ended]":
        campaign = self._grid.campaign
        network = network_of(point.scenario, self._grid.folder)
        inputs = (point.id, campaign.task, point.seed)
        return submit(perform, TASKS[campaign.task], network, inputs, point.settings)

    def _settle(self) -> None:
        """Take what has ended; when a worker was killed, find out which run it was."""
        ended, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in ended:
            point = self._under_way.pop(future)
            try:
                self._keep(point, self._result(future))
            except BrokenExecutor:
                self._suspects.append(point)
        if self._suspects and not self._under_way:
            self._crew.renew()
        while self._suspects and not self._under_way:
            some, self._suspects = self._suspects[: self._crew.at_once], self._suspects[self._crew.at_once :]
            self._try_alone(some)

    def _try_alone(self, points: list[Point]) -> None:
        """Each on a worker of its own."""
        with ExitStack() as stack:
            alone = [(point, stack.enter_context(self._crew.alone())) for point in points]
            begun = [(point, self._submitted(executor.submit, point)) for point, executor in alone]
            for point, future in begun:
                try:
                    self._keep(point, self._result(future))
                except BrokenExecutor:
                    self._keep(point, Ended(None, 0.0, KILLED))

    def _result(self, future: "Future[Ended]") -> Ended:
        """Raises BrokenExecutor, and LinkError when the scheduler is gone."""
        try:
            return future.result()
        except BrokenExecutor:
            raise
        except CancelledError:
            raise LinkError(
                "the cluster's scheduler went away; what is done is kept: run again to go on"
            ) from None
        except Exception as error:  # the way to or from the worker: KilledWorker, a module that it lacks
            return Ended(None, 0.0, f"{type(error).__name__}: {error}", traceback.format_exc())

    def _keep(self, point: Point, ended: Ended) -> None:
        if ended.data is not None:
            self._folder.keep_done(point.id, ended.data, ended.took_s)
        else:
            self._folder.keep_failed(self._failure(point, ended))
        again, state = point.id in self._failed_before, self._state
        self._state = State(
            runs=state.runs,
            done=state.done + (ended.data is not None),
            failed=state.failed + (ended.data is None) - again,
            ran=state.ran + 1,
        )
        self._progress(self._state)

    def _failure(self, point: Point, ended: Ended) -> Failed:
        campaign = self._grid.campaign
        return Failed(
            id=point.id,
            task=campaign.task,
            seed=point.seed,
            labels=point.labels,
            settings=point.settings,
            scenario=point.scenario,
            error=ended.error,
            traceback=ended.traceback,
        )
