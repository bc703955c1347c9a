"""A node's snapshot as Prometheus metrics, base units in the names.

Numbers of the snapshot alone; names and labels of peers are the only text.
"""

from collections.abc import Iterator
from typing import Final

from satqkd.exposition import Labels, Metric, text
from satqkd.node.board import NodeStatus

STATES: Final = ("starting", "waiting", "in_pass", "finished", "stopped", "failed")


def exposition(status: NodeStatus) -> str:
    """The whole text of `/metrics`."""
    return text(metrics(status))


def metrics(status: NodeStatus) -> Iterator[Metric]:
    """Everything that is told; what is not known has no sample."""
    me = {"node": status.node, "role": status.role}

    def one(name: str, kind: str, told: str, value: float | None) -> Metric:
        return Metric(f"satqkd_{name}", kind, told, [] if value is None else [(me, float(value))])

    yield Metric(
        "satqkd_node_state",
        "gauge",
        "1 for the state the node is in.",
        [(me | {"state": state}, float(state == status.state)) for state in STATES],
    )
    yield one("pass_time_seconds", "gauge", "Pass time of the last tick.", status.t_s)
    yield one("clock_locked", "gauge", "Whether the station follows the clock.", status.clock_locked)
    yield one("detections_total", "counter", "Detections of the pass so far.", status.detections)
    yield one(
        "sifted_bits_total", "counter", "Sifted bits of the pass's finished blocks.", status.sifted_bits
    )
    yield one("error_bits_total", "counter", "Errors among them.", status.errors)
    yield one("qber_ratio", "gauge", "Error rate of finished blocks.", status.qber)
    yield one("blocks_open", "gauge", "Blocks under way.", _open(status))
    yield from _keys(status, me)
    yield one(
        "link_sent_bytes_total", "counter", "Sent in this pass, repetitions included.", status.link.bytes
    )
    yield one("link_sent_frames_total", "counter", "Frames sent in this pass.", status.link.frames)
    yield one("link_lost_frames_total", "counter", "Frames found lost in this pass.", status.link.lost)
    yield one("link_resent_frames_total", "counter", "Frames sent again in this pass.", status.link.resent)
    yield one("link_rejected_frames_total", "counter", "Frames refused in this pass.", status.link.rejected)
    yield one("link_goodput_bits_per_second", "gauge", "Repetitions left out.", status.goodput_bit_s)
    yield one("link_backlog_bytes", "gauge", "Not yet acknowledged.", status.backlog_bytes)
    yield one("process_resident_memory_bytes", "gauge", "Memory now.", status.rss_mib * 2**20)
    yield one("process_cpu_seconds_total", "counter", "CPU time of the process.", status.cpu_s)


def _open(status: NodeStatus) -> int:
    return sum(block.outcome is None for block in status.blocks)


def _keys(status: NodeStatus, me: Labels) -> Iterator[Metric]:
    told = (
        ("key_confirmed_bits", "Unused key that both ends hold.", "confirmed_bits"),
        ("key_unconfirmed_bits", "Key not yet known to be held by the peer.", "unconfirmed_bits"),
        ("authentication_key_bits", "Unused authentication key.", "authentication_bits"),
        ("authentication_key_passes", "Passes it lasts for.", "authentication_passes"),
    )
    for name, words, field in told:
        samples = [(me | {"peer": row.peer}, float(getattr(row, field))) for row in status.keys]
        yield Metric(f"satqkd_{name}", "gauge", words, samples)
