"""Tests of batches: one line per picture in JSON or CSV, also for pictures that cannot be decoded."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import DarknessPredictor, PageClient, expected_probability, files, jpeg

ROWS = (
    {"picture": "a1.jpg", "patient_id": "A", "age": 60, "sex": "female", "site": "torso", "reference": "=visit"},
    {"picture": "b1.jpg", "patient_id": "B", "age": None},
    {"picture": "a2.jpg", "patient_id": "A", "age": "60"},
)
PICTURES = files(jpeg(30), jpeg(200), jpeg(90), names=("a1.jpg", "b1.jpg", "a2.jpg"))


@pytest.fixture(scope="module")
def client() -> Iterator[PageClient]:
    page_client = PageClient(DarknessPredictor(), Limits(batch_pictures=5))
    yield page_client
    page_client.close()


def table(rows: Any = ROWS) -> tuple[str, tuple[str, bytes]]:
    return "table", ("table.jsonl", "\n".join(map(json.dumps, rows)).encode())


def lines(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_every_picture_has_a_line_with_what_was_sent_and_its_rank_in_its_patient(client: PageClient) -> None:
    answer = lines(client.post("/v1/batch", files=[*PICTURES, table()]))
    assert [line["picture"] for line in answer] == ["a1.jpg", "a2.jpg", "b1.jpg"]
    assert [line["reference"] for line in answer] == ["=visit", None, None]
    assert [line["rank"] for line in answer] == [1, 2, 1]
    assert answer[0]["probability"] == pytest.approx(expected_probability(30, 60, torso=True), abs=1e-4)
    assert answer[2]["probability"] == pytest.approx(expected_probability(200), abs=1e-4)
    assert {line["error"] for line in answer} == {None}


def test_a_csv_table_gives_a_csv_without_formulas(client: PageClient) -> None:
    content = pd.DataFrame(ROWS).to_csv(index=False).encode()
    response = client.post("/v1/batch?format=csv", files=[*PICTURES, ("table", ("t.csv", content))])
    answer = pd.read_csv(io.StringIO(response.text))
    assert list(answer["picture"]) == ["a1.jpg", "a2.jpg", "b1.jpg"]
    assert answer["reference"][0] == "'=visit"
    assert answer["rank"].tolist() == [1, 2, 1]


def test_a_damaged_picture_costs_its_patient_alone(client: PageClient) -> None:
    pictures = files(jpeg(30)[:-40], jpeg(200), jpeg(90), names=("a1.jpg", "b1.jpg", "a2.jpg"))
    first, second, third = lines(client.post("/v1/batch", files=[*pictures, table()]))
    assert "cut off" in first["error"]
    assert "another picture of this patient" in second["error"]
    assert (first["probability"], second["probability"], third["error"]) == (None, None, None)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (ROWS[:2], "in the form but not in the table: a2.jpg"),
        ((*ROWS, {"picture": "c.jpg"}), "in the table but not in the form: c.jpg"),
        ((*ROWS, ROWS[0]), "named twice in the table: a1.jpg"),
        (({**ROWS[0], "agee": 3}, *ROWS[1:]), "did you mean 'age'"),
        (({**ROWS[0], "age": "old"}, *ROWS[1:]), "row 1 of the table: age 'old'"),
        (({**ROWS[0], "age": [3]}, *ROWS[1:]), "line 1 of the table must be"),
        ((), "No columns"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(client: PageClient, rows: Any, sentence: str) -> None:
    response = client.post("/v1/batch", files=[*PICTURES, table(rows)])
    assert response.status_code == 422
    assert sentence in response.json()["error"]


def test_too_many_pictures_or_no_table_are_refused(client: PageClient) -> None:
    assert client.post("/v1/batch", files=[*PICTURES, *PICTURES, table()]).status_code == 413
    assert client.post("/v1/batch", files=PICTURES).json()["where"] == "table"
