"""The UDP socket of a process, and what processes of a pass agree about it."""

import resource
import socket
from typing import Final

from satqkd.errors import ResourceError
from satqkd.node.run_config import Role

ROLES: Final[dict[Role, int]] = {"satellite": 0, "station": 1}
REPEAT_S: Final = 0.25
"""Who hears nothing for so long says its last word again."""
RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
LARGEST_PACKET_BYTES: Final = 65_536


def bound_socket(host: str, port: int) -> socket.socket:
    """A UDP socket on an address. Raises ResourceError naming it when it is taken."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        line.bind((host, port))
    except OSError as error:
        line.close()
        raise ResourceError(
            f"UDP {host}:{port} cannot be taken ({error.strerror}); choose another port or end what holds it"
        ) from None
    return line


def used_resources() -> tuple[float, float]:
    """CPU time (s) and largest memory (MiB) of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
