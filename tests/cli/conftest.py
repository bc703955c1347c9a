"""What tests of commands share."""

import pytest
from command import Command


@pytest.fixture
def satqkd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs commands."""
    return Command(capsys, monkeypatch)
