"""Do one part of level one: the preparation, what the folds of a model share, or one fold. Array jobs do one each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from level1_cnn.hardware.gpu_nodes import check_gpus
from melstack.options import CasesOptions, NetworkOptions, StackOptions
from melstack.steps.training import begin_job, check_networks, experiments_of, prepare_networks, train_run
from runtime.errors import InputFault, did_you_mean
from runtime.invocation import option
from runtime.progress import say

if TYPE_CHECKING:
    from pathlib import Path

    from level1_cnn.job import Job
    from runtime.run_folder import Run

ATTEMPT = "SLURM_RESTART_COUNT"  # set by SLURM for a job that it has put into the queue again


def prepare_parts(source: CasesOptions, networks: NetworkOptions, stack: StackOptions) -> None:
    """Freeze and audit the cases, import other networks, and decode the pictures; the first job does it."""
    with source.lock(create=True):
        train_run(source, networks, None, stack, work=prepare_networks)
        say("prepared: the parts of level one can be done in any order, models that others build on first")


def do_part(
    source: CasesOptions, networks: NetworkOptions, stack: StackOptions, model: str, fold: int | None = None
) -> None:
    """Compute what the folds of ``model`` share, or with ``fold`` that fold; a finished one is left as it is.

    Other parts of the run may be done at the same time. Raises InputFault if the run is not prepared or is used by
    another command, and if another process does this part.
    """
    from level1_cnn.training.trainers import Trainers
    from runtime.folder_lock import lock_folder, read_holder
    from runtime.run_folder import Run

    run = Run(source.folder)
    run.facts()
    if (holder := read_holder(run.folder)) is not None:
        raise InputFault(f"{run.folder}: another command uses it ({holder}); parts begin after it")
    check_gpus(networks.devices)
    folds = int(run.read_cases()["fold"].max()) + 1
    if fold is not None and fold >= folds:
        say(f"{model}: the run has the folds 0 to {folds - 1}; nothing to do")
        return
    job = _job_of(run, source, networks, stack, model)
    folder = job.folder if fold is None else job.fold_mark(fold).parent
    _release_lock_of_earlier_attempt(folder)
    with lock_folder(folder):
        if fold is None:
            Trainers().prepare(job)
            say(f"{model}: what its folds share is finished")
        else:
            say(Trainers().finish_fold(job, fold))


def _job_of(run: Run, source: CasesOptions, networks: NetworkOptions, stack: StackOptions, model: str) -> Job:
    others = check_networks(source, networks, stack.foreign)
    experiments = experiments_of(run, networks, others)
    if model not in experiments:
        raise InputFault(f"{option('model', model)}: not a model of this run; {did_you_mean(model, list(experiments))}")
    return begin_job(run, model, experiments[model], networks)


def _release_lock_of_earlier_attempt(folder: Path) -> None:
    """Remove the lock that this same job left on another machine: SLURM starts it again only when it has ended."""
    if int(os.environ.get(ATTEMPT, "0") or 0) > 0:
        (folder / "lock").unlink(missing_ok=True)
