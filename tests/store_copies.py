"""Copies of key stores, with what lies beside them."""

import shutil
from pathlib import Path


def copy_store(store: Path, copy: Path) -> None:
    """A closed store's file, key file and use log."""
    for suffix in ("", ".key", ".uses"):
        shutil.copy(f"{store}{suffix}", f"{copy}{suffix}")
