"""Serve a bundle: the address, certificate and token are checked, then requests are answered until a signal."""

import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.application import LOCAL_HOSTS, Access, make_application
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.operation.bearer_token import read_token
from melstack.bundle.serving.request_queue import RequestQueue
from runtime.errors import InputFault
from runtime.exit_codes import StopSignal
from runtime.invocation import option
from runtime.progress import say

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

EVERY_ADDRESS = ("0.0.0.0", "::", "")
OPEN_FILES = 65_536  # connections and large uploads; every picture of a batch may be one


@dataclass(frozen=True)
class Listener:
    """Where the server listens, and how others reach it.

    ``address``: its URL for others behind a proxy, such as https://melstack.example.org; "": that of the socket.
    ``certificate`` and ``key_file`` (PEM) are for TLS.
    """

    host: str = LOCAL_HOSTS[0]
    port: int = 8000
    address: str = ""
    token_file: Path | None = None
    certificate: Path | None = None
    key_file: Path | None = None

    def check(self) -> str | None:
        """Return the token, None if none is needed; raise InputFault for a setting that is missing or wrong."""
        self._check_certificate()
        token, parts = read_token(self.token_file), urlsplit(self.address)
        if self.address and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/")):
            raise InputFault(f"address {self.address!r}: it must be the URL of this server, such as https://host:8443")
        if token is None and (self.address or not is_loopback(self.host)):
            where = f"address {self.address!r}" if self.address else f"host {self.host!r}"
            raise InputFault(
                f"{where}: other machines can reach the server, so it needs a token; name its file with "
                f"{option('token_file', 'token')} (`openssl rand -hex 32 > token` writes one)"
            )
        return token

    def url(self, port: int) -> str:
        """Return the address of the server that listens on ``port``, for others."""
        if self.address:
            return self.address.rstrip("/")
        host = LOCAL_HOSTS[0] if self.host in EVERY_ADDRESS else self.host
        return f"{'https' if self.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def host_names(self) -> tuple[str, ...]:
        """Return the host names under which requests are answered: all if the server is bound to every address."""
        if self.host in EVERY_ADDRESS:
            return ("*",)
        own = urlsplit(self.address).hostname
        return tuple({*LOCAL_HOSTS, self.host, *([own] if own else [])})

    def _check_certificate(self) -> None:
        if (self.certificate is None) != (self.key_file is None):
            names = f"{option('certificate', 'cert.pem')} and {option('key_file', 'key.pem')}"
            raise InputFault(f"TLS needs a certificate and its private key; give {names}, or none of them")
        if self.certificate is None or self.key_file is None:
            return
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                self.certificate, self.key_file, lambda: ""
            )
        except (OSError, ssl.SSLError) as error:
            raise InputFault(
                f"{self.certificate}, {self.key_file}: not a certificate and its private key without a password, in "
                f"PEM ({error})"
            ) from error


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; raise InputFault if the port cannot be opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InputFault(
            f"{host}:{port}: the port cannot be opened ({error.strerror}); if another program uses it, choose "
            f"another port ({option('port', 0)}: a free one)"
        ) from error


def serve(
    predictor: Predictor,
    limits: Limits,
    listener: Listener,
    *,
    keep: Path | None = None,
    log: IO[str] | None = None,
) -> None:
    """Serve ``predictor`` until Ctrl-C or SIGTERM; port 0: a free port. Only ``keep`` stores pictures.

    After the first signal, requests in flight are answered for ``limits.grace_seconds``, and the rest is refused; an
    end by signal is not an error. A second signal ends the process at once. Raises InputFault as ``Listener.check``
    and ``open_listener`` do.
    """
    token = listener.check()
    _allow_open_files()
    import uvicorn

    from melstack.bundle.serving.operation.connections import connection_class
    from melstack.bundle.serving.operation.page_server import PageServer

    with open_listener(listener.host, listener.port) as own_socket:
        address = listener.url(own_socket.getsockname()[1])
        queue = RequestQueue(predictor, limits, keep=keep)
        application = make_application(queue, limits, Access(listener.host_names(), address, token), log)
        # No access log: it would record which patients' files were requested. The page uses no web sockets.
        settings = uvicorn.Config(
            application,
            http=connection_class(limits.head_seconds),
            log_level="error",
            access_log=False,
            ws="none",
            server_header=False,
            ssl_certfile=listener.certificate,
            ssl_keyfile=listener.key_file,
        )
        say(f"{predictor.name}: {address} (stop with Ctrl-C); not a medical device")
        with suppress(StopSignal):
            PageServer(settings, limits.grace_seconds, queue.abort, queue.decoders.close).run(sockets=[own_socket])
    say(f"{predictor.name}: closed")


def _allow_open_files() -> None:
    """Raise the process's own limit of open files, often 1,024, as far as the system's limit allows."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
