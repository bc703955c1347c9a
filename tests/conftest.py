"""What tests of several rooms share: one small pass, flown once."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from satqkd.randomness import stream_bytes
from toy_pass import Flight, fly_toy

settings.register_profile("tests", derandomize=True)
settings.register_profile("soak")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))
"""Examples are the same in every run; `make soak` draws new ones."""


@pytest.fixture(scope="session")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Flight:
    """The toy pass, seed 1, the satellite's random bytes from a named stream. Look, do not change."""
    folder: Path = tmp_path_factory.mktemp("flight")
    return fly_toy(folder, randbytes=stream_bytes(1, "tests", "satellite"))
