"""A thin door to HiGHS: a mixed-integer linear problem in arrays, its best values and the bound proved.

Knows nothing of passes or keys. The same problem gives the same answer on the same machine: one seed, one
thread unless asked for more; only a time limit makes an answer depend on the machine's speed. Prints nothing.
HiGHS holds every row and bound to 1e-6 and tells reduced gains apart from 1e-7 on: state a problem in units
in which such steps do not matter.
"""

from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from satqkd.errors import ConfigError, ResourceError

Status = Literal["optimal", "feasible", "infeasible", "unbounded", "none"]
"""optimal: proved, within the gap asked for; feasible: a limit was met, with a plan; infeasible: no values
satisfy all rows; unbounded: there is no largest; none: a limit was met before any plan was found."""

_COLUMNWISE: Final = 1
_MAXIMISE: Final = -1
_FEASIBLE: Final = 2
"""HiGHS's numbers for the order of the matrix, the sense, and a solution that satisfies all rows."""
_LEAST_GAP: Final = 1e-9
"""Absolute gap that ends a search whatever the relative one."""
_LARGE: Final = 10_000
"""Columns from which on a problem without whole ones goes to the interior point method, whose steps hardly
grow in number with it; the simplex method's do."""


class Problem(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Maximise gain . x, with row_lower <= rows x <= row_upper and lower <= x <= upper."""

    gain: NDArray[np.float64]
    """Of each column, shape (n,); finite."""
    lower: NDArray[np.float64]
    """Least value of each column, shape (n,); -inf for none."""
    upper: NDArray[np.float64]
    """Largest value of each column, shape (n,); inf for none."""
    integer: NDArray[np.bool_]
    """Whether a column takes whole numbers only, shape (n,)."""
    rows: csc_array | csr_array
    """Coefficients, shape (m, n)."""
    row_lower: NDArray[np.float64]
    """Shape (m,); -inf for none."""
    row_upper: NDArray[np.float64]
    """Shape (m,); inf for none."""

    def __post_init__(self) -> None:
        m, n = self.rows.shape
        for name, size in (
            *((each, n) for each in ("gain", "lower", "upper", "integer")),
            *((each, m) for each in ("row_lower", "row_upper")),
        ):
            column = getattr(self, name)
            if column.shape != (size,) or np.isnan(column).any():
                raise ConfigError(
                    f"problem of {m} rows and {n} columns, {name}: expected {size} numbers, got an array of "
                    f"shape {column.shape} with {np.isnan(column).sum()} that are none"
                )
        if not (np.isfinite(self.gain).all() and np.isfinite(self.rows.data).all()):
            raise ConfigError("problem: expected finite gains and coefficients, got some that are not")


class Solution(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What was found, and what is proved about it."""

    values: NDArray[np.float64] | None
    """Of the columns, shape (n,), whole numbers to 1e-6; None where there is no plan."""
    objective: float
    """Gain of these values; -inf where there is no plan."""
    bound: float
    """No values gain more; inf where nothing is proved, -inf where no values are possible."""
    status: Status
    row_prices: NDArray[np.float64] | None = None
    """What the objective would gain by one more of each row's bound, shape (m,); of a problem without whole
    columns that was solved."""

    @property
    def gap(self) -> float:
        """(bound - objective) / |objective|, not below 0; inf where one of them is not finite."""
        return relative_gap(self.objective, self.bound)


def relative_gap(objective: float, bound: float) -> float:
    """(bound - objective) / |objective|, at least 0; 0 where both are equal, inf where either is infinite."""
    if not (np.isfinite(objective) and np.isfinite(bound)):
        return float("inf")
    over = max(bound - objective, 0.0)
    return 0.0 if over == 0 else over / abs(objective) if objective else float("inf")


def solve(
    problem: Problem,
    *,
    relative_gap: float = 1e-6,
    time_limit_s: float | None = None,
    start: NDArray[np.float64] | None = None,
    threads: int = 1,
    effort: float = 0.05,
    most_nodes: int | None = None,
    target: float | None = None,
) -> Solution:
    """The values with the largest gain.

    relative_gap: the search ends when bound and gain differ by less than this share of the gain;
    time_limit_s, most_nodes: when it takes longer or divides the problem more often, and target: when values
    gain so much, with the best values so far; start: values of all columns to begin
    from, worth giving only where they satisfy all rows; effort: share of a search that looks for values
    rather than for bounds. Raises ConfigError for a problem or a limit that makes no sense, ResourceError
    where HiGHS gives up, for lack of memory or of numerical accuracy.
    """
    _check_limits(problem, relative_gap, time_limit_s, start)
    if (problem.lower > problem.upper).any() or (problem.row_lower > problem.row_upper).any():
        return _ended("infeasible")
    options: dict[str, Any] = {
        "threads": threads,
        "mip_rel_gap": relative_gap,
        "mip_abs_gap": _LEAST_GAP,
        "mip_heuristic_effort": effort,
        "time_limit": float("inf") if time_limit_s is None else time_limit_s,
    }
    if most_nodes is not None:
        options["mip_max_nodes"] = most_nodes
    if target is not None:
        options["objective_target"] = target
    return _Run(problem, options).solution(start)


def _check_limits(
    problem: Problem, relative_gap: float, time_limit_s: float | None, start: NDArray[np.float64] | None
) -> None:
    if not 0 <= relative_gap < np.inf:
        raise ConfigError(f"solve, relative_gap: expected 0 or more, got {relative_gap}")
    if time_limit_s is not None and not time_limit_s > 0:
        raise ConfigError(f"solve, time_limit_s: expected more than 0 s, got {time_limit_s}")
    if start is not None and start.shape != problem.gain.shape:
        raise ConfigError(
            f"solve, start: expected a value for each of {problem.gain.size} columns, got an array of shape "
            f"{start.shape}"
        )


def _ended(status: Status) -> Solution:
    bound = -np.inf if status == "infeasible" else np.inf
    return Solution(values=None, objective=-np.inf, bound=bound, status=status)


class _Run:
    """One problem inside HiGHS."""

    def __init__(self, problem: Problem, options: dict[str, Any]) -> None:
        import highspy

        self._problem, self._statuses = problem, highspy.HighsModelStatus
        self._early = self._statuses.kSolutionLimit, self._statuses.kObjectiveTarget
        self._is_mixed = bool(problem.integer.any())
        if not self._is_mixed and problem.gain.size >= _LARGE:
            options = options | {"solver": "ipm"}
        made: Any = highspy.Highs.__base__  # what it wraps: the wrapper prints a banner
        self._highs = made()
        for name, value in ({"output_flag": False, "random_seed": 0} | options).items():
            if self._highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
                raise ConfigError(f"solve, {name}: expected a value that HiGHS takes, got {value!r}")

    def solution(self, start: NDArray[np.float64] | None) -> Solution:
        self._pass(self._problem.gain)
        if start is not None and self._is_mixed:
            index = np.arange(start.size, dtype=np.int32)
            self._highs.setSolution(start.size, index, start.astype(np.float64))
        status = self._status()
        if status == self._statuses.kUnboundedOrInfeasible:
            return _ended(self._told_apart())
        if status in (self._statuses.kOptimal, self._statuses.kModelEmpty):
            return self._found("optimal")
        if status == self._statuses.kInfeasible:
            return _ended("infeasible")
        if status == self._statuses.kUnbounded:
            return _ended("unbounded")
        if status in (self._statuses.kTimeLimit, *self._early):
            has_plan = self._highs.getInfo().primal_solution_status == _FEASIBLE
            return self._found("feasible") if has_plan else self._without_plan()
        raise ResourceError(
            f"HiGHS gave up on a problem of {self._problem.rows.shape[0]} rows and {self._problem.gain.size} "
            f"columns ({self._highs.modelStatusToString(status)}); make it smaller, or its numbers more alike"
        )

    def _pass(self, gain: NDArray[np.float64]) -> None:
        problem, matrix = self._problem, csc_array(self._problem.rows)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        bounds = (problem.lower, problem.upper, problem.row_lower, problem.row_upper)
        starts, indices = (each.astype(np.int32) for each in (matrix.indptr[:-1], matrix.indices))
        coefficients = (starts, indices, matrix.data.astype(np.float64))
        sizes = (gain.size, matrix.shape[0], matrix.nnz)
        whole = problem.integer.astype(np.int32)
        status = self._highs.passModel(
            *sizes, _COLUMNWISE, _MAXIMISE, 0.0, gain, *bounds, *coefficients, whole
        )
        if status == type(status).kError:
            raise ConfigError(f"problem of {matrix.shape[0]} rows and {gain.size} columns: HiGHS refuses it")

    def _status(self) -> Any:
        """After a run. HiGHS keeps its threads for the next one and refuses another number until reset."""
        self._highs.run()
        if self._highs.getModelStatus() == self._statuses.kNotset:
            self._highs.resetGlobalScheduler(True)
            self._highs.run()
        return self._highs.getModelStatus()

    def _told_apart(self) -> Status:
        """Of a problem that is unbounded or infeasible: the former where any values satisfy all rows."""
        self._pass(np.zeros_like(self._problem.gain))
        status = self._status()
        if status == self._statuses.kInfeasible:
            return "infeasible"
        return "unbounded" if status == self._statuses.kOptimal else "none"

    def _found(self, status: Status) -> Solution:
        values = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        objective = float(self._problem.gain @ values)
        bound = self._bound() if self._is_mixed or status != "optimal" else objective
        is_priced = status == "optimal" and not self._is_mixed
        prices = np.array(self._highs.getSolution().row_dual) if is_priced else None
        return Solution(
            values=values,
            objective=objective,
            bound=max(bound, objective),
            status=status,
            row_prices=prices,
        )

    def _without_plan(self) -> Solution:
        return Solution(values=None, objective=-np.inf, bound=self._bound(), status="none")

    def _bound(self) -> float:
        """What HiGHS proved; of a linear problem that it did not end, nothing."""
        return float(self._highs.getInfo().mip_dual_bound) if self._is_mixed else np.inf
