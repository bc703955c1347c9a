"""Asking a running node for its snapshot on loopback."""

import http
import http.client
from pathlib import Path

import msgspec

from satqkd.errors import ConfigError, DataFormatError, LinkError
from satqkd.node.board import NodeStatus
from satqkd.node.local_server import LOOPBACK
from satqkd.node.run_config import read_run_config

TIMEOUT_S = 5.0


def ask_status(port: int) -> NodeStatus:
    """The snapshot of the node whose local port this is.

    Raises LinkError when nobody or another answers, DataFormatError when a node of another version does.
    """
    line = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
    try:
        line.request("GET", "/status")
        answer = line.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException):
        raise LinkError(
            f"TCP {LOOPBACK}:{port}: no node tells its state here; start one with this local port, or ask "
            f"another"
        ) from None
    finally:
        line.close()
    if answer.status != http.HTTPStatus.OK:
        raise LinkError(
            f"TCP {LOOPBACK}:{port}: expected a node's state, got HTTP {answer.status}; ask again"
        )
    try:
        return msgspec.json.decode(data, type=NodeStatus)
    except msgspec.DecodeError as error:
        raise DataFormatError(
            f"TCP {LOOPBACK}:{port}/status: expected the state of a node of this version ({error})"
        ) from None


def local_ports(path: Path) -> list[int]:
    """Local ports that a run file gives. Raises ConfigError when it gives none."""
    config = read_run_config(path)
    ports = [port for port in (config.local_port_satellite, config.local_port_station) if port is not None]
    if not ports:
        raise ConfigError(
            f"{path}: expected local_port_satellite or local_port_station, got neither; add one and start "
            f"the nodes again"
        )
    return ports
