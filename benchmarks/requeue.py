"""Stop the parts of a run again and again, let them continue, and compare every file with an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from features.clinic.folder import draw_clinic
from runtime.errors import InputFault
from runtime.plural import number_of
from runtime.progress import say
from runtime.provenance import find_damage

HEAD = '\nbackbone = "tiny"\nvariant = "tiny"\nweights = "none"\nimage_size = 32\n[training]\n'
MODELS = {
    "trained": HEAD
    + 'method = "finetune"\nepochs = 100\nbatch_size = 8\nlearning_rate = 0.01\nkeep = "best"\nmonitor = true\n',
    "fixed": HEAD + 'method = "frozen"\nregularisation = 0.01\n',
}
QUEUE = 'walltime = "1:00:00"\nmemory = "3GB"\njobs = 2\n'
PAUSE = (8.0, 30.0)  # seconds between two signals: a part needs some to start, and to reach a checkpoint
FOLDS = 3
MOST_RUNS = 20
LATEST = 3600.0  # seconds until a run that does not end counts as one that hangs


def run_requeue(folder: Path, rounds: int, seed: int, *, slurm: bool) -> bool:
    """Make a run in ``folder`` undisturbed, and others with ``rounds`` signals; return whether all files are equal.

    A run takes the signals that are sent before it ends, and another one the rest. With ``slurm`` the parts are jobs of
    the SLURM of this machine, which puts them into the queue again; else they are processes that are started again.
    Raises InputFault if the folder exists.
    """
    if folder.exists():
        raise InputFault(f"{folder}: exists; name a new folder")
    folder = folder.resolve()
    draw_clinic(folder / "data", train=150, test=60)
    for name, text in MODELS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "cluster.toml").write_text(QUEUE)
    _melstack(folder, "oof", *_options(folder, "undisturbed"))
    chance, signals, number, is_equal = random.Random(seed), 0, 0, True
    disturb = _with_slurm if slurm else _without_slurm
    while signals < rounds and number < MOST_RUNS:
        number += 1
        more = disturb(folder, f"disturbed_{number}", rounds - signals, chance)
        signals += more
        say(f"requeue: {more} signals while parts were running, {signals} of {rounds} in {number_of(number, 'run')}")
        is_equal &= _compare(folder / "undisturbed", folder / f"disturbed_{number}")
    return is_equal and signals == rounds


def _options(folder: Path, run: str) -> list[str]:
    models = " ".join(f"{name}.toml" for name in MODELS)
    words = ["--data", "data", "--run", str(folder / run), "--models", models, "--folds", str(FOLDS)]
    return [*words, "--deterministic", "--devices", "cpu"]


def _melstack(folder: Path, *words: str) -> None:
    result = subprocess.run([sys.executable, "-m", "melstack", *words], cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise InputFault(f"melstack {' '.join(words)}: exit code {result.returncode}: {result.stderr[-2000:]}")


def _without_slurm(folder: Path, name: str, rounds: int, chance: random.Random) -> int:
    """Do all parts as processes, stop them ``rounds`` times at random moments, and end the run; return the signals."""
    _melstack(folder, "part", *_options(folder, name))
    run, signals = ["--run", str(folder / name)], 0
    parts = [
        ["--model", model, *extra] for model in MODELS for extra in ([], *(["--fold", str(k)] for k in range(FOLDS)))
    ]
    for part in sorted(parts, key=len):
        while not _is_done(folder, [*run, *part], chance.uniform(*PAUSE) if signals < rounds else LATEST):
            signals += 1
    _melstack(folder, "oof", *run)
    return signals


def _is_done(folder: Path, words: Sequence[str], seconds: float) -> bool:
    """Do a part, and stop it after ``seconds``; return whether it ended before; raise InputFault if it failed."""
    process = subprocess.Popen([sys.executable, "-m", "melstack", "part", *words], cwd=folder)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
    if process.returncode not in (0, 128 + signal.SIGTERM):
        raise InputFault(f"part {' '.join(words)}: exit code {process.returncode}")
    return process.returncode == 0


def _with_slurm(folder: Path, name: str, rounds: int, chance: random.Random) -> int:
    """Submit the run, send ``rounds`` signals to jobs that are running, and wait for the end; return the signals."""
    _melstack(folder, "sbatch", *_options(folder, name), "--last", "oof")
    subprocess.run(["bash", str(folder / name / "slurm" / "submit.sh")], check=True)
    signals, until = 0, time.monotonic() + LATEST
    while jobs := list(_jobs()):
        running = [number for number, name, state in jobs if state == "RUNNING" and "rest" not in name]
        if running and signals < rounds:
            stop = subprocess.run(["scancel", "--signal=TERM", "--batch", chance.choice(running)], check=False)
            signals += stop.returncode == 0
        _release(jobs)
        time.sleep(chance.uniform(*PAUSE) if signals < rounds else 2)
        if time.monotonic() > until:
            raise InputFault(f"the jobs do not end: {jobs}")
    return signals


def _jobs() -> Iterator[tuple[str, str, str]]:
    """Yield (number, name, state) of every job of this user in the queue."""
    text = subprocess.run(["squeue", "--me", "-h", "-r", "-o", "%i %j %T"], check=True, capture_output=True, text=True)
    for line in text.stdout.splitlines():
        number, name, state = line.split()
        if name.startswith("melstack-"):
            yield number, name, state


def _release(jobs: list[tuple[str, str, str]]) -> None:
    """Let jobs start at once that were put into the queue again: SLURM holds them back for two minutes."""
    for number, _, state in jobs:
        if state == "PENDING":
            subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], capture_output=True, check=False)


def _compare(first: Path, second: Path) -> bool:
    """Print how many files of both runs are equal; return whether all are."""
    ours, theirs = _digests(first), _digests(second)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    say(f"requeue: {len(ours)} files of level one, {len(different)} of them differ {' '.join(different[:5])}")
    return not different and bool(ours)


def _digests(run: Path) -> dict[str, str]:
    """Return path -> digest of every file of level one that a mark records."""
    digests: dict[str, str] = {}
    for mark in sorted((run / "level1").rglob("*.json")):
        place = mark.parent.relative_to(run)
        digests |= {os.path.normpath(place / name): digest for name, digest in _outputs(mark).items()}
    return digests


def _outputs(mark: Path) -> dict[str, str]:
    """Return name -> digest of the files that ``mark`` records, none for another file; raise InputFault if damaged."""
    content = json.loads(mark.read_text(encoding="utf-8"))
    outputs = content.get("outputs") if isinstance(content, dict) else None
    if outputs and (damage := find_damage(mark)):
        raise InputFault(f"{mark}: {damage}")
    return {name: each["sha256"] for name, each in (outputs or {}).items()}
