"""`satqkd status`: the state of a running node, asked on its local port."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from satqkd.cli.common import Json, print_json, print_table
from satqkd.errors import ConfigError

if TYPE_CHECKING:
    from satqkd.node import NodeStatus


def status(
    config: Annotated[Path | None, typer.Argument(help="Run file whose local ports are asked.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Local port of the node, instead of a file.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask running nodes for their state: pass time, blocks, key, link, memory."""
    from satqkd.node.ask import ask_status, local_ports

    if (config is None) == (port is None):
        raise ConfigError("status: expected a run file or --port, one of the two")
    ports = [port] if config is None else local_ports(config)
    found = [ask_status(each) for each in ports if each is not None]
    if json:
        print_json(found[0] if port is not None else found)
        return
    for each in found:
        _tell(each)


def _tell(status: "NodeStatus") -> None:
    rows = [
        ("state", status.state),
        ("snapshot of", status.utc),
        ("pass", status.pass_id),
        ("peer", status.peer),
        ("pass time (s)", status.t_s),
        ("clock followed", _yes_no(status.clock_locked)),
        ("detections", status.detections),
        ("sifted (bit)", status.sifted_bits),
        ("QBER of finished blocks", None if status.qber is None else f"{status.qber:.4f}"),
        ("link: sent (bytes)", status.link.bytes),
        ("link: lost, resent, rejected (frames)", _three(status)),
        ("link: goodput (bit/s)", round(status.goodput_bit_s)),
        ("link: backlog (bytes)", status.backlog_bytes),
        ("peer: blocks finished, key (bit), backlog (bytes)", _peer(status)),
        ("memory (MiB)", status.rss_mib),
        ("CPU (s)", status.cpu_s),
        ("next pass", status.next_pass_utc),
        ("last error", status.last_error),
    ]
    print_table(f"{status.role} {status.node}", ("what", "value"), rows)
    blocks = [(row.block, row.stage, row.entered_s, row.outcome, row.secret_bits) for row in status.blocks]
    if blocks:
        print_table("blocks", ("block", "stage", "since (s)", "outcome", "secret (bit)"), blocks)
    keys = [
        (
            row.peer,
            row.confirmed_bits,
            row.unconfirmed_bits,
            row.authentication_bits,
            row.authentication_passes,
        )
        for row in status.keys
    ]
    if keys:
        header = ("peer", "key (bit)", "unconfirmed (bit)", "authentication (bit)", "lasts (passes)")
        print_table("key", header, keys)


def _three(status: "NodeStatus") -> str:
    return f"{status.link.lost}, {status.link.resent}, {status.link.rejected}"


def _peer(status: "NodeStatus") -> str | None:
    told = status.peer_telemetry
    return None if told is None else f"{told.blocks_finished}, {told.secret_bits}, {told.backlog_bytes}"


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
