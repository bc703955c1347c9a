"""Names of files on the disk: a new file whose folder is not synced may be gone after a power cut."""

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """Wait until the name of a file is on the disk. Raises OSError."""
    descriptor = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
