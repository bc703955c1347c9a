"""Runs under the shim for the tests of crashes: compiled where there is a C compiler, else skipped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from crash_states import Disk, read_trace
from crash_work import Mark, make_folders, read_marks

HERE = Path(__file__).parent
KILL, FAIL = 1, 2


class Workers:
    """The process that works under the shim."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("a C compiler and Linux are needed to record what is done to files")
        library = folder / "crash_shim.so"
        words = [
            compiler,
            "-O1",
            "-shared",
            "-fPIC",
            "-o",
            str(library),
            str(HERE / "crash_shim.c"),
            "-lpthread",
        ]
        subprocess.run(words, check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "crash_child.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, seed: int, steps: int, **more: int) -> dict[str, Any]:
        """Work in a folder, which is made when it is not there; its trace grows beside it."""
        if not folder.exists():
            make_folders(folder)
        order = {"folder": str(folder), "trace": f"{folder}.trace", "seed": seed, "steps": steps, **more}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = msgspec.json.decode(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Crashes:
    """The states of the disk that power cuts during a trace may leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = read_trace(Path(f"{folder}.trace"))
        self.disk, self.marks, self.at = Disk(), b"", 0

    def forward(self, at: int) -> None:
        """Go on to a place in the trace."""
        for step in self.steps[self.at : at]:
            if step.path.endswith("/marks"):
                self.marks += step.data
            else:
                self.disk.do(step)
        self.at = at

    def known(self) -> list[Mark]:
        """What was said so far."""
        return read_marks(self.marks)

    def lay_out(self, where: Path, files: dict[str, bytes]) -> None:
        """Write a state of the disk somewhere."""
        shutil.rmtree(where, ignore_errors=True)
        make_folders(where)
        for path, content in files.items():
            (where / Path(path).relative_to(self.folder)).write_bytes(content)
