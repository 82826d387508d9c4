"""Access by a bearer token (RFC 6750), which every server that other machines can reach needs."""

import hmac
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from melstack.bundle.serving.refusals import Refusal, refusal_response
from runtime.errors import InputFault

SHORTEST = 20  # characters; `openssl rand -hex 32` writes 64
# The page itself holds facts of the model alone; the requests that it sends need the token.
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/livez", "/readyz"})
REFUSAL = Refusal(error="this server needs a token: send the header Authorization: Bearer TOKEN", where="Authorization")


def read_token(file: Path | None) -> str | None:
    """Return the token in ``file``, None without a file; raise InputFault for a missing, short or strange one."""
    if file is None:
        return None
    if not file.is_file():
        raise InputFault(f"{file}: no such file; `openssl rand -hex 32 > {file}` writes a token")
    token = file.read_text(encoding="utf-8", errors="replace").strip()
    if len(token) < SHORTEST or not (token.isascii() and token.isprintable()) or " " in token:
        raise InputFault(
            f"{file}: a token must be one line of at least {SHORTEST} characters without spaces, found {len(token)} "
            f"characters; `openssl rand -hex 32 > {file}` writes one"
        )
    return token


@dataclass(frozen=True)
class TokenMiddleware:
    """An ASGI application that refuses requests without ``token`` with 401, except those of OPEN_PATHS."""

    application: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._is_valid(scope):
            response = refusal_response(401, REFUSAL)
            response.headers["WWW-Authenticate"] = "Bearer"
            await response(scope, receive, send)
            return
        await self.application(scope, receive, send)

    def _is_valid(self, scope: Scope) -> bool:
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        # Takes the same time for every wrong token, so that the time tells no character of the right one.
        return kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())
