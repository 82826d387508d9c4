"""A trial of the page's server under load: its latency, its memory, and whether every answer is the right one."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from types import TracebackType
from typing import Any

import httpx
import psutil

from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from runtime.errors import InputFault
from runtime.progress import say

SINGLE = 60  # requests of one lesion, one after the other
AT_ONCE = 200
START_SECONDS = 120.0
IDLE_SECONDS = 2.0  # uvicorn closes a connection after 5 that nobody uses: a request on its way then finds it closed
READINGS = 6  # of the memory, while clients ask
SHOWN = 5  # faults


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


class Server:
    """``python -m melstack serve`` as a process of its own, on a free port of this machine."""

    def __init__(self, bundle: Path) -> None:
        command = [sys.executable, "-m", "melstack", "serve", "--bundle", str(bundle), "--port", "0"]
        self.started = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        limits = httpx.Limits(max_connections=AT_ONCE, keepalive_expiry=IDLE_SECONDS)
        self.client = httpx.Client(timeout=600, limits=limits)

    def __enter__(self) -> "Server":
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # the server says its address when it listens
        if "http://" not in line:
            raise InputFault(f"the server did not start: {line.strip() or 'it said nothing'}")
        self.client.base_url = httpx.URL("http://" + line.split("http://")[1].split()[0])
        while time.perf_counter() - self.started < START_SECONDS:
            with suppress(httpx.TransportError):
                self.client.get("/health")
                return self
            time.sleep(0.05)
        raise InputFault(f"the server did not answer within {START_SECONDS:g} s")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()

    def memory(self) -> str:
        """Return its resident memory and number of threads."""
        process = psutil.Process(self._process.pid)
        return f"{process.memory_info().rss / 1e6:.0f} MB, {process.num_threads()} threads"


def run_trial(bundle: Path, data: Path, minutes: float, clients: int, seed: int = 0) -> int:
    """Serve ``bundle``, ask it about the pictures of ``data``, print what is found; return how many answers were wrong.

    Cold start; latency of one lesion; 200 requests at once; then ``clients`` that ask without a pause for ``minutes``
    (predictions, attention, CSV, PDF, broken pictures, requests that are no form).
    """
    pictures = _pictures(data)
    referee, chance = Referee(pictures), random.Random(seed)
    with Server(bundle) as server:
        say(f"from start to first answer: {time.perf_counter() - server.started:.1f} s; {server.memory()}")
        faults = _one_after_another(server, pictures, referee, chance)
        faults += _at_once(server, pictures, referee)
        faults += _soak(server, pictures, referee, (minutes, clients, seed))
    for fault in faults[:SHOWN]:
        say(f"  wrong: {fault}")
    say(f"{len(faults)} answers were wrong")
    return len(faults)


def _pictures(data: Path) -> list[Path]:
    cases = read_new_cases(DataFolder.open(data))
    if "picture" not in cases:
        raise InputFault(f"{data}: no pictures to ask about")
    return [data / str(picture) for picture in cases["picture"]]


def _asked(server: Server, question: Question, pictures: Sequence[Path], referee: Referee) -> list[str]:
    try:
        answered = server.client.post(question.path, **content_of(question, pictures))
    except httpx.TransportError as error:
        return [f"{question}: no answer ({error!r})"]
    fault = referee.fault(question, answered.status_code, answered)
    return [f"{question}: {fault}"] if fault else []


def _one_after_another(server: Server, pictures: Sequence[Path], referee: Referee, chance: random.Random) -> list[str]:
    faults, seconds = list[str](), list[float]()
    for _ in range(SINGLE):
        question = Question("predict", (chance.randrange(len(pictures)),), 50)
        started = time.perf_counter()
        faults += _asked(server, question, pictures, referee)
        seconds.append(time.perf_counter() - started)
    worst = quantiles(seconds, n=20)[-1]
    say(f"one lesion, {SINGLE} times: median {median(seconds):.2f} s, 95 % within {worst:.2f} s; {server.memory()}")
    return faults


def _at_once(server: Server, pictures: Sequence[Path], referee: Referee) -> list[str]:
    started = time.perf_counter()
    questions = [Question("predict", (place % len(pictures),), 20 + place % 70) for place in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda question: _asked(server, question, pictures, referee), questions))
    say(f"{AT_ONCE} requests at once: answered in {time.perf_counter() - started:.1f} s; {server.memory()}")
    return [fault for faults in found for fault in faults]


def _soak(server: Server, pictures: Sequence[Path], referee: Referee, asked: tuple[float, int, int]) -> list[str]:
    minutes, clients, seed = asked
    end, faults, counted, lock = time.monotonic() + 60 * minutes, list[str](), [0], threading.Lock()

    def ask(number: int) -> None:
        chance = random.Random(seed + 1000 + number)
        while time.monotonic() < end:
            found = _asked(server, drawn_question(chance, len(pictures)), pictures, referee)
            with lock:
                faults.extend(found)
                counted[0] += 1

    with ThreadPoolExecutor(clients) as pool:
        waiting = [pool.submit(ask, number) for number in range(clients)]
        for reading in range(READINGS):
            time.sleep(max(0.0, end - time.monotonic()) / (READINGS - reading))
            say(f"  {counted[0]} requests of {clients} clients: {server.memory()}")
        for one in waiting:
            one.result()
    say(f"{clients} clients for {minutes:g} minutes: {counted[0]} requests; {server.memory()}")
    return faults
