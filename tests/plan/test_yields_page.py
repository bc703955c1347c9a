"""The page of yields runs as it stands, prints what it says, and names every column, row and setting."""

import contextlib
import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from planning import network

from documentation import REPOSITORY, missing, page, section, undocumented_settings
from satqkd.config.scenario import YieldRules
from satqkd.plan.opportunities import find_opportunities
from satqkd.plan.tables import link_rows, pass_columns
from satqkd.plan.yields import fast_spread
from satqkd.plan.yields_error import SurrogateError
from satqkd.plan.yields_groups import GROUPS, NIGHT_CLASSES, cut_rows, group_rows, pool_rows
from satqkd.plan.yields_pools import pooled_yields

PAGE = "yields.md"


def test_the_python_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    ((code, printed),) = re.findall(r"^```python\n(.*?)^```\n+```\n(.*?)^```$", page(PAGE), re.M | re.S)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, f"docs/{PAGE}", "exec"), {})
    assert out.getvalue() == printed


def test_every_column_and_row_is_documented() -> None:
    found = network(duration_days=4, pair=[], yields={"pool_days": 2})
    passes = find_opportunities(found)
    spread, clear = fast_spread(found, passes), np.ones(len(passes))
    pools = pooled_yields(found, passes, spread.key_bits)
    columns = pass_columns(found, passes, spread, clear, pools)
    assert missing([*columns, *NIGHT_CLASSES], section(page(PAGE), "## Passes as a table")) == []
    rows = [
        link_rows(found, passes, spread.key_bits, clear)[0],
        *(group_rows(found, passes, spread, clear, by=by)[0] for by in GROUPS),
        cut_rows(found, [], fast_spread)[0],
        pool_rows(found, pools)[0],
    ]
    names = {name for row in rows for name in row}
    error = {field.name for field in msgspec.structs.fields(SurrogateError)}
    assert missing([*names, *error], section(page(PAGE), "## Rows")) == []


def test_the_rules_are_documented_with_their_ranges() -> None:
    assert undocumented_settings(YieldRules, page("settings.md")) == []
