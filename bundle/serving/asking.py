"""What clients ask in a trial of the page: one patient's pictures, and whether the answer is the right one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST = 4  # pictures of a request
KINDS = ("predict", "predict", "predict", "attention", "csv", "pdf", "broken", "no form")
PATHS = {
    "csv": "/api/predict.csv",
    "pdf": "/api/predict.pdf",
    "attention": "/api/predict?attention=true&thumbnails=true",
}


@dataclass(frozen=True)
class Question:
    """One request: its ``kind``, the pictures by their place in the data, and the patient's age in years."""

    kind: str
    pictures: tuple[int, ...]
    age: int

    @property
    def path(self) -> str:
        """Where it is sent."""
        return PATHS.get(self.kind, "/api/predict")


def drawn_question(chance: random.Random, count: int) -> Question:
    """Return a question about one to four of ``count`` pictures."""
    kind = chance.choice(KINDS)
    chosen = chance.sample(range(count), chance.randint(1, min(MOST, count)))
    return Question(kind, tuple(chosen), chance.randrange(20, 90))


def content_of(question: Question, pictures: Sequence[Path]) -> dict[str, Any]:
    """Return what an HTTP client sends of ``question``."""
    if question.kind == "no form":
        return {"content": b"no form", "headers": {"Content-Type": "text/plain"}}
    chosen = [(pictures[place].name, pictures[place].read_bytes()) for place in question.pictures]
    if question.kind == "broken":
        name, whole = chosen[-1]
        chosen[-1] = (name, whole[: len(whole) // 2])
    return {"files": [("pictures", one) for one in chosen], "data": {"age": str(question.age)}}


class Referee:
    """Knows an answer again: the same question must be answered by the same numbers, about the pictures asked for."""

    def __init__(self, pictures: Sequence[Path]) -> None:
        self._pictures = pictures
        self._seen: dict[tuple[tuple[int, ...], int], dict[str, float]] = {}

    def fault(self, question: Question, status: int, answered: Any) -> str | None:  # noqa: ANN401  an HTTP response
        """Return what is wrong with the answer to ``question``, or None."""
        if question.kind in ("broken", "no form"):
            expected = 422 if question.kind == "broken" else 415
            return None if status == expected and len(answered.json()["error"]) > 10 else f"status {status}"
        if status != 200:
            return f"status {status}: {answered.text[:200]}"
        if question.kind == "pdf":
            return None if answered.content.startswith(b"%PDF") else "no PDF"
        names = [self._pictures[place].name for place in question.pictures]
        if question.kind == "csv":
            return None if all(name in answered.text for name in names) else "the CSV lacks a picture"
        return self._fault_of_lesions(question, names, answered.json())

    def _fault_of_lesions(self, question: Question, names: list[str], answered: dict[str, Any]) -> str | None:
        found = {lesion["name"]: float(lesion["probability"]) for lesion in answered["lesions"]}
        if set(found) != set(names) or answered["age"] != question.age:
            return f"asked for {names}, age {question.age}; answered {sorted(found)}, age {answered['age']}"
        before = self._seen.setdefault((tuple(sorted(question.pictures)), question.age), found)
        moved = max(abs(before[name] - found[name]) for name in names)
        return f"another probability than before, by {moved:.1e}" if moved > 1e-6 else None
