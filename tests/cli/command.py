"""The command line run in this process through `main`: exit codes and both streams are the real ones."""

import sys
from typing import NamedTuple

import pytest

from satqkd import cli


class Ended(NamedTuple):
    """How a command ended and what it said on both streams."""

    code: int
    out: str
    err: str


class Command:
    """`satqkd(...)` runs a command."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *words: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["satqkd", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = self._capsys.readouterr()
        return Ended(int(stop.value.code or 0), said.out, said.err)

    def refusal(self, code: int, *words: str) -> str:
        """The one line with which a command refuses; nothing on stdout."""
        got, out, err = self(*words)
        assert (got, out) == (code, "")
        lines = err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("satqkd: ")
        return lines[0]
