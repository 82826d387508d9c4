"""uvicorn's server with an end of its own: requests in flight have a stated time, a second signal ends it at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

AFTER_ABORT = 5.0  # seconds for refused requests to be sent


class PageServer(uvicorn.Server):
    """A server that calls ``abort`` some ``grace_seconds`` after the first signal, and ends the process at the second.

    ``abort`` refuses the requests that wait; ``end_workers`` kills the processes of the server.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        grace_seconds: float,
        abort: Callable[[], object],
        end_workers: Callable[[], object],
    ) -> None:
        config.timeout_graceful_shutdown = round(grace_seconds + AFTER_ABORT)
        super().__init__(config)
        self._grace_seconds, self._abort, self._end_workers = grace_seconds, abort, end_workers

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests at the first signal; end the process at the second, with exit code 128 + its number."""
        if self.should_exit:
            self._end_workers()
            print(f"stopped at once by {signal.Signals(sig).name}: open requests are dropped", file=sys.stderr)
            os._exit(128 + sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: object = None) -> None:
        """Answer what is in flight for the time of grace, refuse the rest, and close the application."""
        timer = asyncio.get_running_loop().call_later(self._grace_seconds, self._abort)
        await super().shutdown(sockets)  # type: ignore[arg-type]  # as uvicorn's
        timer.cancel()
