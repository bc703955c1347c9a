"""Statements that may fail, each recorded as it is made: what was seen, how likely it is wrong, what follows.

A bound counts beforehand how many it will make, for that decides how likely each may fail; more than that
raise, so that no statement is ever made for nothing. Knows tails, not photons.
"""

from typing import Any, TypeVar

from satqkd.errors import LocalProtocolError
from satqkd.security import tails

Number = TypeVar("Number", int, float)


class Statements:
    """One proof's statements, each failing with probability <= `epsilon`, at most `allowed` of them."""

    def __init__(self, *, allowed: int, epsilon: float) -> None:
        self.made: list[dict[str, Any]] = []
        """For each: `what` it says, `rule`, the numbers it was made from, `value`."""
        self.epsilon = epsilon
        self._allowed = allowed

    def mean_lower(self, what: str, count: float, trials: float) -> float:
        """An expectation from below; see `tails.mean_lower`."""
        value = tails.mean_lower(count, trials, epsilon=self.epsilon)
        return self._made(what, "mean at least", value, seen=count, of=trials)

    def mean_upper(self, what: str, count: float, trials: float) -> float:
        """An expectation from above; see `tails.mean_upper`."""
        value = tails.mean_upper(count, trials, epsilon=self.epsilon)
        return self._made(what, "mean at most", value, seen=count, of=trials)

    def binomial_lower(self, what: str, trials: int, probability: float) -> int:
        """A binomial number from below; see `tails.binomial_lower`."""
        value = tails.binomial_lower(trials, probability, epsilon=self.epsilon)
        return self._made(what, "binomial at least", value, of=trials, probability=probability)

    def binomial_upper(self, what: str, trials: int, probability: float) -> int:
        """A binomial number from above; see `tails.binomial_upper`."""
        value = tails.binomial_upper(trials, probability, epsilon=self.epsilon)
        return self._made(what, "binomial at most", value, of=trials, probability=probability)

    def trials_upper(self, what: str, seen: int, probability: float) -> int:
        """Trials of which so few succeeded, from above; see `tails.trials_upper`."""
        value = tails.trials_upper(seen, probability=probability, epsilon=self.epsilon)
        return self._made(what, "trials at most", value, seen=seen, probability=probability)

    def phase_errors_upper(self, what: str, errors: int, test_rounds: int, key_rounds: int) -> int:
        """Errors unseen in key rounds, from above; see `tails.phase_errors_upper`."""
        value = tails.phase_errors_upper(errors, test_rounds, key_rounds, epsilon=self.epsilon)
        return self._made(
            what, "unseen errors at most", value, seen=errors, of=test_rounds, unseen=key_rounds
        )

    def _made(self, what: str, rule: str, value: Number, **numbers: float) -> Number:
        if len(self.made) == self._allowed:
            raise LocalProtocolError(
                f"statement {what!r}: {self._allowed} were budgeted and are made; count it in the budget"
            )
        self.made.append({"what": what, "rule": rule, **numbers, "value": value})
        return value
