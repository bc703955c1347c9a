"""The page of operation runs as it stands, prints what it says, and names every field."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from documentation import REPOSITORY, missing, page, section
from satqkd.plan.comparison import ComparedOperation
from satqkd.plan.operation_policy import Policy
from satqkd.plan.operation_result import Alarm, LinkService, Operation, PairService, SatelliteService

PAGE = "operation.md"


def test_the_python_examples_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```\n+```\n(.*?)^```$", page(PAGE), re.M | re.S)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for code, printed in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"docs/{PAGE}", "exec"), names)
        assert out.getvalue() == printed


@pytest.mark.parametrize(
    ("heading", "structs"),
    [
        ("## Fields", (Operation, PairService, LinkService, SatelliteService, Alarm)),
        ("## Rows", (ComparedOperation,)),
    ],
)
def test_every_field_is_documented(heading: str, structs: tuple[type, ...]) -> None:
    names = [field.name for struct in structs for field in msgspec.structs.fields(struct)]
    assert missing(names, section(page(PAGE), heading)) == []


def test_every_policy_is_documented() -> None:
    told = {"gap"}  # with the options of the command
    names = [field.name for field in msgspec.structs.fields(Policy) if field.name not in told]
    assert missing(names, page(PAGE)) == []
