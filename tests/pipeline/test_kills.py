"""Test of the whole pipeline under kills in every stage: its files are those of an undisturbed run, byte by byte.

Environment variables: PIPELINE_KILLS is the number of kills; PIPELINE_DATA and PIPELINE_MODELS replace the synthetic
clinic and the two tiny models. The test prints which stage every kill hit.
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
DATA, CUSTOM_MODELS = os.environ.get("PIPELINE_DATA"), os.environ.get("PIPELINE_MODELS")
ATTEMPT_SECONDS = 1200.0
FINETUNE = 'method = "finetune"\nepochs = 6\nbatch_size = 8\nlearning_rate = 0.01\nkeep = "best"\nmonitor = true\n'
MODELS = {
    "trained": TINY + FINETUNE,
    "fixed": TINY + 'method = "frozen"\nregularisation = 0.01\n',
}
CASES = "--run {run} --data {data} --folds 3"
NETWORKS = CASES + " {models} --deterministic --devices cpu"
COMMANDS = {
    "cases": f"melstack cases {CASES}",
    "audit": f"melstack audit {CASES}",
    "oof": f"melstack oof {NETWORKS}",
    "features": f"melstack features {NETWORKS}",
    "stack": f"melstack stack {NETWORKS}",
    "submission": f"melstack submission {NETWORKS}",
}
# Part of a stage -> the files that exist once it has begun. A stage without an entry begins with its command.
FILES = {
    "oof: decoding": "pictures/*/parts",
    "oof: embedding": "run/level1/*/.writing-*npy",
    "oof: first fold": "run/level1/*/fold_0/*",
    "oof: first epochs": "run/level1/*/fold_0/history.csv",
    "oof: weights": "run/level1/*/fold_1/model.weights.h5",
    "oof: last fold": "run/level1/*/fold_2/*",
    "stack: tables": "run/level2/default/*.parquet",
    "submission: bundle": "run/.bundle-writing",
    "submission: networks": "run/.bundle-writing/networks/*",
}
STAGES = [
    *("cases", "audit", "oof", "oof: decoding", "oof: embedding", "oof: first fold", "oof: first epochs"),
    *("oof: weights", "oof: last fold", "features", "stack", "stack: tables", "submission"),
    *("submission: bundle", "submission: networks"),
]


@dataclass(frozen=True)
class Pipeline:
    """All commands up to the submission, on a run in ``folder``; may be killed and started again."""

    folder: Path
    data: Path
    models: str

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def output(self) -> str:
        return (self.folder / "output.txt").read_text() if (self.folder / "output.txt").is_file() else ""

    def has_begun(self, stage: str) -> bool:
        """Return whether the current attempt has begun a stage."""
        if f"stage: {stage.split(':')[0]}\n" not in self.output():
            return False
        return stage not in FILES or any(True for _ in self.folder.glob(FILES[stage]))

    def start(self) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(exist_ok=True)
        options = {"run": self.run, "data": self.data, "models": self.models}
        lines = [
            f"echo 'stage: {stage}'; {sys.executable} -m {line.format(**options)}" for stage, line in COMMANDS.items()
        ]
        script = "set -e\n" + "\n".join(lines)
        with (self.folder / "output.txt").open("wb") as output:
            return subprocess.Popen(
                ["sh", "-c", script], cwd=ROOT, stdout=output, stderr=output, start_new_session=True, close_fds=True
            )

    def finish(self, watch: Callable[[], None] = lambda: None) -> None:
        process = self.start()
        while process.poll() is None:
            watch()
            time.sleep(0.005)
        assert process.returncode == 0, self.output()[-3000:]
        assert "damaged" not in self.output()

    def kill(self, stage: str, wait: float) -> str | None:
        """Kill the process group ``wait`` seconds after ``stage`` begins; return the stage that the kill hit.

        Returns None when the pipeline ended before.
        """
        process, latest = self.start(), time.monotonic() + ATTEMPT_SECONDS
        while not self.has_begun(stage) and process.poll() is None and time.monotonic() < latest:
            time.sleep(0.005)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert "Traceback" not in self.output(), self.output()[-3000:]
        assert "damaged" not in self.output(), self.output()[-3000:]
        if process.returncode == 0:
            return None
        assert process.returncode == -signal.SIGKILL, self.output()[-3000:]
        return [name for name in STAGES if self.has_begun(name)][-1]


def stage_seconds(pipeline: Pipeline) -> dict[str, float]:
    """Run a pipeline to its end; return stage -> seconds until the next stage begins."""
    begin_times: dict[str, float] = {}

    def watch() -> None:
        for stage in STAGES:
            if stage not in begin_times and pipeline.has_begun(stage):
                begin_times[stage] = time.monotonic()

    pipeline.finish(watch)
    order = sorted(begin_times, key=lambda stage: begin_times[stage])
    ends = [*(begin_times[stage] for stage in order[1:]), time.monotonic()]
    return {stage: end - begin_times[stage] for stage, end in zip(order, ends, strict=True)}


def file_digests(pipeline: Pipeline) -> dict[str, str]:
    """Return path -> SHA-256 of every file that a mark of the run or of its decoded pictures records."""
    digests = {}
    for mark in sorted(pipeline.folder.rglob("*.json")):
        content = json.loads(mark.read_text())
        if isinstance(content, dict) and "made_from" in content:
            assert find_damage(mark) == []
            folder = mark.parent.relative_to(pipeline.folder)
            digests |= {
                os.path.normpath(folder / name): record["sha256"] for name, record in content["outputs"].items()
            }
    return digests


def check_no_leftovers(pipeline: Pipeline) -> None:
    assert [path for path in pipeline.folder.rglob("*") if "writing" in path.name] == []
    assert read_holder(pipeline.run) is None


@pytest.mark.full
@pytest.mark.skipif(not KILLS, reason="takes long: make test-all TESTS=tests/pipeline/test_kills.py PIPELINE_KILLS=50")
def test_a_pipeline_that_is_killed_in_every_stage_ends_with_the_files_of_an_undisturbed_one(tmp_path: Path) -> None:
    rng, kills = random.Random(7), Counter[str]()
    data = Path(DATA).resolve() if DATA else tmp_path / "data"
    if not DATA:
        draw_clinic(data, train=60, test=30, seed=0)
    for name, text in MODELS.items():
        (tmp_path / f"{name}.toml").write_text(text)
    models = CUSTOM_MODELS.split() if CUSTOM_MODELS else [str(tmp_path / f"{name}.toml") for name in MODELS]
    options = " ".join(f"--models {model}" for model in models)
    reference = Pipeline(tmp_path / "undisturbed", data, options)
    seconds_of = stage_seconds(reference)
    print("undisturbed:", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in seconds_of.items()), flush=True)
    expected, rounds = file_digests(reference), 0
    while kills.total() < KILLS:
        rounds += 1
        pipeline = Pipeline(tmp_path / f"round_{rounds}", data, options)
        for stage, seconds in seconds_of.items():
            wait = rng.uniform(0, seconds)
            hit = pipeline.kill(stage, wait)
            print(f"round {rounds}: {stage} + {wait:.2f} s of {seconds:.2f}: hit {hit}", flush=True)
            kills.update([hit] if hit else [])
            if kills.total() == KILLS:
                break
        pipeline.finish()
        digests = file_digests(pipeline)
        assert [name for name in expected if digests.get(name) != expected[name]] == []
        assert digests.keys() == expected.keys()
        submissions = [(run / "submission.csv").read_bytes() for run in (pipeline.run, reference.run)]
        assert submissions[0] == submissions[1]
        check_no_leftovers(pipeline)
    print(f"{kills.total()} kills in {rounds} rounds, {len(expected)} files the same: {dict(kills)}", flush=True)
