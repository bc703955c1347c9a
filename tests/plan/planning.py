"""Scenarios that the tests of planning share."""

from pathlib import Path
from typing import Any

from satqkd.config import Scenario, load
from satqkd.plan.network import Network, network_of

START = "2024-10-03T12:00:00Z"


def network(folder: Path = Path(), **tables: Any) -> Network:
    """A small scenario of a day, with tables laid over it."""
    scenario: dict[str, Any] = {
        "name": "small",
        "start_utc": START,
        "duration_days": 1,
        "satellite": [{"preset": "jinan-1"}],
        "station": [{"presets": ["beijing", "stellenbosch"]}],
        "pair": [{"ends": ["beijing", "stellenbosch"]}],
    } | tables
    return network_of(load(scenario, Scenario, "tests").value, folder)
