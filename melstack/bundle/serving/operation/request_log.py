"""A line of JSON per request, without pictures, file names or anything that the client sent as its own words."""

import json
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from melstack.bundle.serving.operation.measurements import Measurements
from runtime.errors import InputFault

ID_HEADER = "X-Request-ID"
OTHER_PATH = "other"  # of requests for paths that do not exist, which a client chooses
STANDARD_OUTPUT = Path("-")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def open_log(file: Path | None) -> IO[str] | None:
    """Return the log ``file`` opened to append; "-": standard output; raise InputFault if it cannot be opened."""
    if file is None or file == STANDARD_OUTPUT:
        return sys.stdout if file else None
    try:
        return file.open("a", encoding="utf-8")
    except OSError as error:
        raise InputFault(f"{file}: the log cannot be opened ({error.strerror}); name a file in a folder") from error


@dataclass(frozen=True)
class Observer:
    """An ASGI application that counts every request in ``measurements`` and writes it to ``log``, if there is one."""

    application: ASGIApp
    measurements: Measurements
    log: IO[str] | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the application, with an id in the header, and note it."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        start, identity, status, total = time.perf_counter(), secrets.token_hex(8), 500, 0

        async def count() -> Message:
            """Receive a part of the request and add its bytes."""
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            return message

        async def note(message: Message) -> None:
            """Send a part of the answer; note its status."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID_HEADER] = identity
            await send(message)

        try:
            await self.application(scope, count, note)
        finally:
            seconds = time.perf_counter() - start
            self._note(scope, status, seconds)
            self._write(
                {"id": identity, **_request(scope), "status": status, "seconds": round(seconds, 4), "bytes": total}
            )

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        request = _request(scope)
        self.measurements.requests.labels(request["path"], request["method"], str(status)).inc()
        self.measurements.seconds.labels(request["path"]).observe(seconds)

    def _write(self, values: dict[str, object]) -> None:
        if self.log is None:
            return
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **values})
        with self._lock:
            self.log.write(line + "\n")
            self.log.flush()


def _request(scope: Scope) -> dict[str, str]:
    """Return method and path of a request, as the server itself names them."""
    route = scope.get("route")
    method = scope["method"] if scope["method"] in METHODS else "other"
    return {"method": method, "path": str(getattr(route, "path", OTHER_PATH))}
