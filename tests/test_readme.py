"""The README's Python runs and prints what stands beneath it; its figures are the software's."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from satqkd.validation import validate

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```\n+```\n(.*?)^```$", README, re.M | re.S)


def printed(code: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    return out.getvalue()


@pytest.mark.parametrize("number", range(1, len(BLOCKS)))
def test_planning_and_single_stages_print_what_they_say(number: int) -> None:
    assert printed(BLOCKS[number][0]) == BLOCKS[number][1]


@pytest.mark.soak
def test_a_pass_in_python_prints_what_it_says() -> None:
    assert printed(BLOCKS[0][0]) == BLOCKS[0][1]


def test_the_count_of_validation_rows_is_the_true_one() -> None:
    rows = [row.status for row in validate()]
    told = re.search(
        r"of (\d+) rows (\d+) are reproduced, (\d+) compatible, (\d+) not reproduced, (\d+) gaps", README
    )
    assert told is not None
    kinds = ("reproduced", "compatible", "not_reproduced", "gap")
    assert [int(each) for each in told.groups()] == [len(rows), *(rows.count(kind) for kind in kinds)]
