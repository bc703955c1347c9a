"""Counts of a key server, and their text for Prometheus. Numbers, operations and node names; no key."""

import resource
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from satqkd.exposition import Metric

BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
"""Upper edges of the histogram of times."""


class Counters:
    """What happened since the start."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """By operation and status."""
        self.keys: Counter[str] = Counter()
        """Handed out, by operation."""
        self.bits: Counter[str] = Counter()
        self.connections_refused = 0
        self.reloads: Counter[str] = Counter()
        """Of certificates, by outcome: `done`, `failed`."""
        self.log_lines_lost = 0
        self._times = [0] * (len(BUCKETS_S) + 1)
        self._time_s = 0.0

    def request(self, operation: str, status: int, duration_s: float, *, keys: int, bits: int) -> None:
        """One request that was answered."""
        self.requests[operation, status] += 1
        self._time_s += duration_s
        self._times[sum(duration_s > edge for edge in BUCKETS_S)] += 1
        if keys:
            self.keys[operation] += keys
            self.bits[operation] += bits

    def metrics(
        self, *, connections: int, waiting: int, available_bits: Mapping[str, int]
    ) -> Iterator[Metric]:
        """Everything that is told."""

        def one(name: str, kind: str, told: str, value: float) -> Metric:
            return Metric(f"satqkd_delivery_{name}", kind, told, [({}, float(value))])

        requests = [({"operation": name, "status": str(status)}, float(number)) for (name, status), number in
                    sorted(self.requests.items())]  # fmt: skip
        yield Metric("satqkd_delivery_requests_total", "counter", "Requests answered.", requests)
        yield self._by_operation("keys_total", "Keys handed out.", self.keys)
        yield self._by_operation("key_bits_total", "Bits of key handed out.", self.bits)
        available = [({"peer": node}, float(bits)) for node, bits in available_bits.items()]
        yield Metric("satqkd_delivery_available_bits", "gauge", "Key that could be drawn now.", available)
        yield from self._histogram()
        yield one("connections", "gauge", "Connections open.", connections)
        yield one(
            "connections_refused_total", "counter", "Closed at once, for too many.", self.connections_refused
        )
        yield one("waiting", "gauge", "Requests that wait for the store.", waiting)
        reloads = [({"outcome": name}, float(self.reloads[name])) for name in ("done", "failed")]
        yield Metric("satqkd_delivery_reloads_total", "counter", "Certificates read anew.", reloads)
        yield one("log_lines_lost_total", "counter", "Lines the disk did not take.", self.log_lines_lost)
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield one("process_cpu_seconds_total", "counter", "CPU time.", used.ru_utime + used.ru_stime)

    def _by_operation(self, name: str, told: str, counts: Counter[str]) -> Metric:
        samples = [({"operation": each}, float(number)) for each, number in sorted(counts.items())]
        return Metric(f"satqkd_delivery_{name}", "counter", told, samples)

    def _histogram(self) -> Iterator[Metric]:
        name, so_far = "satqkd_delivery_request_seconds", 0
        samples = []
        for edge, number in zip((*BUCKETS_S, float("inf")), self._times, strict=True):
            so_far += number
            samples.append(({"le": "+Inf" if edge == float("inf") else f"{edge:g}"}, float(so_far)))
        yield Metric(f"{name}_bucket", "counter", "Time of a request in the server, cumulative.", samples)
        yield Metric(f"{name}_sum", "counter", "Of all requests.", [({}, self._time_s)])
        yield Metric(f"{name}_count", "counter", "Of all requests.", [({}, float(so_far))])
