"""Counts and times of the server in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120)  # upper ends of the histogram's bins


class Measurements:
    """What one server counts: requests by path and status, their seconds, pictures, killed decoders."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        names = ["path", "method", "status"]
        self.requests = Counter("melstack_requests", "requests that were answered", names, registry=registry)
        self.seconds = Histogram(
            "melstack_request_seconds", "from head to answer", ["path"], buckets=SECONDS, registry=registry
        )
        self.pictures = Counter("melstack_pictures", "pictures that were predicted", registry=registry)
        self.kills = Counter(
            "melstack_decoders_killed", "decoding processes that were replaced", ["reason"], registry=registry
        )
        self.waiting = Gauge(
            "melstack_requests_waiting", "requests that are read, wait or are computed", registry=registry
        )
        self.ready = Gauge("melstack_ready", "1: the server takes requests", registry=registry)

    def text(self) -> str:
        """Return all values in the text format of Prometheus."""
        return generate_latest(self._registry).decode()
