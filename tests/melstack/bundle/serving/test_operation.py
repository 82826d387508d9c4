"""Tests of what an engineer needs: token, measurements, log of requests, states, description of the interface."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from melstack.bundle.serving.application import Access
from melstack.bundle.serving.operation.bearer_token import read_token
from melstack.bundle.serving.serve import Listener, is_loopback
from runtime.errors import InputFault
from tests.melstack.bundle.serving.doubles import ADDRESS, SMALL, DarknessPredictor, PageClient, files, jpeg

TOKEN = "0123456789abcdef0123456789abcdef"
PROXY = "https://melstack.example.org"
LOG = io.StringIO()


@pytest.fixture(scope="module")
def client() -> Iterator[PageClient]:
    access = Access(("127.0.0.1", "melstack.example.org"), PROXY, TOKEN)
    page_client = PageClient(DarknessPredictor(), SMALL, access, LOG)
    yield page_client
    page_client.close()


def with_token(token: str = TOKEN, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


@pytest.mark.parametrize("headers", [{}, with_token(TOKEN[:-1]), with_token(""), {"Authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/batch", "/v1/heat-maps", "/metrics", "/v1/model", "/nowhere"])
def test_a_request_without_the_token_is_refused(client: PageClient, path: str, headers: dict[str, str]) -> None:
    response = client.post(path, headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization" in response.json()["error"]


def test_the_page_and_the_states_need_no_token_and_the_token_opens_the_rest(client: PageClient) -> None:
    assert [client.get(path).status_code for path in ("/", "/docs", "/livez", "/readyz")] == [200] * 4
    assert 'type="password"' in client.get("/").text
    answer = client.post("/v1/predict", files=files(jpeg()), headers=with_token(Origin=PROXY))
    assert answer.status_code == 200


def test_what_the_sender_calls_the_patient_comes_back(client: PageClient) -> None:
    own = {"patient_id": "A 17", "reference": "＝visit"}
    answer = client.post("/v1/predict", files=files(jpeg()), data=own, headers=with_token()).json()
    assert {name: answer[name] for name in own} == own
    table = client.post("/v1/predict.csv", files=files(jpeg()), data=own, headers=with_token()).text
    assert "A 17,'＝visit" in table


def test_requests_are_counted_by_path_and_status_and_not_by_what_a_client_invents(client: PageClient) -> None:
    client.post("/v1/predict", files=files(jpeg()), headers=with_token())
    client.get("/a/secret/name", headers=with_token())
    text = client.get("/metrics", headers=with_token()).text
    assert 'melstack_requests_total{method="POST",path="/v1/predict",status="200"}' in text
    assert 'path="other",status="404"' in text
    assert "secret" not in text
    assert "melstack_pictures_total" in text


def test_the_log_has_a_line_of_json_per_request_without_names(client: PageClient) -> None:
    response = client.post(
        "/v1/predict?thumbnails=true", files=files(jpeg(), names=("Mustermann.jpg",)), headers=with_token()
    )
    line = json.loads(LOG.getvalue().splitlines()[-1])
    assert (line["path"], line["method"], line["status"]) == ("/v1/predict", "POST", 200)
    assert line["id"] == response.headers["x-request-id"]
    assert line["bytes"] > len(jpeg())
    assert "Mustermann" not in LOG.getvalue()
    assert TOKEN not in LOG.getvalue()


def test_the_interface_describes_itself_at_its_address_in_plain_text(client: PageClient) -> None:
    description = client.get("/openapi.json").json()
    assert description["servers"] == [{"url": PROXY}]
    assert description["security"] == [{"token": []}]
    assert "`" not in json.dumps(description)
    assert {"/v1/predict", "/v1/batch", "/livez", "/readyz", "/metrics"} <= description["paths"].keys()
    fields = description["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert all("example" in field for name, field in fields["properties"].items() if name != "pictures")
    page = client.get("/docs").text
    assert f"{PROXY}/v1/predict" in page
    assert ADDRESS not in page
    assert "Bearer" in page


def test_a_heat_map_of_an_even_picture_says_why_it_is_missing(client: PageClient) -> None:
    light, dark = client.post("/v1/heat-maps", files=files(jpeg(255), jpeg(20)), headers=with_token()).json()
    assert light["image"] is None
    assert "No heat map" in light["reason"]
    assert dark["image"].startswith("data:image/jpeg")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert Listener(host).check() is None


@pytest.mark.parametrize(
    "settings", [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.5"}, {"address": "https://host.example"}]
)
def test_a_server_that_others_reach_needs_a_token(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="it needs a token"):
        Listener(**settings).check()
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert Listener(**settings, token_file=file).check() == TOKEN


@pytest.mark.parametrize("text", ["", "short", "a" * 19, "two words " * 5, "ä" * 30])
def test_a_weak_token_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputFault, match="at least 20"):
        read_token(file)
