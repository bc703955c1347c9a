"""The process that works under the shim: told on its standard input what to do, it forks for each run.

    {"folder": ..., "trace": ..., "seed": n, "steps": n, "mode": 1 kill or 2 fail, "at": n, "count": n,
    "error": n}

and answers {"code": exit code, "steps": how many file operations there were, "error": traceback or ""}.
"""

import ctypes
import os
import sys
import traceback
from pathlib import Path

import msgspec
from crash_work import Town

from satqkd.errors import Error

FAIL = 2


class Order(msgspec.Struct, frozen=True):
    """One run."""

    folder: str
    trace: str
    seed: int
    steps: int
    mode: int = 0
    at: int = 0
    count: int = 0
    error: int = 0


def _run(order: Order, shim: ctypes.CDLL, answer: int) -> None:
    words = (order.folder.encode(), order.trace.encode())
    shim.crash_begin(*words, order.mode, *map(ctypes.c_long, (order.at, order.count)), order.error)
    told, code = "", 0
    try:
        town = Town(Path(order.folder), order.seed)
        town.start()
        town.work(order.steps, failing=order.mode == FAIL)
        town.close()
    except Error as error:
        told, code = f"{type(error).__name__}: {error}", 3
    except BaseException:
        told, code = traceback.format_exc(), 1
    steps = shim.crash_steps()
    shim.crash_end()
    os.write(answer, msgspec.json.encode({"code": code, "steps": steps, "error": told}))
    os._exit(0)


def main() -> None:
    """Answer orders until there are no more."""
    shim = ctypes.CDLL(None)
    shim.crash_steps.restype = ctypes.c_long
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _run(order, shim, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            told = answer.read()
        _, status = os.waitpid(child, 0)
        dead = {"code": os.waitstatus_to_exitcode(status), "steps": 0, "error": ""}
        print((told or msgspec.json.encode(dead)).decode(), flush=True)


if __name__ == "__main__":
    main()
