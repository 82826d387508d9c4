"""Tests of the load test of the page: it detects wrong answers, answers about another patient, and failures."""

from pathlib import Path
from random import Random

import httpx
import pytest

from benchmarks.server.page_under_load import (
    IDLE_SECONDS,
    KINDS,
    AnswerCheck,
    Question,
    random_question,
    request_content,
)
from melstack.bundle.serving.limits import Limits
from tests.melstack.bundle.serving.doubles import PageServer, jpeg

QUESTION = Question("predict", (0, 1), 50)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{shade}.jpg" for shade in (40, 90, 200)]
    for path in paths:
        path.write_bytes(jpeg(int(path.stem)))
    return paths


def answer(lesions: dict[str, float], age: int = 50, status: int = 200) -> httpx.Response:
    entries = [{"name": name, "probability": value} for name, value in lesions.items()]
    return httpx.Response(status, json={"age": age, "lesions": entries})


def test_another_patient_age_or_probability_is_a_fault(pictures: list[Path]) -> None:
    check = AnswerCheck(pictures)

    def fault(response: httpx.Response) -> str | None:
        return check.fault(QUESTION, response.status_code, response)

    assert fault(answer({"40.jpg": 0.5, "90.jpg": 0.25})) is None
    assert fault(answer({"40.jpg": 0.5, "90.jpg": 0.25 + 1e-8})) is None
    assert "differs from the first answer" in (fault(answer({"40.jpg": 0.5, "90.jpg": 0.3})) or "")
    assert "asked for" in (fault(answer({"40.jpg": 0.5, "200.jpg": 0.25})) or "")
    assert "age 51" in (fault(answer({"40.jpg": 0.5, "90.jpg": 0.25}, age=51)) or "")
    assert "status 500" in (fault(answer({}, status=500)) or "")


def test_a_broken_picture_must_be_refused(pictures: list[Path]) -> None:
    check = AnswerCheck(pictures)
    question = Question("broken", (0,), 50)
    assert check.fault(question, 200, answer({"40.jpg": 0.5})) == "status 200"
    refusal = httpx.Response(422, json={"error": "not a readable picture"})
    assert check.fault(question, 422, refusal) is None


def test_the_page_answers_every_kind_of_question_correctly(pictures: list[Path]) -> None:
    check = AnswerCheck(pictures)
    limits = httpx.Limits(keepalive_expiry=IDLE_SECONDS)
    with PageServer(Limits()) as server, httpx.Client(base_url=server.address, timeout=60, limits=limits) as client:
        for kind in sorted(set(KINDS)):
            question = Question(kind, (2, 0), 33)
            response = client.post(question.path, **request_content(question, pictures))
            assert check.fault(question, response.status_code, response) is None, kind


def test_questions_are_about_one_to_four_different_pictures() -> None:
    random = Random(1)
    questions = [random_question(random, 9) for _ in range(200)]
    assert {len(set(question.pictures)) for question in questions} == {1, 2, 3, 4}
    assert {question.kind for question in questions} == set(KINDS)
