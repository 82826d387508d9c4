"""Run the page on this machine."""

import socket
from contextlib import suppress
from pathlib import Path

from bundle.predicted import Predictor
from bundle.serving.application import HOSTS, make_application
from bundle.serving.limits import Limits
from features.endings import Stopped
from features.faults import InputFault
from features.progress import say


def serve(
    predictor: Predictor,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    open_to_others: bool = False,
    keep: Path | None = None,
) -> None:
    """Serve the page of ``predictor`` until Ctrl-C or SIGTERM; port 0 takes a free one. Only ``keep`` gets pictures.

    What is being answered then is answered; to be asked to end is no fault.

    The page has no password: who reaches it may use it. So InputFault is raised for another host than this machine
    unless it is ``open_to_others``; and for a port that is taken.
    """
    check_host(host, open_to_others)
    import uvicorn

    with listening(host, port) as listener:
        application = make_application(predictor, limits, hosts=_hosts(host), keep=keep)
        # Web sockets are not spoken; the access log would name what patients' files were asked for.
        settings = uvicorn.Config(application, log_level="warning", access_log=False, ws="none", server_header=False)
        address = f"http://{host}:{listener.getsockname()[1]}"
        say(f"{predictor.name}: {address} (Ctrl-C ends it); not a medical device")
        with suppress(Stopped):
            uvicorn.Server(settings).run(sockets=[listener])
    say(f"{predictor.name}: closed")


def check_host(host: str, open_to_others: bool) -> None:
    """Raise InputFault unless ``host`` is this machine, or the page is to be ``open_to_others``."""
    if host not in HOSTS and not open_to_others:
        raise InputFault(
            f"host {host!r}: the page has no password, so it is bound to {HOSTS[0]}; to let others use it, say so "
            "(--open-to-others)"
        )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; raise InputFault where that is not possible."""
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise InputFault(f"{host}:{port} cannot be listened on ({error.strerror}); is another page served?") from error


def _hosts(host: str) -> tuple[str, ...]:
    """Return the names under which requests are answered: any where the page is bound to every address."""
    return ("*",) if host in ("0.0.0.0", "") else tuple({*HOSTS, host})
