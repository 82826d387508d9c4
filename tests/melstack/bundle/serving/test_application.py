"""Tests of the endpoint for one patient: its answers, its refusals, and that it stores nothing."""

import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.special import logit

from features.pictures.scan import ScanResult
from melstack.bundle.predictions import Predictions
from runtime.errors import InputFault
from tests.melstack.bundle.serving.doubles import (
    ADDRESS,
    SMALL,
    DarknessPredictor,
    PageClient,
    bomb,
    expected_probability,
    files,
    jpeg,
)


class FailingPredictor(DarknessPredictor):
    """A predictor with an error in its own code."""

    def predict_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Predictions:
        raise ZeroDivisionError(f"secret of {scan_results[0].name}")


class AgeRequiringPredictor(DarknessPredictor):
    """A predictor that refuses patients of unknown age."""

    def predict_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Predictions:
        if cases["age_approx"].isna().any():
            raise InputFault(f"cases: age_approx is missing in {len(cases)} ({', '.join(cases.index)})")
        return super().predict_scans(cases, scan_results)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary folders are created."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[PageClient]:
    page_client = PageClient(DarknessPredictor(), SMALL)
    yield page_client
    page_client.close()


def refusal(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    content = response.json()
    assert len(content["error"]) > 10
    assert "Traceback" not in response.text
    assert tempfile.gettempdir() not in response.text
    return content


def test_the_darkest_lesion_comes_first_and_has_rank_1(client: PageClient) -> None:
    answer = client.post("/v1/predict", files=files(jpeg(200), jpeg(20), jpeg(180)), data={"age": "70"}).json()
    assert [lesion["picture"] for lesion in answer["lesions"]] == [1, 2, 0]
    assert [lesion["rank"] for lesion in answer["lesions"]] == [1, 2, 3]
    assert [lesion["name"] for lesion in answer["lesions"]] == ["1.jpg", "2.jpg", "0.jpg"]
    first = answer["lesions"][0]
    assert first["probability"] == pytest.approx(expected_probability(20, 70), abs=1e-4)
    assert first["low"] < first["probability"] < first["high"]
    assert first["decisions"] == [
        {"name": "90 % sensitivity", "threshold": 0.5, "malignant": first["probability"] >= 0.5}
    ]
    assert first["ugly_duckling"]
    assert first["unusual"] is None
    assert first["networks"][0]["name"] == "shade"
    assert answer["model"] == {"name": "darkness", "digest": "sha256:0123abcd", "auc": 0.81, "prevalence": 0.018}
    assert "Not a medical device" in answer["disclaimer"]


def test_contributions_rest_and_base_sum_to_the_log_odds(client: PageClient) -> None:
    lesion = client.post("/v1/predict", files=files(jpeg()), data={"site": "torso"}).json()["lesions"][0]
    assert [part["column"] for part in lesion["raising"]] == ["darkness", "age"]
    assert [part["column"] for part in lesion["lowering"]] == ["site_torso", "sex"]
    parts = sum(part["log_odds"] for part in lesion["raising"] + lesion["lowering"])
    assert parts + lesion["rest"] + lesion["base"] == pytest.approx(logit(lesion["probability"]))


def test_one_site_per_picture_or_one_for_all_is_assigned_in_order(client: PageClient) -> None:
    pictures = files(jpeg(90), jpeg(100))
    by_picture = client.post("/v1/predict", files=pictures, data={"site": ["head/neck", "torso"]}).json()["lesions"]
    assert {lesion["picture"]: lesion["site"] for lesion in by_picture} == {0: "head/neck", 1: "torso"}
    for_all = client.post("/v1/predict", files=pictures, data={"site": "torso"}).json()["lesions"]
    assert [lesion["site"] for lesion in for_all] == ["torso", "torso"]


def test_overlays_and_thumbnails_are_optional(client: PageClient) -> None:
    without_images = client.post("/v1/predict", files=files(jpeg())).json()["lesions"][0]
    assert without_images["thumbnail"] is None
    assert without_images["heat_map"] is None
    with_images = client.post("/v1/predict?heat_maps=true&thumbnails=true", files=files(jpeg())).json()["lesions"][0]
    assert with_images["heat_map"].startswith("data:image/jpeg;base64,")
    assert with_images["heat_map"] != with_images["thumbnail"]


def test_jpeg_and_png_are_recognised_by_content_and_not_by_name(client: PageClient) -> None:
    pictures = files(jpeg(kind="PNG"), jpeg(), names=("a.jpg", "../../etc/b.exe"))
    answer = client.post("/v1/predict", files=pictures).json()
    assert {lesion["name"] for lesion in answer["lesions"]} == {"a.jpg", "b.exe"}


def test_a_csv_has_a_row_per_lesion_and_no_formula(client: PageClient) -> None:
    pictures = files(jpeg(10), jpeg(200), names=("=1+1.jpg", "b,c.jpg"))
    response = client.post("/v1/predict.csv", files=pictures, data={"sex": "F"})
    table = pd.read_csv(io.StringIO(response.text))
    assert list(table["name"]) == ["'=1+1.jpg", "b,c.jpg"]
    assert list(table["sex"]) == ["female", "female"]
    assert table["probability"].is_monotonic_decreasing
    assert table["disclaimer"].str.contains("Not a medical device").all()


def test_facts_of_the_model_have_null_for_an_unknown_number(client: PageClient) -> None:
    facts = client.get("/v1/model").json()
    assert facts["operating_points"][0]["threshold"] == 0.5
    assert facts["auc"] == 0.81
    assert facts["auc_high"] is None
    assert facts["limits"]["pictures"] == 3
    assert client.get("/livez").json() == {"status": "live"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("pictures", "data", "status", "where"),
    [
        ([], {"age": "50"}, 415, "Content-Type"),
        (files(b""), {}, 422, "0.jpg"),
        (files(b"GIF89a" + bytes(200)), {}, 415, "0.jpg"),
        (files(jpeg()[:-40]), {}, 422, "0.jpg"),
        (files(jpeg(size=(400, 300))), {}, 413, "0.jpg"),
        (files(bytes(250_000)), {}, 413, "0.jpg"),
        (files(*[bytes(150_000)] * 3), {}, 413, "pictures"),
        (files(bytes(900_000)), {}, 413, "pictures"),
        (files(*[jpeg()] * 4), {}, 413, "pictures"),
        (files(jpeg()), {"age": "nan"}, 422, "age"),
        (files(jpeg()), {"age": "-1"}, 422, "age"),
        (files(jpeg()), {"age": "1e3"}, 422, "age"),
        (files(jpeg()), {"age": ["50", "60"]}, 422, "age"),
        (files(jpeg()), {"sex": "unknown"}, 422, "sex"),
        (files(jpeg()), {"site": ["torso", "torso"]}, 422, "site"),
        (files(jpeg()), {"site": "torso\x00"}, 422, "site"),
        (files(jpeg()), {"sight": "torso"}, 422, "form"),
        (files(jpeg()), {"pictures": "torso"}, 422, "pictures"),
        ([*files(jpeg()), ("age", ("age.txt", b"50"))], {}, 422, "age"),
        (files(jpeg()), {"site": "torso" * 1000}, 413, ""),
        (files(jpeg()), {f"field_{number}": "" for number in range(9)}, 413, ""),
    ],
)
def test_an_invalid_request_is_refused_with_the_field_at_fault(
    client: PageClient, temporary_folder: Path, pictures: Any, data: dict[str, Any], status: int, where: str
) -> None:
    assert refusal(client.post("/v1/predict", files=pictures or None, data=data), status)["where"] == where
    assert list(temporary_folder.iterdir()) == []


def test_every_damaged_picture_is_named_with_its_position(client: PageClient) -> None:
    pictures = files(jpeg()[:-50], jpeg(), b"no picture", names=("cut.jpg", "good.jpg", "note.txt"))
    content = refusal(client.post("/v1/predict", files=pictures), 422)
    assert content["pictures"] == [0, 2]
    assert "cut.jpg: cut off" in content["error"]
    assert "note.txt: neither JPEG nor PNG nor DICOM" in content["error"]


def test_a_picture_that_fails_only_in_decoding_is_named(client: PageClient) -> None:
    whole = jpeg(kind="PNG", size=(90, 90))
    start = whole.index(b"IDAT") + 6
    damaged_png = whole[:start] + bytes(20) + whole[start + 20 :]
    content = refusal(client.post("/v1/predict", files=files(jpeg(), damaged_png, names=("a.jpg", "b.png"))), 422)
    assert (content["where"], content["pictures"]) == ("b.png", [1])


def test_a_decompression_bomb_is_refused_by_its_header(client: PageClient) -> None:
    assert "megapixels" in refusal(client.post("/v1/predict", files=files(bomb(30_000))), 413)["error"]


def test_errors_of_the_predictor_use_the_upload_names() -> None:
    client = PageClient(AgeRequiringPredictor(), SMALL)
    content = refusal(client.post("/v1/predict", files=files(jpeg(), jpeg(), names=("a.jpg", "lesion_001.jpg"))), 422)
    assert content["error"] == "cases: age_approx is missing in 2 (a.jpg, lesion_001.jpg)"


def test_an_error_of_the_server_is_logged_and_its_text_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    client = PageClient(FailingPredictor(), SMALL)
    assert "secret" not in refusal(client.post("/v1/predict", files=files(jpeg())), 500)["error"]
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_stored_without_the_option_keep(client: PageClient, temporary_folder: Path, tmp_path: Path) -> None:
    assert client.post("/v1/predict", files=files(jpeg())).status_code == 200
    assert list(temporary_folder.iterdir()) == []
    client_with_keep = PageClient(DarknessPredictor(), SMALL, keep=tmp_path / "keep")
    client_with_keep.post("/v1/predict", files=files(jpeg(7)))
    (folder,) = (tmp_path / "keep").iterdir()
    assert (folder / "lesion_001.picture").read_bytes() == jpeg(7)
    assert json.loads((folder / "answer.json").read_text())["lesions"][0]["name"] == "0.jpg"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9000"])
def test_requests_of_another_origin_are_refused(client: PageClient, origin: str) -> None:
    refusal(client.post("/v1/predict", files=files(jpeg()), headers={"Origin": origin}), 403)


def test_the_own_origin_is_answered_and_another_host_name_is_refused(client: PageClient) -> None:
    assert client.post("/v1/predict", files=files(jpeg()), headers={"Origin": ADDRESS}).status_code == 200
    assert client.get("/", headers={"Host": "rebound.example:8000"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/nowhere"])
def test_every_answer_forbids_content_of_other_servers(client: PageClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_the_pages_load_nothing_and_escape_their_values(client: PageClient) -> None:
    page, interface = client.get("/").text, client.get("/docs").text
    assert "&lt;b&gt;bad&lt;/b&gt;" in page
    for text in (page, interface):
        assert "Not a medical device" in text
        assert "src=" not in text
        assert '<link rel="stylesheet"' not in text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in interface


def test_an_unknown_page_and_a_wrong_method_get_a_json_refusal(client: PageClient) -> None:
    assert refusal(client.get("/nowhere"), 404)["where"] == "/nowhere"
    assert "GET" in refusal(client.get("/v1/predict"), 405)["error"]
    assert refusal(client.post("/v1/predict?heat_maps=perhaps", files=files(jpeg())), 422)["where"] == "heat_maps"
