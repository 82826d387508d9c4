"""Tests of the page's server on loopback: simultaneous requests, invalid requests, a clean end."""

import io
import random
import socket
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from melstack.bundle.serving.serve import Listener, open_listener
from runtime.errors import InputFault
from tests.melstack.bundle.serving.doubles import SMALL, PageServer, bomb, expected_probability, files, jpeg

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
def server() -> Iterator[PageServer]:
    with PageServer(SMALL) as page_server:
        yield page_server


@pytest.mark.parametrize("requests", [20, pytest.param(200, marks=pytest.mark.full)])
def test_simultaneous_requests_each_get_their_own_answer(server: PageServer, requests: int) -> None:
    """Every request has its own shades and age, so that an answer to another request would be noticed."""

    def first_probability(number: int) -> float:
        pictures = files(jpeg(number), jpeg(number + 20), names=(f"{number}.jpg", "other.jpg"))
        response = client.post("/v1/predict", files=pictures, data={"age": str(number % 90)})
        first, second = response.json()["lesions"]
        assert (first["name"], first["picture"], second["picture"]) == (f"{number}.jpg", 0, 1)
        assert response.json()["age"] == number % 90
        return float(first["probability"])

    limits = httpx.Limits(max_connections=requests)
    with (
        httpx.Client(base_url=server.address, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(requests) as pool,
    ):
        probabilities = list(pool.map(first_probability, range(requests)))
    expected = [expected_probability(number, number % 90) for number in range(requests)]
    assert probabilities == pytest.approx(expected, abs=1e-4)


def test_a_full_queue_refuses_requests_with_retry_after() -> None:
    with PageServer(SMALL.model_copy(update={"waiting": 1})) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            head = "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
            slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
            time.sleep(0.2)
            refusal = httpx.post(f"{server.address}/v1/predict", files=files(jpeg()))
            assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "10")
        for _ in range(50):
            response = httpx.post(f"{server.address}/v1/predict", files=files(jpeg()))
            if response.status_code == 200:
                return
            time.sleep(0.02)
        pytest.fail("the place of an aborted request has not been released")


def test_an_incomplete_form_is_refused_after_the_time_limit() -> None:
    head = "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
    with (
        PageServer(SMALL.model_copy(update={"seconds": 0.2})) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow,
    ):
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_body_without_length_is_refused_when_it_passes_the_limit(server: PageServer) -> None:
    """A stream of 400 MB is refused after some 600 kB, and the client notices before it has sent 100 MB."""
    sent_bytes = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent_bytes
        yield b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a.jpg"\r\n\r\n'
        for _ in range(4000):
            sent_bytes += 100_000
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with httpx.Client(timeout=60) as client:
        refusal = client.post(f"{server.address}/v1/predict", content=endless(), headers=headers)
    assert refusal.status_code == 413
    assert sent_bytes < 100_000_000
    assert answers_correctly(server)


def answers_correctly(server: PageServer) -> bool:
    response = httpx.post(f"{server.address}/v1/predict", files=files(jpeg(40)), timeout=60)
    return bool(response.json()["lesions"][0]["probability"] == pytest.approx(expected_probability(40), abs=1e-4))


def invalid_picture(chance: random.Random) -> bytes:
    """Return bytes that are not a valid picture within the limits."""
    whole = jpeg(chance.randrange(256), kind=chance.choice(["JPEG", "PNG"]))
    kinds = {
        "truncated": whole[: chance.randrange(len(whole) - 12)],
        "noise": chance.randbytes(chance.randrange(1, 3000)),
        "empty": b"",
        "magic": chance.choice([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(128) + b"DICM"]) + chance.randbytes(400),
        "bomb": bomb(chance.randrange(1_000, 2**31)),
        "other": chance.choice([b"GIF89a", b"%PDF-1.7", b"<svg/>", b"PK\x03\x04", b"RIFF"]) + chance.randbytes(50),
        "icon": tiny_png(),
        "deflated": deflated_dicom(),
    }
    return kinds[chance.choice(sorted(kinds))]


def tiny_png() -> bytes:
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


def invalid_request(chance: random.Random) -> dict[str, Any]:
    """Return a request with exactly one error."""
    pictures = files(jpeg(), names=(chance.choice(["a.jpg", "../../x", "a" * 3000, '"; x="', "\r\nX: y", "ü.jpg"]),))
    content = {"age": "50", "sex": "female", "site": "torso"}
    text = chance.choice(JUNK)
    many_sites: dict[str, Any] = {"site": ["torso"] * chance.randrange(2, 60)}
    content_type = chance.choice(["text/plain", "multipart/form-data", "multipart/form-data; boundary=", "a/b; c"])
    charset = chance.choice(["idna", "undefined", "utf-16", "base64", "zlib"])
    with_charset = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    body = b'--x\r\nContent-Disposition: form-data; name="age"\r\n\r\n\xff\xfe\xd8\x00..\xff\r\n--x--\r\n'
    return chance.choice(
        [
            {"files": files(invalid_picture(chance)), "data": content},
            {"files": [*pictures, *files(invalid_picture(chance))], "data": content},
            {"files": pictures, "data": content | {"age": text}},
            {"files": pictures, "data": content | {"sex": text}},
            {"files": pictures, "data": content | many_sites},
            {"files": pictures, "data": {f"f{number}": "1" for number in range(chance.randrange(1, 50))}},
            {"files": files(*[jpeg()] * 9)},
            {"content": chance.randbytes(chance.randrange(3000)), "headers": {"Content-Type": content_type}},
            {"content": chance.choice([body, body[:-30], body + body]), "headers": with_charset},
        ]
    )


@pytest.mark.parametrize("requests", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_invalid_requests_get_a_sentence_and_the_server_continues(server: PageServer, requests: int) -> None:
    chance, statuses = random.Random(6), set()
    with httpx.Client(base_url=server.address, timeout=60) as client:
        for number in range(requests):
            request = invalid_request(chance)
            response = client.post(chance.choice(["/v1/predict", "/v1/predict.csv", "/v1/predict.pdf"]), **request)
            context = (number, response.status_code, response.text[:300], str(request)[:300])
            assert 400 <= response.status_code < 500, context
            assert len(response.json()["error"]) > 10, context
            assert "Traceback" not in response.text
            statuses.add(response.status_code)
            assert number % 50 or answers_correctly(server)
    assert statuses == {400, 413, 415, 422}
    assert answers_correctly(server)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET " + b"a" * 99_000 + b"\r\n\r\n"]
)
def test_malformed_http_ends_only_its_own_connection(server: PageServer, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000)[:12] in (b"HTTP/1.1 400", b"")
    assert answers_correctly(server)


def test_a_stopped_server_ends() -> None:
    with PageServer(SMALL) as server:
        assert answers_correctly(server)
    assert not server.is_alive


def test_another_host_needs_a_token_and_a_port_in_use_is_refused(server: PageServer) -> None:
    assert Listener("127.0.0.1").check() is None
    with pytest.raises(InputFault, match="it needs a token"):
        Listener("0.0.0.0").check()
    with pytest.raises(InputFault, match="the port cannot be opened"):
        open_listener("127.0.0.1", server.port)


def test_the_server_listens_only_on_loopback(server: PageServer) -> None:
    table = Path("/proc/net/tcp")
    if not table.is_file():
        pytest.skip("no table of sockets on this system")
    port = f"{server.port:04X}"
    own = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address in own if address.endswith(f":{port}")] == [f"0100007F:{port}"]
