"""Ask before any work whether a scheduler answers at its address; needs no Dask."""

import socket
from urllib.parse import urlsplit

from runtime.errors import InputFault

SECONDS = 3.0
SCHEDULER_PORT = 8786  # Dask's own, where an address has none
START_HINT = "start one with `dask scheduler` and give its address, such as tcp://host:8786"


def check_scheduler(address: str) -> None:
    """Raise InputFault if no program listens at ``address`` (PROTOCOL://HOST:PORT); wait 3 seconds at most."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or SCHEDULER_PORT
    except ValueError as error:
        raise InputFault(f"{address}: not an address ({error}), such as tcp://host:8786") from error
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise InputFault(f"no Dask scheduler answers at {address} ({error}); {START_HINT}") from error
