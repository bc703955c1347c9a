"""Prometheus text exposition, format 0.0.4: metrics with their samples as the text of `/metrics`.

Knows no node and no server. Format: prometheus.io/docs/instrumenting/exposition_formats.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Labels = dict[str, str]


class Metric(NamedTuple):
    """One metric with its samples."""

    name: str
    kind: str
    """`gauge` or `counter`."""
    help: str
    samples: list[tuple[Labels, float]]


def text(metrics: Iterable[Metric]) -> str:
    """The whole text."""
    return "".join(_text(metric) for metric in metrics)


def _text(metric: Metric) -> str:
    head = f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
    return head + "".join(f"{metric.name}{_pairs(labels)} {value!r}\n" for labels, value in metric.samples)


def _pairs(labels: Labels) -> str:
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
