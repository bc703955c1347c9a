"""Fixtures of the devices room."""

import pytest
from devices_models import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
