"""A port that stays free until it is listened at: outside the range from which systems take ports for connections."""

import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # of Linux: what connections are given, such as 32768 60999
USUAL_LOW = 32768  # where it starts elsewhere, or higher
LOWEST = 10_000  # below are the ports of well-known programs
TRIES = 200


def port_of(worker: str, workers: Sequence[str]) -> int:
    """Return a port that is free on this machine, and that none of the other ``workers`` on it can be given.

    Whoever asks lets it go before somebody listens at it. A port of the system's own range would then be taken at any
    moment by a connection that begins; and two workers of one machine that ask at once must not get the same.
    """
    rank, count = workers.index(worker), len(workers)
    free = random.SystemRandom()
    for _ in range(TRIES):
        port = free.randrange(LOWEST + rank, _end(), count)
        if is_free(port):
            return port
    raise ConnectionError(f"{worker}: none of {TRIES} ports from {LOWEST} to {_end()} is free")


def port_of_worker(workers: Sequence[str], dask_worker: Any) -> int:  # noqa: ANN401  Dask gives it under this name
    """Return ``port_of`` this worker."""
    return port_of(dask_worker.address, workers)


def is_free(port: int) -> bool:
    """Return whether one can listen at ``port`` now, on all addresses of this machine."""
    with socket.socket() as tried:
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True


def _end() -> int:
    low = int(RANGE.read_text().split()[0]) if RANGE.is_file() else USUAL_LOW
    # Where the system gives out nearly all ports, none is safe and one at random is as good as any.
    return low if low >= 2 * LOWEST else USUAL_LOW
