"""The security rules for every page: requests of other origins are refused; pages only load from this server."""

import base64
import hashlib
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from melstack.bundle.serving.refusals import Refusal, refusal_response


def content_policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy that allows only this inline ``style`` and ``script``.

    Pictures must be data: or blob: URLs, and the page may send requests to this server only.
    """
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@dataclass(frozen=True)
class SecurityMiddleware:
    """An ASGI application that refuses requests of pages of other origins and sets security headers on all answers."""

    application: ASGIApp
    policy: str
    address: str = ""  # of the server for others, if it is behind a proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it with 403."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            """Send ``message``, with the security headers if it starts the answer."""
            if message["type"] == "http.response.start":
                self._set_headers(MutableHeaders(scope=message))
            await send(message)

        if _is_cross_origin(scope, self.address):
            sentence = "the request comes from a page of another origin; open the page of this server and use that"
            await refusal_response(403, Refusal(error=sentence, where="Origin"))(scope, receive, send_with_headers)
            return
        await self.application(scope, receive, send_with_headers)

    def _set_headers(self, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = self.policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"


def _is_cross_origin(scope: Scope, address: str) -> bool:
    """Return whether a browser sent the request for a page of another origin (an opaque origin is "null").

    Programs other than browsers send no Origin header.
    """
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin not in (None, address, f"{scope['scheme']}://{headers.get('host', '')}")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
