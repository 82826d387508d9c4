"""Tests of the trial of the page: a wrong answer, a mixed-up one and a failing server are told from right ones."""

from pathlib import Path

import httpx
import pytest

from benchmarks.page_under_load import KINDS, Question, Referee, content_of, drawn_question
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
    listed = [{"name": name, "probability": value} for name, value in lesions.items()]
    return httpx.Response(status, json={"age": age, "lesions": listed})


def test_another_patient_another_age_and_another_number_are_told(pictures: list[Path]) -> None:
    referee = Referee(pictures)

    def told(answered: httpx.Response) -> str | None:
        return referee.fault(QUESTION, answered.status_code, answered)

    assert told(answer({"40.jpg": 0.5, "90.jpg": 0.25})) is None
    assert told(answer({"40.jpg": 0.5, "90.jpg": 0.25 + 1e-8})) is None
    assert "another probability" in (told(answer({"40.jpg": 0.5, "90.jpg": 0.3})) or "")
    assert "asked for" in (told(answer({"40.jpg": 0.5, "200.jpg": 0.25})) or "")
    assert "age 51" in (told(answer({"40.jpg": 0.5, "90.jpg": 0.25}, age=51)) or "")
    assert "status 500" in (told(answer({}, status=500)) or "")


def test_what_is_broken_must_be_refused(pictures: list[Path]) -> None:
    referee = Referee(pictures)
    broken = Question("broken", (0,), 50)
    assert referee.fault(broken, 200, answer({"40.jpg": 0.5})) == "status 200"
    refused = httpx.Response(422, json={"error": "not a readable picture"})
    assert referee.fault(broken, 422, refused) is None


def test_every_kind_of_question_is_answered_rightly_by_the_page(pictures: list[Path]) -> None:
    referee = Referee(pictures)
    with PageServer(Limits()) as running, httpx.Client(base_url=running.address, timeout=60) as client:
        for kind in sorted(set(KINDS)):
            question = Question(kind, (2, 0), 33)
            answered = client.post(question.path, **content_of(question, pictures))
            assert referee.fault(question, answered.status_code, answered) is None, kind


def test_questions_are_about_one_to_four_different_pictures() -> None:
    import random

    chance = random.Random(1)
    drawn = [drawn_question(chance, 9) for _ in range(200)]
    assert {len(set(one.pictures)) for one in drawn} == {1, 2, 3, 4}
    assert {one.kind for one in drawn} == set(KINDS)
