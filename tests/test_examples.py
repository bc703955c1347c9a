"""Each script of `examples/` runs, prints numbers and saves the figure it is given."""

import subprocess
import sys
from pathlib import Path

import pytest

FEEDERS = ("feeders.py", "strongswan_ppk.py", "wireguard_psk.py")
"""Programs that draw no figure; tests/keys/test_feeders.py has them."""
EXAMPLES = sorted(
    path for path in (Path(__file__).parent.parent / "examples").glob("*.py") if path.name not in FEEDERS
)


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_draws(script: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    done = subprocess.run(
        [sys.executable, str(script), str(figure)], capture_output=True, text=True, check=True
    )
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert any(word.replace(".", "").isdigit() for word in done.stdout.split())
