"""A load test of the page: latency, memory, and whether every answer is right."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median, quantiles
from types import TracebackType
from typing import Any

import httpx
import psutil

from benchmarks.server.attack_files import ATTACKS, attack_file
from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from runtime.errors import InputFault
from runtime.machine.cores import allowed_cores
from runtime.progress import say

SINGLE = 60  # requests of one lesion, one after the other
AT_ONCE = 200
START_SECONDS = 120.0
IDLE_SECONDS = 2.0  # uvicorn closes an idle connection after 5 s; a request that is sent just then fails
READINGS = 6  # of the memory, while clients send requests
MAX_FAULTS = 5  # to print
MAX_PICTURES = 4  # of one request
KINDS = ("predict", "predict", "predict", "attention", "csv", "pdf", "broken", "no form")
PATHS = {
    "csv": "/v1/predict.csv",
    "pdf": "/v1/predict.pdf",
    "attention": "/v1/predict?heat_maps=true&thumbnails=true",
}


@dataclass(frozen=True)
class Question:
    """One request: its ``kind``, the positions of its pictures in the data, and the patient's age in years."""

    kind: str
    pictures: tuple[int, ...]
    age: int
    attack: str = ""  # of benchmarks.server.attack_files

    @property
    def path(self) -> str:
        """The path and query of the request."""
        return PATHS.get(self.kind, "/v1/predict")


def random_question(random: Random, count: int, attacks: float = 0.0) -> Question:
    """Return a question about one to four of ``count`` pictures; a share ``attacks`` of them attacks the decoder."""
    if random.random() < attacks:
        return Question("attack", (), 50, random.choice(list(ATTACKS)))
    kind = random.choice(KINDS)
    positions = random.sample(range(count), random.randint(1, min(MAX_PICTURES, count)))
    return Question(kind, tuple(positions), random.randrange(20, 90))


def request_content(question: Question, pictures: Sequence[Path]) -> dict[str, Any]:
    """Return the arguments of httpx that send ``question``."""
    if question.kind == "no form":
        return {"content": b"no form", "headers": {"Content-Type": "text/plain"}}
    if question.kind == "attack":
        return {"files": [("pictures", ("attack", attack_file(question.attack)))]}
    files = [(pictures[position].name, pictures[position].read_bytes()) for position in question.pictures]
    if question.kind == "broken":
        name, content = files[-1]
        files[-1] = (name, content[: len(content) // 2])
    return {"files": [("pictures", file) for file in files], "data": {"age": str(question.age)}}


class AnswerCheck:
    """Check answers: they must be about the pictures of the request, and equal requests must get equal numbers."""

    def __init__(self, pictures: Sequence[Path]) -> None:
        self._pictures = pictures
        self._first_answers: dict[tuple[tuple[int, ...], int], dict[str, float]] = {}

    def fault(self, question: Question, status: int, response: Any) -> str | None:  # noqa: ANN401  an HTTP response
        """Return what is wrong with the answer to ``question``, or None."""
        if question.kind in ("broken", "no form"):
            expected = 422 if question.kind == "broken" else 415
            return None if status == expected and len(response.json()["error"]) > 10 else f"status {status}"
        if question.kind == "attack":
            is_refused = status in (413, 415, 422) and len(response.json()["error"]) > 10
            return None if is_refused else f"{question.attack}: status {status}"
        if status != 200:
            return f"status {status}: {response.text[:200]}"
        if question.kind == "pdf":
            return None if response.content.startswith(b"%PDF") else "not a PDF"
        names = [self._pictures[position].name for position in question.pictures]
        if question.kind == "csv":
            return None if all(name in response.text for name in names) else "a picture is missing in the CSV"
        return self._fault_of_lesions(question, names, response.json())

    def _fault_of_lesions(self, question: Question, names: list[str], answer: dict[str, Any]) -> str | None:
        probabilities = {lesion["name"]: float(lesion["probability"]) for lesion in answer["lesions"]}
        if set(probabilities) != set(names) or answer["age"] != question.age:
            got = f"{sorted(probabilities)}, age {answer['age']}"
            return f"asked for {names}, age {question.age}; answered {got}"
        first = self._first_answers.setdefault((tuple(sorted(question.pictures)), question.age), probabilities)
        change = max(abs(first[name] - probabilities[name]) for name in names)
        return f"the probability differs from the first answer by {change:.1e}" if change > 1e-6 else None


class Server:
    """``python -m melstack serve`` in a separate process, on a free port of this machine."""

    def __init__(self, bundle: Path) -> None:
        command = [sys.executable, "-m", "melstack", "serve", "--bundle", str(bundle), "--port", "0"]
        self.start = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        limits = httpx.Limits(max_connections=AT_ONCE, keepalive_expiry=IDLE_SECONDS)
        self.client = httpx.Client(timeout=600, limits=limits)

    def __enter__(self) -> "Server":
        assert self._process.stdout is not None
        # The server prints its address when it is ready, after a line about the bundle's signature.
        line = next((line for line in self._process.stdout if "http://" in line), "")
        if not line:
            raise InputFault("the server did not start; its errors are above")
        self.client.base_url = httpx.URL("http://" + line.split("http://")[1].split()[0])
        while time.perf_counter() - self.start < START_SECONDS:
            with suppress(httpx.TransportError):
                self.client.get("/livez")
                return self
            time.sleep(0.05)
        raise InputFault(f"the server did not answer within {START_SECONDS:g} s")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()

    def memory(self) -> str:
        """Return the memory of the server and its decoders, and the number of the server's threads."""
        process = psutil.Process(self._process.pid)
        megabytes = sum(map(_own_megabytes, [process, *process.children(recursive=True)]))
        return f"{megabytes:.0f} MB, {process.num_threads()} threads"


def _own_megabytes(process: psutil.Process) -> float:
    """Return the resident memory of a process in MB; pages that processes share are divided among them (PSS)."""
    with suppress(psutil.NoSuchProcess):  # a decoder that is being replaced
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", memory.uss)) / 1e6
    return 0.0


def run_trial(bundle: Path, data: Path, minutes: float, clients: int, attacks: float = 0.0, seed: int = 0) -> int:
    """Serve ``bundle``, send it requests about the pictures of ``data``, print the results; return the wrong answers.

    Measures the cold start, the latency of one lesion and 200 requests at once. Then ``clients`` send requests without
    a pause for ``minutes``: predictions, heat maps, CSV, PDF, broken pictures, requests that are not a form, and a
    share ``attacks`` of pictures that attack the decoder.
    """
    pictures = _pictures(data)
    check, random = AnswerCheck(pictures), Random(seed)
    with Server(bundle) as server:
        say(f"from start to first answer: {time.perf_counter() - server.start:.1f} s; {server.memory()}")
        faults = _one_after_another(server, pictures, check, random)
        faults += _at_once(server, pictures, check)
        faults += _soak(server, pictures, check, Soak(minutes, clients, attacks, seed))
    for fault in faults[:MAX_FAULTS]:
        say(f"  wrong: {fault}")
    say(f"{len(faults)} answers were wrong")
    return len(faults)


def _pictures(data: Path) -> list[Path]:
    cases = read_new_cases(DataFolder.open(data))
    if "picture" not in cases:
        raise InputFault(f"{data}: no pictures to send; give a data folder with test pictures")
    return [data / str(picture) for picture in cases["picture"]]


def _ask(server: Server, question: Question, pictures: Sequence[Path], check: AnswerCheck) -> list[str]:
    """Send one request and return what is wrong with its answer, in a list that is empty for a right one."""
    try:
        response = server.client.post(question.path, **request_content(question, pictures))
    except httpx.TransportError as error:
        return [f"{question}: no answer ({error!r})"]
    fault = check.fault(question, response.status_code, response)
    return [f"{question}: {fault}"] if fault else []


def _one_after_another(server: Server, pictures: Sequence[Path], check: AnswerCheck, random: Random) -> list[str]:
    faults, seconds = list[str](), list[float]()
    for _ in range(SINGLE):
        question = Question("predict", (random.randrange(len(pictures)),), 50)
        start = time.perf_counter()
        faults += _ask(server, question, pictures, check)
        seconds.append(time.perf_counter() - start)
    worst = quantiles(seconds, n=20)[-1]
    say(f"one lesion, {SINGLE} times: median {median(seconds):.2f} s, 95 % within {worst:.2f} s; {server.memory()}")
    return faults


def _at_once(server: Server, pictures: Sequence[Path], check: AnswerCheck) -> list[str]:
    start = time.perf_counter()
    questions = [Question("predict", (number % len(pictures),), 20 + number % 70) for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = list(pool.map(lambda question: _ask(server, question, pictures, check), questions))
    say(f"{AT_ONCE} requests at once: answered in {time.perf_counter() - start:.1f} s; {server.memory()}")
    return [fault for of_question in faults for fault in of_question]


@dataclass(frozen=True)
class Soak:
    """A long load: ``clients`` that send requests for ``minutes``, a share ``attacks`` of them attacks."""

    minutes: float
    clients: int
    attacks: float
    seed: int


def _soak(server: Server, pictures: Sequence[Path], check: AnswerCheck, soak: Soak) -> list[str]:
    end, faults, seconds = time.monotonic() + 60 * soak.minutes, list[str](), dict[str, list[float]]()
    lock = threading.Lock()

    def ask_until_end(client: int) -> None:
        random = Random(soak.seed + 1000 + client)
        while time.monotonic() < end:
            question, start = random_question(random, len(pictures), soak.attacks), time.monotonic()
            new_faults = _ask(server, question, pictures, check)
            with lock:
                faults.extend(new_faults)
                kind = seconds.setdefault("attack" if question.kind == "attack" else "good", [])
                kind.append(time.monotonic() - start)

    with ThreadPoolExecutor(soak.clients) as pool:
        futures = [pool.submit(ask_until_end, client) for client in range(soak.clients)]
        for reading in range(READINGS):
            time.sleep(max(0.0, end - time.monotonic()) / (READINGS - reading))
            say(f"  {sum(map(len, seconds.values()))} requests of {soak.clients} clients: {server.memory()}")
        for future in futures:
            future.result()
    say(f"{soak.clients} clients for {soak.minutes:g} minutes: {server.memory()}")
    for kind, own in sorted(seconds.items()):
        say(f"  {kind}: {len(own)} requests, median {median(own):.2f} s, slowest {max(own):.2f} s")
    say(f"  load of the machine: {psutil.getloadavg()[0]:.1f} on {allowed_cores()} cores")
    return faults
