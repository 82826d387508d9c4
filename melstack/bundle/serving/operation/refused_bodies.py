"""The rest of a refused request is read before the refusal is sent, so that the client sees the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class DrainMiddleware:
    """An ASGI application that reads what a refused client still sends: at most ``most_bytes``, in ``seconds``.

    A client that is still sending when its connection is closed sees a reset instead of the answer. A client that
    waits for the word to continue (Expect: 100-continue) is answered at once.
    """

    application: ASGIApp
    most_bytes: int
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request through the application."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        is_open, is_begun = bool(names & {b"content-length", b"transfer-encoding"}), b"expect" not in names

        async def note_end() -> Message:
            """Receive a part of the request, and note whether it was the last."""
            nonlocal is_open, is_begun
            message = await receive()
            is_open, is_begun = bool(message.get("more_body", False)), True
            return message

        async def drain_first(message: Message) -> None:
            """Read the rest of the request before a refusal is sent."""
            if message["type"] == "http.response.start" and message["status"] >= 400 and is_begun:
                await self._drain(note_end, lambda: is_open)
            await send(message)

        await self.application(scope, note_end, drain_first)

    async def _drain(self, receive: Receive, is_open: Callable[[], bool]) -> None:
        total = 0
        try:
            async with asyncio.timeout(self.seconds):
                while is_open() and total < self.most_bytes:
                    total += len((await receive()).get("body", b""))
        except TimeoutError:
            return  # the client is too slow to be waited for
