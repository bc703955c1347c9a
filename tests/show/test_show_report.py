"""The report and its tables: complete, self-contained, and safe from what stands in the files."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from satqkd.errors import DataFormatError
from satqkd.results import ClassCounts
from satqkd.show import (
    IMAGE_PICTURE,
    as_noise,
    demo_image,
    image_picture,
    pass_report,
    pass_table,
    pass_view,
    read_pass,
    write_report,
)
from satqkd.show import tables as show_tables

HOSTILE = "<script>alert('x')</script>\"&amp;"
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Balance of the tags, every link, and the text of every cell."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def demo_folder(tmp_path: Path, samples: SimpleNamespace) -> Path:
    """A demo's folder: one pass that gave key, one that did not and lost its station's file."""
    samples.write_folder(tmp_path / "a", samples.pass_dict())
    samples.write_folder(tmp_path / "b", samples.no_key_dict())
    (tmp_path / "b" / "station.json").unlink()
    image = demo_image()
    image_picture(tmp_path / IMAGE_PICTURE, image, as_noise(image.tobytes(), image.shape), image)
    return tmp_path


def demo_report(folder: Path, samples: SimpleNamespace) -> Path:
    passes = [read_pass(folder / "a"), read_pass(folder / "b")]
    return write_report(folder, samples.demo, passes)


def test_the_report_stands_alone(demo_folder: Path, samples: SimpleNamespace):
    path = demo_report(demo_folder, samples)
    reader = read(path)
    assert len(reader.links) == 3 + 2 + 1
    assert all(link.startswith("data:image/png;base64,") for link in reader.links)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"(url\(|@import|https?://)", path.read_text(encoding="utf-8"))


def test_the_report_holds_every_cell_of_every_table(demo_folder: Path, samples: SimpleNamespace):
    passes = [read_pass(demo_folder / "a"), read_pass(demo_folder / "b")]
    reports = [files.report for files in passes]
    evidence = passes[0].course.evidence
    tables = [
        show_tables.pass_table(reports),
        show_tables.classical_table(reports),
        show_tables.process_table(reports),
        show_tables.fact_table("", samples.demo["relay"]),
        show_tables.fact_table("", samples.demo["image"]),
        *(show_tables.evidence_table(evidence, mark) for mark in show_tables.MARKS),
        *show_tables.term_tables(reports[0]),
        *(make(reports[0]) for make in (show_tables.count_table, show_tables.block_table)),
        show_tables.stage_table(reports[0]),
    ]
    text = set(read(write_report(demo_folder, samples.demo, passes)).text)
    cells = {cell for table in tables for row in (table.header, *table.rows) for cell in row if cell}
    assert len(cells) > 130
    assert cells <= text


def test_the_table_holds_what_the_demo_must_print(pass_numbers: dict[str, str]):
    assert pass_numbers == {
        "pulses sent": "220 250 000 000",
        "detections": "10 004 321",
        "sifted, bits": "4 691 343",
        "QBER": "1.05 %",
        "leak, bits": "397 531",
        "f, leak over Shannon limit": "1.123",
        "secret, bits": "1 070 043",
        "last photon to key, s": "5.43",
    }


@pytest.fixture
def pass_numbers(samples: SimpleNamespace) -> dict[str, str]:
    table = pass_table([pass_view(samples.pass_dict())])
    wanted = ("pulses", "detections", "sifted", "QBER", "leak,", "f,", "secret", "last photon")
    return {name: value.replace("\u00a0", " ") for name, value in table.rows if name.startswith(wanted)}


def test_every_number_of_the_files_reaches_the_reader(demo_folder: Path, samples: SimpleNamespace):
    text = " ".join(read(demo_report(demo_folder, samples)).text).replace("\u00a0", "")
    for number in ("220250000000", "10004321", "2345671", "24681", "9876543", "17530", "480769", "60015"):
        assert number in text
    for fact in ("ab" * 32, "cd" * 32, "r-0001", "source.pulse_rate_hz", "5.2083e-21", "1254321.8", "5.43"):
        assert fact in text


def test_the_report_is_honest_about_the_twin_and_the_evidence(demo_folder: Path, samples: SimpleNamespace):
    text = " ".join(read(demo_report(demo_folder, samples)).text)
    assert "simulated with repeatable dice" in text and "is secret" in text
    assert "1 published, 1 calibrated, 1 inferred, 1 assumed" in text
    assert "Not proved" in text
    hardware = samples.pass_dict(origin="hardware")
    alone = pass_report(samples.write_folder(demo_folder / "h", hardware))
    assert "repeatable dice" not in alone.read_text(encoding="utf-8")


def test_an_asymptotic_length_is_called_what_it_is(tmp_path: Path, samples: SimpleNamespace):
    folder = samples.write_folder(tmp_path / "p", samples.pass_dict(bound="asymptotic"))
    assert "no secure key" in " ".join(read(pass_report(folder)).text)


def test_a_pass_without_key_is_reported_with_its_reason(demo_folder: Path):
    text = read(pass_report(demo_folder / "b")).text
    assert "no key to use (no_key: the laser link ended before the block was closed)" in " ".join(text)
    assert show_tables.MISSING in text
    assert "Blocks, stellenbosch: none." in text
    assert any("is missing from the folder" in piece for piece in text)


def test_the_report_says_whose_errors_are_drawn(demo_folder: Path):
    told = "Where the errors of keyed rounds lie depends on the key"
    with_profiles, without = (" ".join(read(pass_report(demo_folder / name)).text) for name in "ab")
    assert told in with_profiles and "error rate of revealed decoys" in with_profiles
    assert told not in without


def test_images_that_differ_are_said_to_differ(demo_folder: Path, samples: SimpleNamespace):
    image = samples.demo["image"] | {"sha256_after": "00" * 32}
    path = write_report(demo_folder, samples.demo | {"image": image}, [read_pass(demo_folder / "a")])
    text = " ".join(read(path).text)
    assert "they differ" in text and "both are identical" not in text


def hostile(value: Any) -> Any:
    """The same document with a script at the end of every string and name of a free dict."""
    if isinstance(value, dict):
        return {
            (key + HOSTILE if key in ("down", "satellite.x", "0.open", "epsilon_event") else key): hostile(
                item
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return value + HOSTILE if isinstance(value, str) and value not in KEPT else value


KEPT = {"Z", "X"}


def test_hostile_text_is_shown_and_never_obeyed(tmp_path: Path, samples: SimpleNamespace):
    folder = tmp_path / "pass"
    samples.write_folder(folder, hostile(samples.pass_dict()))
    (folder / "course.json").write_text(json.dumps(hostile(samples.course_dict())))
    path = write_report(tmp_path, hostile(samples.demo), [read_pass(folder)])
    reader = read(path)
    assert "script" not in reader.tags
    text = " ".join(reader.text)
    for stem in ("stellenbosch", "jinan-1", "press", "r-0001", "down", "0.open", "epsilon_event"):
        assert stem + HOSTILE in text


def test_a_report_may_come_as_a_struct_and_with_fields_unknown_here(samples: SimpleNamespace):
    class Grown(msgspec.Struct):
        more: int
        counts: tuple[ClassCounts, ...] = ()

    plain = samples.pass_dict(more=1, qber=float("nan"))
    grown = msgspec.defstruct("Grown", [(name, Any) for name in plain])(**plain)
    assert pass_view(grown) == pass_view(plain)
    assert pass_view(grown).qber is None


def profile_of(**changes: list[int]) -> str:
    """A station's file with one profile of one second, changed."""
    columns = {"second": [1], "sifted": [90], "revealed": [4], "errors": [1]} | changes
    return json.dumps({"profiles": [{"block": 0, **columns}]})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("pass.json", "{", "pass.json: "),
        ("pass.json", '{"pass_id": 7}', "pass.json: Expected `str`, got `int`"),
        ("course.json", '{"columns": {}}', "course.json: Object missing"),
        ("station.json", profile_of(second=[1, 2]), "one length"),
        ("station.json", profile_of(errors=[5]), "errors among the revealed"),
        (
            "station.json",
            '{"profiles": [{"block": 0, "second": [], "sifted": [], "errors": []}]}',
            "revealed",
        ),
        ("station.json", b"\xff\xfe", "station.json: "),
    ],
)
def test_files_that_are_wrong_are_named(
    tmp_path: Path, name: str, content: str | bytes, says: str, samples: SimpleNamespace
):
    folder = samples.write_folder(tmp_path / "p", samples.pass_dict())
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataFormatError, match=re.escape(says)):
        pass_report(folder)
    assert not (folder / "report.html").exists()


def test_columns_of_different_length_are_refused(tmp_path: Path, samples: SimpleNamespace):
    folder = samples.write_folder(tmp_path / "p", samples.pass_dict())
    course = samples.course_dict()
    course["columns"]["range_km"].pop()
    (folder / "course.json").write_text(json.dumps(course))
    with pytest.raises(DataFormatError, match=r"course\.json: .*one length"):
        read_pass(folder)


def test_a_folder_without_a_pass_is_refused(tmp_path: Path):
    with pytest.raises(DataFormatError, match="expected a pass folder"):
        pass_report(tmp_path)


def test_a_report_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(DataFormatError, match="at least one pass"):
        write_report(tmp_path, {}, [])


def test_a_picture_that_is_none_is_refused(demo_folder: Path, samples: SimpleNamespace):
    shutil.copy(demo_folder / "a" / "pass.json", demo_folder / IMAGE_PICTURE)
    with pytest.raises(DataFormatError, match="expected a PNG file"):
        demo_report(demo_folder, samples)


def test_marks_are_counted_once_per_number_and_the_firmest_first():
    rows = read_rows([("a", "assumed"), ("b", "published"), ("a", "assumed"), ("c", "odd")])
    assert list(show_tables.mark_counts(rows).items()) == [("published", 1), ("assumed", 1), ("odd", 1)]


def read_rows(pairs: list[tuple[str, str]]) -> list[Any]:
    from satqkd.show.files import EvidenceRow

    return [EvidenceRow(path=path, mark=mark, source="s", preset="p") for path, mark in pairs]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "–"),
        (True, "yes"),
        (1234567, "1 234 567"),
        (12345.678, "12 345.7"),
        (0.0134567891, "0.0134568"),
        (5e-21, "5e-21"),
        (["Z", "X"], "Z, X"),
        ([], "–"),
        ("text", "text"),
    ],
)
def test_cells(value: Any, cell: str):
    assert show_tables.number(value).replace("\u00a0", " ") == cell
