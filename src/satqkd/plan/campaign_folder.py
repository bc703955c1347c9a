"""A campaign's folder: what is done, what failed, and the tables of it.

    done/ID.json      an answer; a run at its end leaves nothing else that counts
    failed/ID.json    inputs and error of a run without one
    seconds.jsonl     how long each run took, in no table
    campaign.json     settings and points of the grid
    results.parquet   a row a point; beside it pairs.parquet or links.parquet; or .csv

Each file is there whole or not at all; one that is torn all the same counts as not there.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from satqkd.config import Scenario
from satqkd.errors import DataFormatError, ResourceError
from satqkd.mission.files import write_whole
from satqkd.plan.campaign import Grid, Point
from satqkd.plan.campaign_tasks import TASKS, Row, Settings
from satqkd.plan.tables import FORMATS, Format, columns_of, write_table
from satqkd.results import to_json


class Done(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`done/ID.json`: the same bytes whoever made it."""

    id: str
    task: str
    seed: int
    row: Row
    parts: list[Row]


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """`failed/ID.json`: all that is needed to run it again by hand."""

    id: str
    task: str
    seed: int
    labels: dict[str, Any]
    settings: Settings
    """Of the task: its table of the campaign, as the axes left it."""
    scenario: Scenario
    error: str
    traceback: str


class CampaignFolder:
    """Results of one campaign; made where missing. Raises ResourceError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            for each in (self._done, self._failed):
                each.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{path}: cannot be made ({error.strerror}); choose another folder") from None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Only one run writes at a time. Raises ResourceError where another does."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ResourceError(
                    f"{self.path}: another run is writing there; wait for it, or take a folder of its own "
                    "and --merge the two"
                ) from None
            yield

    def done(self, ids: Iterable[str]) -> dict[str, Done]:
        """Answers that are there and whole."""
        found = {each: read_done(self._done / f"{each}.json") for each in ids}
        return {each: answer for each, answer in found.items() if answer is not None}

    def failed(self, ids: Iterable[str]) -> set[str]:
        """Those that failed, as far as they have no answer."""
        return {
            each
            for each in ids
            if (self._failed / f"{each}.json").is_file() and read_done(self._done / f"{each}.json") is None
        }

    def keep_done(self, name: str, data: bytes, took_s: float) -> None:
        """The answer of a run, as `perform` gave it."""
        self._write(self._done / f"{name}.json", data)
        (self._failed / f"{name}.json").unlink(missing_ok=True)
        with (self.path / "seconds.jsonl").open("ab") as log:
            log.write(msgspec.json.encode({"id": name, "seconds": round(took_s, 3)}) + b"\n")

    def keep_failed(self, failed: Failed) -> None:
        """A run without an answer."""
        self._write(self._failed / f"{failed.id}.json", to_json(failed))

    def take(self, other: Path, ids: Iterable[str]) -> int:
        """Answers and failures of these ids from another folder; how many answers came.

        Raises DataFormatError, before anything is taken, where both folders have an answer and the two
        differ; ResourceError for a folder that is none of a campaign.
        """
        if not (other / "done").is_dir():
            raise ResourceError(f"{other}: expected the folder of a campaign, with done/ in it; name one")
        wanted = list(ids)
        coming = [name for name in wanted if self._comes(other, name)]
        for name in coming:
            self._write(self._done / f"{name}.json", (other / "done" / f"{name}.json").read_bytes())
            (self._failed / f"{name}.json").unlink(missing_ok=True)
        for name in set(wanted) - self.done(wanted).keys():
            with suppress(FileNotFoundError):
                self._write(self._failed / f"{name}.json", (other / "failed" / f"{name}.json").read_bytes())
        return len(coming)

    def write_tables(self, grid: Grid, form: Format) -> tuple[Path, ...]:
        """Tables of what is done, of every point; those of another format or task are taken away.

        Raises what `write_table` raises.
        """
        done = self.done(grid.runs)
        points = [point for point in grid.points if point.id in done]
        labels = sorted({f"axis.{label}" for point in grid.points for label in point.labels})
        first = ["id", "task", "seed", *labels]
        whole = [_heads(grid, point) | done[point.id].row for point in points]
        parts = [_heads(grid, point) | part for point in points for part in done[point.id].parts]
        tables = {"results": whole, TASKS[grid.campaign.task].parts: parts}
        paths = {self.path / f"{name}.{form}": rows for name, rows in tables.items()}
        for path, rows in paths.items():
            write_table(path, columns_of(rows, first))
        for stem in {"results", *(task.parts for task in TASKS.values())}:
            for path in {self.path / f"{stem}.{each}" for each in FORMATS} - paths.keys():
                path.unlink(missing_ok=True)
        return tuple(paths)

    def write_grid(self, grid: Grid) -> None:
        """`campaign.json`."""
        points = [{"id": each.id, "seed": each.seed, "labels": each.labels} for each in grid.points]
        self._write(self.path / "campaign.json", to_json({"campaign": grid.campaign, "points": points}))

    @property
    def _done(self) -> Path:
        return self.path / "done"

    @property
    def _failed(self) -> Path:
        return self.path / "failed"

    def _comes(self, other: Path, name: str) -> bool:
        theirs, mine = (folder / "done" / f"{name}.json" for folder in (other, self.path))
        if read_done(theirs) is None:
            return False
        if read_done(mine) is None:
            return True
        if theirs.read_bytes() != mine.read_bytes():
            raise DataFormatError(
                f"{theirs} and {mine}: expected equal answers of one run, got different ones; a time limit, "
                "or another version of satqkd or of its libraries, makes such; remove one of the two"
            )
        return False

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_whole(path, data)
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be written ({error.strerror}); make room, and run again to go on"
            ) from None


def read_done(path: Path) -> Done | None:
    """The answer in a file; None where there is none, or a torn one, or one under another's name."""
    try:
        answer = msgspec.json.decode(path.read_bytes(), type=Done)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    return answer if path.stem == answer.id else None


def _heads(grid: Grid, point: Point) -> Row:
    labels = {f"axis.{label}": value for label, value in point.labels.items()}
    return {"id": point.id, "task": grid.campaign.task, "seed": point.seed} | labels
