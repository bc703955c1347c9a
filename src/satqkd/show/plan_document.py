"""The form of a report: a page of sections with sentences, pictures and tables, and the files beside it.

What is written goes into a folder that can be read, or mailed, without the program; it gets all files of a
report or none. Knows no plan, no operation and no campaign.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from satqkd.errors import ResourceError
from satqkd.show.page import Markup, element, page, picture, table
from satqkd.show.report import REPORT_FILE
from satqkd.show.tables import Table

Write = Callable[[Path], object]
"""Makes a file at a path."""
_OWN: Final = re.compile(
    r"(plan-(map|map-close|pairs|levels|contacts-\d\d)|operation-(levels|shares)|"
    r"campaign-(size|cost)-\d\d)\.png"
)
"""Pictures that a report may have: those of an earlier one are its alone."""


class Picture(NamedTuple):
    """A PNG of the report; `draw` makes it at a path."""

    name: str
    caption: str
    draw: Write


class Note(NamedTuple):
    """A sentence that must not be overlooked."""

    sentence: str


Part = Picture | Table | Note | str


class Section(msgspec.Struct, frozen=True):
    """A heading with what stands under it, in this order; text is a sentence."""

    title: str
    parts: tuple[Part, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A whole report; every text is plain and is escaped."""

    title: str
    lead: str
    outcome: tuple[str, ...]
    """Sentences: what came of it."""
    assumed: tuple[str, ...]
    """Sentences: what must be known before a number is believed."""
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """In the order of the page."""
        return tuple(part for section in self.sections for part in section.parts if isinstance(part, Picture))


def write_document(folder: Path, document: Document, beside: Mapping[str, Write] | None = None) -> list[Path]:
    """Write pictures and `report.html` into a folder, made where it is missing; beside: other files by name.

    Returns the files: those beside, the pictures, the report. Pictures of an earlier report in the folder
    that this one has not are taken away. On failure the folder is left as it was. Raises ResourceError for
    what cannot be written, and what drawing and writing raise.
    """
    writes = dict(beside or {}) | {each.name: each.draw for each in document.pictures}
    names = [*writes, REPORT_FILE]
    check_report_place(folder, names)
    with _beside(folder) as new:
        for name, write in writes.items():
            write(new / name)
        (new / REPORT_FILE).write_text(_page(document, new), encoding="utf-8")
        _exchange(new, folder, names)
    return [folder / name for name in names]


def check_report_place(folder: Path, names: Iterable[str] = (REPORT_FILE,)) -> None:
    """Refuse, before anything is computed, a folder that cannot take files of these names. Makes nothing.

    Raises ResourceError.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise ResourceError(f"{folder}: expected a folder for the report, got a file; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResourceError(f"{folder}: nothing may be written there; choose another folder")
    for name in names:
        if (folder / name).is_dir():
            raise ResourceError(
                f"{folder / name}: the report cannot be written (it is a folder); take it away"
            )


def _page(document: Document, folder: Path) -> str:
    sections = (
        element("h1", document.title),
        element("p", document.lead, class_="lead"),
        element("div", *(element("p", each) for each in document.outcome), class_="good"),
        element("h2", "What this is, and what is assumed"),
        element("ul", *(element("li", each) for each in document.assumed), class_="note"),
        *(made for section in document.sections for made in _section(section, folder)),
    )
    return page(f"satqkd: {document.title}", sections)


def _section(section: Section, folder: Path) -> Iterator[Markup]:
    yield element("h2", section.title)
    for part in section.parts:
        match part:
            case Picture():
                yield picture(folder / part.name, part.caption)
            case Table():
                yield table(part, caption=part.title != section.title)
            case Note():
                yield element("p", part.sentence, class_="note")
            case _:
                yield element("p", part)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder for new files in the one that gets them; gone afterwards, with all that is still in it."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as new:
            yield Path(new)
    except OSError as error:
        raise ResourceError(
            f"{folder}: the report cannot be written ({error.strerror}); choose another folder"
        ) from None
    finally:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _exchange(new: Path, folder: Path, names: list[str]) -> None:
    """Files of an earlier report go, those of `names` come; when one cannot, all is put back."""
    away = new / "earlier"
    away.mkdir()
    earlier = [path.name for path in folder.iterdir() if path.name in names or _OWN.fullmatch(path.name)]
    moves = [(folder / name, away / name) for name in earlier]
    moves += [(new / name, folder / name) for name in names]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.replace(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.replace(source)
        raise
