"""A node that pushes and is killed, by itself, at a call of its key server: a process for the tests.

python pushing.py STORE URL CERT KEY CA CALL before|after
"""

import os
import signal
import sys
import uuid

from satqkd.delivery.push_client import PushClient
from satqkd.keys import KeyStore
from satqkd.keys.push.sending import push_blocks

NOW = "2026-01-02T03:04:05Z"


class Deadly(PushClient):
    """Kills this process at its n-th request: before it is sent, or after its answer came."""

    left, after = 0, False

    def arm(self, call: int, *, after: bool) -> None:
        self.left, self.after = call, after
        ask = self._line.ask

        def deadly(method: str, path: str, body: bytes | None = None) -> bytes:
            self.left -= 1
            if self.left < 0 and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = ask(method, path, body)
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        self._line.ask = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    path, url, cert, key, ca, call, when = sys.argv[1:]
    with KeyStore.open(path) as store, Deadly(url, cert=cert, key=key, ca=ca) as line:
        line.arm(int(call), after=when == "after")
        push_blocks(store, line, new_id=lambda: str(uuid.uuid4()), now_utc=lambda: NOW)
