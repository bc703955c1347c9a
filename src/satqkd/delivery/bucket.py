"""A rate limit for each application: a bucket of tokens that fills in time, one token a request.

The clock is an argument of each call: monotonic seconds.
"""

from typing import Final


class Buckets:
    """One bucket a name, full at first. Names are those of the settings, so there are few."""

    def __init__(self, *, requests_per_s: float, burst: int) -> None:
        self._rate_s: Final = requests_per_s
        self._burst: Final = float(burst)
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str, now_s: float) -> bool:
        """Take a token; False where none is left."""
        left, then_s = self._left.get(name, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._rate_s)
        enough = left >= 1.0
        self._left[name] = (left - 1.0 if enough else left, now_s)
        return enough
