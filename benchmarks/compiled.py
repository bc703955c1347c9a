"""A C++ yardstick compiled on the spot: into a folder that the caller owns, or a printed line that says why
not."""

import ctypes
import shutil
import subprocess
from pathlib import Path


def compiled(source: Path, folder: str) -> ctypes.CDLL | None:
    """The library of one source file, for the instruction set of this machine; None without a compiler, or
    where the source does not compile."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        print(f"no C++ compiler: {source.name} skipped")
        return None
    library = str(Path(folder) / f"{source.stem}.so")
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{source.name} does not compile here, skipped: {done.stderr[:200]}")
        return None
    return ctypes.CDLL(library)
