"""Tests of the page's server on loopback: many at once and none mixed up, strange requests, a clean end."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest
from PIL import Image

from melstack.bundle.serving.application import check_host, listening
from runtime.errors import InputFault
from tests.melstack.bundle.serving.doubles import SMALL, PageServer, bomb, expected, files, jpeg
from tests.sources import ROOT

JUNK = (
    "nan",
    "inf",
    "-inf",
    "1e308",
    "-5",
    "１２",
    "0x1F",
    "50 years",
    "\x00",
    "\ud7ff",
    "‮",
    "=1+1",
    "9" * 400,
    "torso" * 900,
)


@pytest.fixture(scope="module")
def running() -> Iterator[PageServer]:
    with PageServer(SMALL) as started:
        yield started


@pytest.mark.parametrize("requests", [20, pytest.param(200, marks=pytest.mark.full)])
def test_requests_at_once_are_all_answered_and_none_is_mixed_up(running: PageServer, requests: int) -> None:
    """Every request has shades and an age of its own, so that an answer to another one would be seen."""

    def ask(number: int) -> float:
        pictures = files(jpeg(number), jpeg(number + 20), names=(f"{number}.jpg", "other.jpg"))
        answered = client.post("/api/predict", files=pictures, data={"age": str(number % 90)})
        first, second = answered.json()["lesions"]
        assert (first["name"], first["picture"], second["picture"]) == (f"{number}.jpg", 0, 1)
        assert answered.json()["age"] == number % 90
        return float(first["probability"])

    every = httpx.Limits(max_connections=requests)
    with (
        httpx.Client(base_url=running.address, timeout=60, limits=every) as client,
        ThreadPoolExecutor(requests) as pool,
    ):
        found = list(pool.map(ask, range(requests)))
    assert found == pytest.approx([expected(number, number % 90) for number in range(requests)], abs=1e-4)


def test_requests_that_find_no_place_are_told_to_ask_again() -> None:
    with PageServer(SMALL.model_copy(update={"waiting": 1})) as narrow:
        with socket.create_connection(("127.0.0.1", narrow.port)) as slow:
            head = "POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
            slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
            time.sleep(0.2)
            refused = httpx.post(f"{narrow.address}/api/predict", files=files(jpeg()))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        for _ in range(50):
            answered = httpx.post(f"{narrow.address}/api/predict", files=files(jpeg()))
            if answered.status_code == 200:
                return
            time.sleep(0.02)
        pytest.fail("the place of a request that broke off is not free again")


def test_a_form_that_never_ends_is_given_up() -> None:
    head = "POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
    with (
        PageServer(SMALL.model_copy(update={"seconds": 0.2})) as hasty,
        socket.create_connection(("127.0.0.1", hasty.port), timeout=10) as slow,
    ):
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_body_without_a_length_is_cut_off_early(running: PageServer) -> None:
    """A stream of 400 MB is refused after some 600 kB: the client notices long before its end."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a.jpg"\r\n\r\n'
        for _ in range(4000):
            sent += 100_000
            yield bytes(100_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with httpx.Client(timeout=60) as client:
        refused = client.post(f"{running.address}/api/predict", content=endless(), headers=kind)
    assert refused.status_code == 413
    assert sent < 100_000_000
    assert good(running)


def good(running: PageServer) -> bool:
    answered = httpx.post(f"{running.address}/api/predict", files=files(jpeg(40)), timeout=60)
    return bool(answered.json()["lesions"][0]["probability"] == pytest.approx(expected(40), abs=1e-4))


def broken_picture(chance: random.Random) -> bytes:
    """Return something that is no sound picture within the limits."""
    whole = jpeg(chance.randrange(256), kind=chance.choice(["JPEG", "PNG"]))
    kinds = {
        "truncated": whole[: chance.randrange(len(whole) - 12)],
        "noise": chance.randbytes(chance.randrange(1, 3000)),
        "empty": b"",
        "magic": chance.choice([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(128) + b"DICM"]) + chance.randbytes(400),
        "bomb": bomb(chance.randrange(1_000, 2**31)),
        "other": chance.choice([b"GIF89a", b"%PDF-1.7", b"<svg/>", b"PK\x03\x04", b"RIFF"]) + chance.randbytes(50),
        "icon": small(),
        "deflated": deflated_dicom(),
    }
    return kinds[chance.choice(sorted(kinds))]


def small() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 3)).save(stream, "PNG")
    return stream.getvalue()


@cache
def deflated_dicom() -> bytes:
    """Return a DICOM of 20 MB of zeros, deflated to 20 kB."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    stream = io.BytesIO()
    write_file_meta_info(stream, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return bytes(128) + b"DICM" + stream.getvalue() + packer.compress(bytes(20_000_000)) + packer.flush()


def strange_request(chance: random.Random) -> dict[str, Any]:
    """Return a request with exactly one thing wrong."""
    pictures = files(jpeg(), names=(chance.choice(["a.jpg", "../../x", "a" * 3000, '"; x="', "\r\nX: y", "ü.jpg"]),))
    content = {"age": "50", "sex": "female", "site": "torso"}
    age = chance.choice(JUNK)
    many: dict[str, Any] = {"site": ["torso"] * chance.randrange(2, 60)}
    head = {
        "Content-Type": chance.choice(["text/plain", "multipart/form-data", "multipart/form-data; boundary=", "a/b; c"])
    }
    odd = f"multipart/form-data; boundary=x; charset={chance.choice(['idna', 'undefined', 'utf-16', 'base64', 'zlib'])}"
    body = b'--x\r\nContent-Disposition: form-data; name="age"\r\n\r\n\xff\xfe\xd8\x00..\xff\r\n--x--\r\n'
    return chance.choice(
        [
            {"files": files(broken_picture(chance)), "data": content},
            {"files": [*pictures, *files(broken_picture(chance))], "data": content},
            {"files": pictures, "data": content | {"age": age}},
            {"files": pictures, "data": content | {"sex": age}},
            {"files": pictures, "data": content | many},
            {"files": pictures, "data": {f"f{number}": "1" for number in range(chance.randrange(1, 50))}},
            {"files": files(*[jpeg()] * 9)},
            {"content": chance.randbytes(chance.randrange(3000)), "headers": head},
            {"content": chance.choice([body, body[:-30], body + body]), "headers": {"Content-Type": odd}},
        ]
    )


@pytest.mark.parametrize("requests", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_whatever_is_wrong_is_answered_with_a_sentence_and_the_server_goes_on(
    running: PageServer, requests: int
) -> None:
    chance, seen = random.Random(6), set()
    with httpx.Client(base_url=running.address, timeout=60) as client:
        for number in range(requests):
            request = strange_request(chance)
            answered = client.post(chance.choice(["/api/predict", "/api/predict.csv", "/api/predict.pdf"]), **request)
            told = (number, answered.status_code, answered.text[:300], str(request)[:300])
            assert 400 <= answered.status_code < 500, told
            assert len(answered.json()["error"]) > 10, told
            assert "Traceback" not in answered.text
            seen.add(answered.status_code)
            assert number % 50 or good(running)
    assert seen == {413, 415, 422}
    assert good(running)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET " + b"a" * 99_000 + b"\r\n\r\n"]
)
def test_what_is_no_request_at_all_ends_its_own_connection_only(running: PageServer, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000)[:12] in (b"HTTP/1.1 400", b"")
    assert good(running)


def test_a_server_that_is_asked_to_end_ends() -> None:
    with PageServer(SMALL) as started:
        assert good(started)
    assert not started.is_alive


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_page_that_is_asked_to_end_closes_and_that_is_no_fault(number: signal.Signals) -> None:
    code = (
        "from melstack.bundle.serving.application import serve; from runtime.exit_codes import run_command; "
        "from tests.melstack.bundle.serving.doubles import SMALL, DarknessPredictor; "
        "run_command(lambda: serve(DarknessPredictor(), SMALL, port=0))"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE, text=True
    ) as server:
        assert server.stdout is not None
        address = "http://" + server.stdout.readline().split("http://")[1].split()[0]
        until = time.monotonic() + 60
        while time.monotonic() < until and not listens(address):
            time.sleep(0.05)
        server.send_signal(number)
        said, faults = server.communicate(timeout=60)
    assert (server.returncode, faults) == (0, "")
    assert said.endswith(": closed\n")


def listens(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_another_host_is_refused_unless_it_is_asked_for_and_a_taken_port_is_said(running: PageServer) -> None:
    check_host("127.0.0.1", False)
    check_host("0.0.0.0", True)
    with pytest.raises(InputFault, match="no password"):
        check_host("0.0.0.0", False)
    with pytest.raises(InputFault, match="another page"):
        listening("127.0.0.1", running.port)


def test_nothing_listens_outside_this_machine(running: PageServer) -> None:
    table = Path("/proc/net/tcp")
    if not table.is_file():
        pytest.skip("no table of sockets on this system")
    place = f"{running.port:04X}"
    own = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address in own if address.endswith(f":{place}")] == [f"0100007F:{place}"]
