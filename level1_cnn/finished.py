"""Which models of a run are finished, and what a model is made from: seen without importing TensorFlow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from level1_cnn.experiment import Experiment
from level1_cnn.job import Job, part_marks, pretrained_backbone
from runtime.errors import InputFault, did_you_mean
from runtime.provenance import check_inputs, digest_of_file, find_damage, is_fresh
from runtime.run_folder import Run

VERSION = 3  # raise it when a change of the code changes what a trained network predicts


def unfinished_models(run: Run, experiments: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Return those of ``experiments`` that are not finished; raise InputFault for one begun with other settings."""
    return {name: one for name, one in experiments.items() if not is_finished(run, name, one, experiments)}


def is_finished(run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment]) -> bool:
    """Tell whether the model is finished; raise InputFault when it was begun with other settings."""
    if not has_sources(run, name, experiment, others):
        return False
    made_from = model_inputs(run, experiment)
    folder = run.level1 / name
    remedy = f"give the new settings a file name of their own, or delete {folder} to train {name} anew"
    for mark in (folder / "begun.json", folder / "run.json"):
        check_inputs(mark, made_from, remedy)
    outputs = [folder / "predictions.parquet", folder / "embeddings.parquet"]
    # Folds that somebody took away, to save space, are not missed; those that are there must be sound.
    parts = all([is_fresh(mark, made_from) for mark in part_marks(folder)])
    return is_fresh(folder / "run.json", made_from, outputs) and parts


def has_sources(run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment]) -> bool:
    """Tell whether the models that this one builds on are finished; raise InputFault where they never will be."""
    finished = True
    for setting, source in experiment.sources.items():
        if _is_sound(run.level1 / source):
            continue
        finished = False
        if source not in others:
            known = sorted({*run.networks(), *others} - {name})
            raise InputFault(f"{name}: {setting}: {source!r} is not in this run; {did_you_mean(source, known)}")
        if setting == "weights" and not others[source].has_pretrain:
            raise InputFault(f"{name}: {setting}: {source!r} has no [training.pretrain]")
    return finished


def model_inputs(run: Run, experiment: Experiment) -> dict[str, Any]:
    """Return what a model of ``run`` is made from now; raise InputFault where a model that it starts from is absent."""
    made_from = {"settings": experiment.model_dump(mode="json"), "cases": run.cases_digest(), "version": VERSION}
    if experiment.pseudo_model is not None:
        made_from["pseudo"] = digest_of_file(run.level1 / experiment.pseudo_model / "predictions.parquet")
    if experiment.pretrained_model is not None:
        backbone = pretrained_backbone(run, experiment.pretrained_model)
        if not backbone.is_file():
            raise InputFault(f"weights = {experiment.weights!r}: that model of this run has no pretraining stage")
        made_from["pretrained"] = digest_of_file(backbone)
    return made_from


def make_job(run: Run, name: str, experiment: Experiment, devices: str, deterministic: bool) -> Job:
    """Return the model as a job, with what it is made from now; raise InputFault where a source of it is absent."""
    return Job(run, name, experiment, json.dumps(model_inputs(run, experiment)), devices, deterministic)


def forecast_job(
    run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment], devices: str, deterministic: bool
) -> Job:
    """Return the model as a job that is only forecast: of what it is made from nothing is known before its sources."""
    if not has_sources(run, name, experiment, others):
        return Job(run, name, experiment, "{}", devices, deterministic)
    return make_job(run, name, experiment, devices, deterministic)


def _is_sound(folder: Path) -> bool:
    """Tell whether the model in ``folder`` is finished, and nothing of it damaged."""
    mark = folder / "run.json"
    return mark.is_file() and not any(find_damage(part) for part in (mark, *part_marks(folder)))
