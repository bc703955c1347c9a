"""The form of reports: what is given is on the page, escaped; the folder gets all files or stays."""

import os
from pathlib import Path

import pytest
from test_show_report import HOSTILE, read

from satqkd.errors import DataFormatError, ResourceError
from satqkd.show import plan_document
from satqkd.show.plan_document import (
    Document,
    Note,
    Picture,
    Section,
    check_report_place,
    write_document,
)
from satqkd.show.tables import Table

PNG = b"\x89PNG\r\n\x1a\n"


def document(*names: str, title: str = "easy") -> Document:
    """With pictures of these names, whose bytes end in the title."""

    def draw(path: Path) -> None:
        path.write_bytes(PNG + title.encode())

    return Document(
        title=title,
        lead="lead",
        outcome=("came",),
        assumed=("taken",),
        sections=(Section("Part", tuple(Picture(name, "shown", draw) for name in names)),),
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_given_is_on_the_page_in_its_order_and_escaped(tmp_path: Path) -> None:
    table = Table(HOSTILE, ("a", HOSTILE), (("row", "1"), (HOSTILE, "2")))
    told = Document(
        title=HOSTILE,
        lead="lead",
        outcome=("outcome",),
        assumed=("assumed",),
        sections=(Section("first", ("sentence", table)), Section("second", (Note("noted"),))),
    )
    (path,) = write_document(tmp_path, told)
    reader = read(path)
    assert "script" not in reader.tags and reader.text.count(HOSTILE) >= 4
    words = " ".join(reader.text)
    places = [
        words.index(each) for each in ("lead", "outcome", "assumed", "first", "sentence", "second", "noted")
    ]
    assert places == sorted(places)


def test_files_beside_the_page_come_with_it(tmp_path: Path) -> None:
    files = write_document(
        tmp_path / "new" / "folder",
        document("plan-map.png"),
        {"a.json": lambda path: path.write_text("{}")},
    )
    assert [path.name for path in files] == ["a.json", "plan-map.png", "report.html"]
    assert content(tmp_path / "new" / "folder").keys() == {path.name for path in files}
    assert files[0].read_text() == "{}"


@pytest.mark.parametrize("where", ["draw", "beside", "page"])
def test_what_fails_leaves_nothing_and_changes_nothing(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    write_document(old, document("plan-map.png"), {"a.json": lambda path: path.write_text("1")})
    before = content(old)

    def fail(*_: object) -> None:
        raise DataFormatError("broken on purpose")

    told, beside = document("plan-map.png", title="another"), {"a.json": lambda path: path.write_text("2")}
    if where == "draw":
        told = Document(
            title="another",
            lead="",
            outcome=(),
            assumed=(),
            sections=(Section("", (Picture("plan-map.png", "", fail),)),),
        )
    elif where == "beside":
        beside["b.json"] = fail
    else:
        monkeypatch.setattr(plan_document, "page", fail)
    for folder in (old, tmp_path / "new"):
        with pytest.raises(DataFormatError, match="on purpose"):
            write_document(folder, told, beside)
    assert content(old) == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize("moves", range(7))
def test_a_report_that_cannot_be_put_in_its_place_leaves_the_earlier_one(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_document(tmp_path, document("plan-map.png", "plan-levels.png", title="earlier"))
    before = content(tmp_path)
    replace, left = Path.replace, [moves]

    def full(source: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(28, "no space left")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ResourceError, match="no space left"):
        write_document(
            tmp_path,
            document("plan-map.png", "operation-levels.png"),
            {"a.json": lambda path: path.write_text("{}")},
        )
    assert content(tmp_path) == before


def test_pictures_of_an_earlier_report_go_and_files_of_others_stay(tmp_path: Path) -> None:
    write_document(tmp_path, document("plan-map.png", "plan-contacts-12.png", "campaign-size-01.png"))
    kept = {"plan-contacts-notes.png", "plan.json", "plan-map.png.kept", "results.csv"}
    for name in kept:
        (tmp_path / name).write_text("mine")
    files = write_document(tmp_path, document("plan-map.png", "operation-levels.png"))
    assert content(tmp_path).keys() == {path.name for path in files} | kept


def test_a_place_that_cannot_take_the_report_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "busy" / "plan-map.png").mkdir(parents=True)
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "locked")
    for folder, words in (
        ("file", "got a file; choose another folder"),
        ("file/below", "got a file; choose another folder"),
        ("busy", r"plan-map\.png: .*it is a folder"),
        ("locked", "nothing may be written there"),
        ("locked/below/that", "nothing may be written there"),
    ):
        with pytest.raises(ResourceError, match=words):
            write_document(tmp_path / folder, document("plan-map.png"))
    check_report_place(tmp_path / "new" / "folder")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["busy", "file", "locked", "plan-map.png"]
