"""Connections that cannot be held open for nothing: the head of a request has a time limit, a cut body an answer."""

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LATE_HEAD = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def connection_class(head_seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's connection, with ``head_seconds`` for the head of each request.

    uvicorn itself limits only the pause between two requests: a head that never ends would stay open for ever.
    """

    class Connection(H11Protocol):
        """A connection that is closed when a head is late, and that answers a client which has closed its side."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            """Wait for the first head."""
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            """Stop the timer when a head is complete; start it with the first byte of another one."""
            super().data_received(data)
            if self._is_answering():
                self._stop_timer()
            elif self._timer is None:
                self._await_head()

        def eof_received(self) -> Any:  # noqa: ANN401  asyncio's own type
            """End a body that is cut off, so that it gets its answer; uvicorn would drop the connection."""
            if not self._is_answering():
                return None
            self.cycle.keep_alive = False
            if self.cycle.more_body:
                self.cycle.more_body = False
                self.cycle.message_event.set()
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop the timer."""
            self._stop_timer()
            super().connection_lost(exc)

        def _is_answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _await_head(self) -> None:
            self._timer = self.loop.call_later(head_seconds, self._end)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self) -> None:
            self._timer = None
            if self._is_answering() or self.transport.is_closing():
                return
            if self.conn.our_state is h11.IDLE and self.conn.their_state is h11.IDLE:
                self.transport.write(LATE_HEAD)
            self.transport.close()

    return cast(type[asyncio.Protocol], Connection)
