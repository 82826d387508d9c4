"""Tests of connections that break the rules: cut forms, heads that never end, refused bodies; and of the signals."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from subprocess import PIPE
from typing import Any

import httpx
import pytest

from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import SMALL, PageServer, files, jpeg
from tests.sources import ROOT

BODY = (
    b'--x\r\nContent-Disposition: form-data; name="age"\r\n\r\n50\r\n'
    b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a.jpg"\r\n\r\n' + jpeg() + b"\r\n--x--\r\n"
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer(SMALL.model_copy(update={"head_seconds": 1.0})) as page_server:
        yield page_server


def send(server: PageServer, content: bytes, length: int | None = None, kind: str = FORM["Content-Type"]) -> bytes:
    """Send the head of a form and ``content``, close that side, and return the answer."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: {length or len(content)}\r\n\r\n".encode() + content)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("cut", [len(BODY) - 3, len(BODY) - 8, len(BODY) - 60, 160, 90, 40, 3])
def test_a_form_that_is_cut_off_is_refused_where_ever_it_ends(server: PageServer, cut: int) -> None:
    assert send(server, BODY[:cut]).startswith(b"HTTP/1.1 400")
    assert send(server, BODY[:cut], len(BODY)).startswith(b"HTTP/1.1 400")
    assert send(server, BODY).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=y"]
)
def test_a_form_without_its_boundary_is_refused(server: PageServer, kind: str) -> None:
    assert send(server, BODY, kind=kind).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"filename*=UTF-8''m%C3%BCtter%20%E6%AF%8D.jpg", "mütter 母.jpg"),
        (b"filename=\"plain.jpg\"; filename*=iso-8859-1'de'm%FCtter.jpg", "mütter.jpg"),
        ('filename="母.jpg"'.encode(), "母.jpg"),
    ],
)
def test_encoded_file_names_are_read(server: PageServer, header: bytes, name: str) -> None:
    body = BODY.replace(b'filename="a.jpg"', header)
    answer = httpx.post(f"{server.address}/v1/predict", content=body, headers=FORM, timeout=20)
    assert answer.json()["lesions"][0]["name"] == name


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /"])
def test_a_head_that_never_ends_is_closed(server: PageServer, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(start)
        until = time.monotonic() + 15
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
        assert time.monotonic() < until
        assert b"408" in answers or b"200" in answers


def test_a_client_that_still_sends_sees_why_its_form_is_too_large(server: PageServer) -> None:
    body = BODY.replace(jpeg(), bytes(20_000_000))
    answer = send(server, body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"more than 0.4 MB" in answer


def start_server(limits: Limits, seconds: float) -> tuple[subprocess.Popen[str], str]:
    """Start a server whose predictor takes ``seconds``; return its process and its address."""
    code = f"""
import time
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.serve import Listener, serve
from runtime.exit_codes import run_command
from tests.melstack.bundle.serving.doubles import DarknessPredictor

class Slow(DarknessPredictor):
    def predict_scans(self, cases, scan_results):
        time.sleep({seconds})
        return super().predict_scans(cases, scan_results)

run_command(lambda: serve(Slow(), Limits.model_validate({limits.model_dump()}), Listener(port=0)))
"""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE, text=True
    )
    assert server.stdout is not None
    address = "http://" + server.stdout.readline().split("http://")[1].split()[0]
    until = time.monotonic() + 60
    while time.monotonic() < until and not listens(address):
        time.sleep(0.05)
    httpx.post(f"{address}/v1/predict", content=b"")  # the first request imports what the others need
    return server, address


def listens(address: str) -> bool:
    try:
        return httpx.get(f"{address}/livez").status_code == 200
    except httpx.TransportError:
        return False


def ask_soon(address: str, statuses: list[int]) -> threading.Thread:
    """Send a picture from a thread that adds the status of the answer, 0 for none, to ``statuses``."""

    def ask() -> None:
        try:
            statuses.append(httpx.post(f"{address}/v1/predict", files=files(jpeg()), timeout=60).status_code)
        except httpx.TransportError:
            statuses.append(0)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.full
@pytest.mark.parametrize(
    ("signals", "grace", "seconds", "code", "status"),
    [
        ([signal.SIGTERM], 20.0, 2.0, 0, 200),
        ([signal.SIGINT], 1.0, 5.0, 0, 503),
        ([signal.SIGTERM, signal.SIGTERM], 20.0, 30.0, 128 + signal.SIGTERM, 0),
    ],
    ids=["answers what is in flight", "refuses what takes longer", "ends at the second signal"],
)
def test_a_signal(signals: Any, grace: float, seconds: float, code: int, status: int) -> None:
    server, address = start_server(Limits(grace_seconds=grace), seconds)
    statuses: list[int] = []
    thread = ask_soon(address, statuses)
    time.sleep(1)
    for number in signals:
        server.send_signal(number)
        time.sleep(0.3)
    start = time.monotonic()
    output, errors = server.communicate(timeout=60)
    thread.join()
    assert time.monotonic() - start < 20
    assert (server.returncode, statuses) == (code, [status])
    assert "Traceback" not in errors + output
    assert (output.endswith(": closed\n"), errors == "") == (code == 0, code == 0)
