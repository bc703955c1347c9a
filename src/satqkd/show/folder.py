"""The report of a folder, whichever it is: a demo's, or a single pass'."""

from pathlib import Path
from typing import Any

import msgspec

from satqkd.errors import DataFormatError
from satqkd.show.files import read_pass
from satqkd.show.report import pass_report, write_report

DEMO_FILE = "demo.json"


def report_of_folder(folder: Path) -> Path:
    """Write pictures and `report.html` of a folder of `pass --out` or `demo --out`; returns the HTML file.

    Raises DataFormatError for a folder that is neither, ResourceError when it cannot be written.
    """
    demo_file = folder / DEMO_FILE
    if not demo_file.exists():
        return pass_report(folder)
    try:
        demo: dict[str, Any] = msgspec.json.decode(demo_file.read_bytes(), type=dict[str, Any])
        folders = [folder / str(each["station"]) for each in demo["passes"]]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise DataFormatError(f"{demo_file}: expected what `satqkd demo` writes, got {error}") from None
    return write_report(folder, demo, [read_pass(each) for each in folders])
