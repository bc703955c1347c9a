"""`satqkd report`: the self-contained page of a pass or demo folder."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import say


def report(
    directory: Annotated[Path, typer.Argument(help="Folder of `pass --out` or `demo --out`.")],
) -> None:
    """Write report.html and its pictures from a folder's files."""
    from satqkd.show import report_of_folder

    say(f"written: {report_of_folder(directory)}")
