"""The whole pipeline killed in every stage, again and again: it ends with what an undisturbed run has, to the byte.

PIPELINE_KILLS in the environment says how often; PIPELINE_DATA and PIPELINE_MODELS name other data than a drawn clinic
and other models than two tiny ones. Which stage every kill hit is printed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from features.clinic.folder import draw_clinic
from runtime.folder_lock import read_holder
from runtime.provenance import find_damage
from tests.sources import ROOT
from tests.tiny_project import TINY

KILLS = int(os.environ.get("PIPELINE_KILLS", "0"))
DATA, NAMED_MODELS = os.environ.get("PIPELINE_DATA"), os.environ.get("PIPELINE_MODELS")
ATTEMPT_SECONDS = 1200.0
TRAINED = 'method = "finetune"\nepochs = 6\nbatch_size = 8\nlearning_rate = 0.01\nkeep = "best"\nmonitor = true\n'
MODELS = {
    "trained": TINY + TRAINED,
    "fixed": TINY + 'method = "frozen"\nregularisation = 0.01\n',
}
COMMANDS = {
    "cases": "melstack cases --run {run} --data {data} --folds 3",
    "audit": "melstack audit --run {run}",
    "oof": "melstack oof --run {run} --models '{models}' --deterministic --devices cpu",
    "features": "melstack blocks --run {run}",
    "stack": "melstack stack --run {run}",
    "submission": "melstack submission --run {run}",
    "bundle": "melstack bundle --run {run}",
}
# What is there from some moment of a stage on; a stage without files begins when its command does.
FILES = {
    "oof: decoding": "pictures/*/parts",
    "oof: embedding": "run/level1/*/.writing-*npy",
    "oof: first fold": "run/level1/*/fold_0/*",
    "oof: first epochs": "run/level1/*/fold_0/history.csv",
    "oof: weights": "run/level1/*/fold_1/model.weights.h5",
    "oof: last fold": "run/level1/*/fold_2/*",
    "stack: tables": "run/level2/default/*.parquet",
    "bundle: folder": "run/.bundle-writing",
    "bundle: networks": "run/.bundle-writing/networks/*",
}
STAGES = [
    *("cases", "audit", "oof", "oof: decoding", "oof: embedding", "oof: first fold", "oof: first epochs"),
    *("oof: weights", "oof: last fold", "features", "stack", "stack: tables", "submission"),
    *("bundle", "bundle: folder", "bundle: networks"),
]


@dataclass(frozen=True)
class Pipeline:
    """The commands of ``make submission``, time after time, on a run in ``folder``, which is its only memory."""

    folder: Path
    data: Path
    models: str

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def said(self) -> str:
        return (self.folder / "said.txt").read_text() if (self.folder / "said.txt").is_file() else ""

    def reached(self, stage: str) -> bool:
        """Tell whether this attempt has come to a stage."""
        if f"stage: {stage.split(':')[0]}\n" not in self.said():
            return False
        return stage not in FILES or any(True for _ in self.folder.glob(FILES[stage]))

    def start(self) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(exist_ok=True)
        asked = {"run": self.run, "data": self.data, "models": self.models}
        lines = [
            f"echo 'stage: {stage}'; {sys.executable} -m {line.format(**asked)}" for stage, line in COMMANDS.items()
        ]
        script = "set -e\n" + "\n".join(lines)
        with (self.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(
                ["sh", "-c", script], cwd=ROOT, stdout=said, stderr=said, start_new_session=True, close_fds=True
            )

    def finish(self, watch: Callable[[], None] = lambda: None) -> None:
        process = self.start()
        while process.poll() is None:
            watch()
            time.sleep(0.005)
        assert process.returncode == 0, self.said()[-3000:]
        assert "damaged" not in self.said()

    def kill(self, stage: str, wait: float) -> str | None:
        """Kill the whole process group ``wait`` seconds after it came to a stage; return the stage it was in.

        None where it had ended by then.
        """
        process, latest = self.start(), time.monotonic() + ATTEMPT_SECONDS
        while not self.reached(stage) and process.poll() is None and time.monotonic() < latest:
            time.sleep(0.005)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert "Traceback" not in self.said(), self.said()[-3000:]
        assert "damaged" not in self.said(), self.said()[-3000:]
        if process.returncode == 0:
            return None
        assert process.returncode == -signal.SIGKILL, self.said()[-3000:]
        return [one for one in STAGES if self.reached(one)][-1]


def durations(pipeline: Pipeline) -> dict[str, float]:
    """Run a pipeline to its end; return the stages it came to and how long each took until the next."""
    seen: dict[str, float] = {}

    def watch() -> None:
        for stage in STAGES:
            if stage not in seen and pipeline.reached(stage):
                seen[stage] = time.monotonic()

    pipeline.finish(watch)
    order = sorted(seen, key=lambda stage: seen[stage])
    ends = [*(seen[stage] for stage in order[1:]), time.monotonic()]
    return {stage: end - seen[stage] for stage, end in zip(order, ends, strict=True)}


def outcome(pipeline: Pipeline) -> dict[str, str]:
    """Return path -> SHA-256 of every file that a mark of the run, or of its decoded pictures, records."""
    found = {}
    for mark in sorted(pipeline.folder.rglob("*.json")):
        content = json.loads(mark.read_text())
        if isinstance(content, dict) and "made_from" in content:
            assert find_damage(mark) == []
            where = mark.parent.relative_to(pipeline.folder)
            found |= {os.path.normpath(where / name): one["sha256"] for name, one in content["outputs"].items()}
    return found


def check_nothing_is_left_over(pipeline: Pipeline) -> None:
    assert [path for path in pipeline.folder.rglob("*") if "writing" in path.name] == []
    assert read_holder(pipeline.run) is None


@pytest.mark.full
@pytest.mark.skipif(not KILLS, reason="takes long: make test-all TESTS=tests/pipeline/test_kills.py PIPELINE_KILLS=50")
def test_a_pipeline_killed_in_every_stage_ends_as_if_it_had_never_been(tmp_path: Path) -> None:
    rng, kills = random.Random(7), Counter[str]()
    data = Path(DATA).resolve() if DATA else tmp_path / "data"
    if not DATA:
        draw_clinic(data, train=60, test=30, seed=0)
    for name, text in MODELS.items():
        (tmp_path / f"{name}.toml").write_text(text)
    models = NAMED_MODELS or " ".join(f"{tmp_path / name}.toml" for name in MODELS)
    whole = Pipeline(tmp_path / "whole", data, models)
    lasted = durations(whole)
    print("undisturbed:", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in lasted.items()), flush=True)
    expected, rounds = outcome(whole), 0
    while kills.total() < KILLS:
        rounds += 1
        killed = Pipeline(tmp_path / f"killed_{rounds}", data, models)
        for stage, seconds in lasted.items():
            wait = rng.uniform(0, seconds)
            hit = killed.kill(stage, wait)
            print(f"round {rounds}: {stage} + {wait:.2f} s of {seconds:.2f}: hit {hit}", flush=True)
            kills.update([hit] if hit else [])
            if kills.total() == KILLS:
                break
        killed.finish()
        found = outcome(killed)
        assert [name for name in expected if found.get(name) != expected[name]] == []
        assert found.keys() == expected.keys()
        assert (killed.run / "submission.csv").read_bytes() == (whole.run / "submission.csv").read_bytes()
        check_nothing_is_left_over(killed)
    print(f"{kills.total()} kills in {rounds} rounds, {len(expected)} files the same: {dict(kills)}", flush=True)
