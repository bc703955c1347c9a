"""`docs/validation.md` against the code: ids, published numbers, tolerances, statuses, columns, example."""

import re
from pathlib import Path

import pytest

from documentation import DOCS, section, table_rows
from satqkd.validation import Row, compare_table, curve, micius
from satqkd.validation.table import DEFAULT_TOLERANCES, SUFFIX, known_columns

PAGE = (DOCS / "validation.md").read_text(encoding="utf-8")
CURVE_IDS = ("V2e", "V2f", "V2g", "V2h")


def told() -> dict[str, list[str]]:
    """Cells of the table of rows by id."""
    return {cells[0]: cells[1:] for cells in table_rows(section(PAGE, "## The rows"))[2:]}


@pytest.fixture(scope="module")
def rows(published: list[Row]) -> dict[str, Row]:
    """All rows, those on the curve from the preset's own loss."""
    contact = micius.published_pass()
    nearest = int(contact.look.range_m.argmin())
    losses_db = contact.losses.total_db - contact.losses.detector_db
    own = curve.LossCurve(contact.look.range_m[nearest:], losses_db[nearest:])
    return {each.id: each for each in [*published, *curve.rows(own)]}


def _number(row: Row) -> str:
    return "–" if row.published is None else f"{row.published:.10g}"


def test_the_table_holds_every_row_and_no_other(rows: dict[str, Row]) -> None:
    assert sorted(told()) == sorted(rows)
    assert [name for name in told() if name not in CURVE_IDS] == [
        name for name in rows if name not in CURVE_IDS
    ]


def test_published_numbers_tolerances_and_statuses_are_those_of_the_code(rows: dict[str, Row]) -> None:
    for name, (_, published, tolerance, status) in told().items():
        row = rows[name]
        assert (published, tolerance) == (_number(row), row.tolerance or "–"), name
        if name not in CURVE_IDS:
            assert status == row.status, name


def test_failures_are_explained_on_the_page(rows: dict[str, Row]) -> None:
    failing = {name for name, each in rows.items() if each.status == "not_reproduced"} - set(CURVE_IDS)
    explained = set(re.findall(r"^- \*\*(V\w+)\*\*", section(PAGE, "## What is not reproduced"), re.M))
    assert failing == explained


def test_gaps_and_groups_are_described(rows: dict[str, Row]) -> None:
    text = section(PAGE, "## Where they come from")
    numbers = {re.match(r"[A-Z]\d+", name).group() for name in rows if name[0] == "V"}  # type: ignore[union-attr]
    assert [each for each in sorted(numbers) if f"**{each}**" not in text] == []


def test_the_columns_of_a_users_table_are_described_with_their_tolerances() -> None:
    cells = {row[0]: row[-1] for row in table_rows(PAGE.partition("## Your own passes")[2])}
    known = known_columns()
    described = {known[name][0]: float(value) for name, value in cells.items() if name in known}
    assert described == DEFAULT_TOLERANCES
    assert f"...{SUFFIX}" in cells
    assert all(f"`{name}`" in PAGE for name in ("satellite", "station", "start_utc", "culmination_utc"))


def test_the_example_is_compared(tmp_path: Path) -> None:
    example = re.findall(r"^```csv\n(.*?)^```$", PAGE, re.M | re.S)[0]
    path = tmp_path / "passes.csv"
    path.write_text(example, encoding="utf-8")
    found = compare_table(path)
    assert {each.id for each in found} >= {"T3.sifted_bits", "T3.secret_bits", "T.rms.secret_bits"}
    assert {each.status for each in found} == {"reproduced"}
