"""The builders that made shipped tables: density evolution against a published threshold and the table
itself."""

import sys
from pathlib import Path

import pytest

from satqkd.distill.degrees import DEGREES, DISTRIBUTIONS

sys.path.insert(0, str(Path(__file__).parents[1] / "builders"))

density_evolution = pytest.importorskip("density_evolution")
ldpc_degrees = pytest.importorskip("ldpc_degrees")


@pytest.mark.parametrize(("error", "decodes"), [(0.0825, True), (0.0855, False)])
def test_the_regular_code_has_its_published_threshold(error: float, decodes: bool) -> None:
    """(3, 6): 0.084 (Richardson and Urbanke 2001, table I)."""
    course = density_evolution.evolve(error, {3: 1.0}, {6: 1.0}, iterations=300)
    assert course.converged == decodes


@pytest.mark.parametrize(("leak", "efficiency"), [(0.18, 1.033), (0.31, 1.025)])
def test_a_row_of_the_table_decodes_from_the_efficiency_it_states(leak: float, efficiency: float) -> None:
    edges = {d: d * share for d, share in zip(DEGREES, DISTRIBUTIONS[leak], strict=True)}
    columns = {d: share / sum(edges.values()) for d, share in edges.items()}
    checks = ldpc_degrees.check_degrees(ldpc_degrees.mean_degree(leak) / leak)
    for f, decodes in ((efficiency + 0.003, True), (efficiency - 0.006, False)):
        error = ldpc_degrees.error_at(leak, f)
        assert density_evolution.evolve(error, columns, checks, iterations=250).converged == decodes
