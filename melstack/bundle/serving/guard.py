"""What stands before every page: other origins are refused, and no page may load from or send to elsewhere."""

import base64
import hashlib
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from melstack.bundle.serving.refusals import Refusal, refusal_response


def content_policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy under which only this ``style`` and ``script`` within a page are used.

    Pictures stand in the page or are made by it; it can ask this server alone.
    """
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@dataclass(frozen=True)
class Guard:
    """An ASGI application that refuses what pages of other origins ask of ``application`` and sets security headers."""

    application: ASGIApp
    policy: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(MutableHeaders(scope=message))
            await send(message)

        if _is_foreign(scope):
            refusal = Refusal(error="asked by a page of another origin", where="Origin")
            await refusal_response(403, refusal)(scope, receive, send_guarded)
            return
        await self.application(scope, receive, send_guarded)

    def _mark(self, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = self.policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"


def _is_foreign(scope: Scope) -> bool:
    """Tell whether a browser says that another origin asks; programs say nothing, and an opaque origin is "null"."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin is not None and origin != f"{scope['scheme']}://{headers.get('host', '')}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
