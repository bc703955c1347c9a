"""Campaigns with toy tasks that the tests share; tasks stand here so that other processes find them."""

import os
from pathlib import Path
from typing import Any

from planning import START

from satqkd.config import load
from satqkd.config.campaign import Campaign, CampaignSearch
from satqkd.plan.campaign import Grid, grid_of
from satqkd.plan.campaign_tasks import Answer
from satqkd.plan.network import Network

SCENARIO: dict[str, Any] = {
    "name": "small",
    "start_utc": START,
    "duration_days": 0.5,
    "satellite": [
        {"preset": "jinan-1", "pattern": "walker-delta", "altitude_km": 500, "inclination_deg": 97}
    ],
    "station": [{"presets": ["beijing", "stellenbosch"]}],
    "pair": [{"ends": ["beijing", "stellenbosch"]}],
    "service": {"setup_s": 60},
    "weather": {"default_clear": 0.5, "nearest_km": 1},
}
HEIGHTS = {"key": "satellite.0.altitude_km", "values": [500, 600]}
SETUPS = {
    "name": "setup",
    "option": [{"name": "as-is"}, {"name": "slow", "set": {"service": {"setup_s": 99}}}],
}


def grid(folder: Path = Path(), scenario: dict[str, Any] = SCENARIO, **tables: Any) -> Grid:
    """A campaign of a toy task, with tables laid over it."""
    campaign = {"name": "toys", "scenario": "small.toml", "task": "toy"} | tables
    return grid_of(load(campaign, Campaign, "tests").value, scenario, where="c.toml", folder=folder)


def toy(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """Numbers of many digits that depend on inputs alone."""
    height_m = network.satellites[0].orbit.altitude_m or 0.0
    return Answer(
        {"value": height_m / (7 + seed), "setup_s": network.service.setup_s},
        [{"pair": pair.name, "third": seed / 3} for pair in network.pairs],
    )


def fails_with_2(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """As `toy`, but for seed 2."""
    if seed == 2:
        raise ValueError("no luck with 2")
    return toy(network, seed, search)


def dies_with_2(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """As `toy`, but with seed 2 the process is gone."""
    if seed == 2:
        os._exit(9)
    return toy(network, seed, search)


def answers_a_set(network: Network, seed: int, search: CampaignSearch) -> Answer:
    """What no file can hold."""
    return Answer({"value": object()}, [])
