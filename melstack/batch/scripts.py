"""Write the scripts of a run for SLURM: preparation, job arrays over (model, fold), and the stack."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.cluster.queue_settings import QueueSettings
from runtime.files import write_text
from runtime.forecasts import Forecast
from runtime.machine.memory import bytes_of

FOLDER = "slurm"  # in the run
WARNING = 120  # seconds before the walltime at which SLURM signals the job
SPARE = 2.0  # times the longest forecast: a node may be slower, or shared
START = 600  # seconds to start the program, and to read pictures for the first time
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Batch:
    """One script: a command per line of ``commands``, one for each task of a job array; ``gpus`` if it trains."""

    name: str
    commands: Sequence[str]
    seconds: int
    memory: int  # bytes
    is_array: bool = False
    gpus: int = 0


@dataclass(frozen=True)
class BatchPlan:
    """The scripts of ``run`` in their order; each begins when those before it have ended without an error."""

    run: Path
    settings: QueueSettings
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)

    def batches(self, groups: Sequence[Sequence[str]], folds: int, verb: str) -> list[Batch]:
        """Return the scripts: preparation, for each of ``groups`` (models) two arrays, and the command ``verb``."""
        whole, memory = self.settings.seconds, bytes_of(self.settings.memory)
        batches = [Batch("prepare", [self._command("part")], whole, memory)]
        for number, group in enumerate(groups, start=1):
            models = [self._command("part", "--model", name) for name in group]
            parts = [f"{command} --fold {fold}" for command in models for fold in range(folds)]
            size, gpus = max(self._memory(name) for name in group), self.settings.gpus
            batches.append(Batch(f"shared_{number}", models, self._seconds(group, 1), size, True, gpus))
            batches.append(Batch(f"folds_{number}", parts, self._seconds(group, folds), size, True, gpus))
        return [*batches, Batch("rest", [self._command(verb)], whole, memory)]

    def _command(self, verb: str, *words: str) -> str:
        return shlex.join([sys.executable, "-m", "melstack", verb, "--run", str(self.run), *words])

    def _seconds(self, models: Sequence[str], parts: int) -> int:
        """Return the time of the longest part of ``models``, with some to spare; the walltime without a forecast."""
        if not all(name in self.forecasts for name in models):
            return self.settings.seconds
        longest = max(self.forecasts[name].time.high for name in models) / parts
        return min(self.settings.seconds, round(SPARE * longest) + START)

    def _memory(self, model: str) -> int:
        """Return the bytes for a part of ``model``: a quarter more than its forecast, or those of cluster.toml."""
        forecast = self.forecasts.get(model)
        return bytes_of(self.settings.memory) if forecast is None else round(1.25 * forecast.memory) + (256 << 20)

    def text(self, batch: Batch) -> str:
        """Return the script of ``batch``."""
        logs = self.run / FOLDER / "logs"
        directives = {
            "job-name": f"melstack-{batch.name}",
            "time": _clock(batch.seconds),
            "mem": f"{-(-batch.memory // MEGABYTE)}M",
            "cpus-per-task": self.settings.cores,
            "output": logs / (f"{batch.name}-%A_%a.out" if batch.is_array else f"{batch.name}-%j.out"),
            "open-mode": "append",
            "signal": f"B:TERM@{min(WARNING, batch.seconds // 4)}",
            "partition": self.settings.queue,
            "account": self.settings.account,
            "array": f"0-{len(batch.commands) - 1}%{self.settings.jobs}" if batch.is_array else None,
            "gres": f"gpu:{batch.gpus}" if batch.gpus else None,
        }
        lines = [f"#SBATCH --{name}={value}" for name, value in directives.items() if value is not None]
        lines += ["#SBATCH --requeue", *(f"#SBATCH {option}" for option in self.settings.options)]
        tasks = [f"  {shlex.quote(command)}" for command in batch.commands]
        return "\n".join(["#!/bin/bash", *lines, *HEAD, *self.settings.environment, "tasks=(", *tasks, ")", *BODY, ""])


HEAD = [
    "# Written by `melstack sbatch`. A part that is stopped continues where its last checkpoint is.",
    f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
]
# SLURM signals this shell, which tells the program, waits for its checkpoint, and puts the job into the queue again.
BODY = [
    'job="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"',
    "stop() {",
    '  kill -TERM "$program" 2>/dev/null',
    '  wait "$program"',
    '  scontrol requeue "$job"',
    "  exit 0",
    "}",
    "trap stop TERM",
    'bash -c "exec ${tasks[${SLURM_ARRAY_TASK_ID:-0}]}" &',
    "program=$!",
    'wait "$program"',
]


def write_scripts(plan: BatchPlan, batches: Sequence[Batch]) -> Path:
    """Write a script per batch and submit.sh, which submits all of them with their order; return its path."""
    folder = plan.run / FOLDER
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    lines = ["#!/bin/bash", "set -e", "dependency="]
    for number, batch in enumerate(batches):
        path = folder / f"{number}_{batch.name}.sh"
        write_text(path, plan.text(batch))
        lines += [
            f"job=$(sbatch --parsable $dependency {shlex.quote(str(path))})",
            f'echo "{batch.name}: job $job"',
            'dependency="--dependency=afterok:$job --kill-on-invalid-dep=yes"',
        ]
    write_text(folder / "submit.sh", "\n".join([*lines, ""]))
    return folder / "submit.sh"


def _clock(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes // 60}:{minutes % 60:02d}:00"
