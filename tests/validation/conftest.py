"""All published rows, computed once."""

import pytest

from satqkd.validation import Row, validate


@pytest.fixture(scope="session")
def published() -> list[Row]:
    """What `satqkd validate` gives without a loss curve."""
    return validate()
