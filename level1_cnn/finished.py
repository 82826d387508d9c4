"""Which models of a run are finished, and the inputs that a model is made from; needs no TensorFlow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from level1_cnn.experiment import Experiment
from level1_cnn.job import Job, part_marks, pretrained_backbone
from level1_cnn.training_settings import FrozenFeatures
from runtime.errors import InputFault, did_you_mean
from runtime.files import read_json
from runtime.invocation import command
from runtime.provenance import check_inputs, digest_of_file, find_damage, is_fresh
from runtime.run_folder import Run

VERSION = 3  # raise it when a change of the code changes what a trained network predicts


def unfinished_models(run: Run, experiments: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Return the ``experiments`` that are not finished; raise InputFault for one begun with other settings."""
    return {
        name: experiment
        for name, experiment in experiments.items()
        if not is_finished(run, name, experiment, experiments)
    }


def is_finished(run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment]) -> bool:
    """Return whether the model is finished; raise InputFault when it was begun with other settings."""
    if not has_sources(run, name, experiment, others):
        return False
    made_from = model_inputs(run, name, experiment)
    folder = run.level1 / name
    remedy = f"give the new settings another file name, or delete {folder} to train {name} again"
    for mark in (folder / "begun.json", folder / "run.json"):
        check_inputs(mark, made_from, remedy)
    outputs = [folder / "predictions.parquet", folder / "embeddings.parquet"]
    # Fold folders may be deleted to save space; those that exist must be undamaged.
    are_parts_fresh = all([is_fresh(mark, made_from) for mark in part_marks(folder)])
    return is_fresh(folder / "run.json", made_from, outputs) and are_parts_fresh


def has_sources(run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment]) -> bool:
    """Return whether all models that this one starts from or learns from are finished.

    Raises InputFault if a source is neither in the run nor among ``others``, or has no pretraining stage to start from.
    """
    is_complete = True
    for setting, source in experiment.sources.items():
        if _is_intact(run.level1 / source):
            continue
        is_complete = False
        if source not in others:
            choices = sorted({*run.networks(), *others} - {name})
            raise InputFault(f"{name}: {setting}: {source!r} is not in this run; {did_you_mean(source, choices)}")
        if setting == "weights" and not others[source].has_pretrain:
            raise InputFault(
                f"{name}: {setting}: {source!r} has no [training.pretrain]; name a model that has a pretraining stage"
            )
    return is_complete


def model_inputs(run: Run, name: str, experiment: Experiment) -> dict[str, Any]:
    """Return settings, case table and source models of a model, as its mark records them under ``made_from``.

    An ONNX file that was moved counts as the one that the model was begun with: the run has a copy of it.
    Raises InputFault if a source model is missing.
    """
    made_from = {"settings": experiment.model_dump(mode="json"), "cases": run.cases_digest(), "version": VERSION}
    if experiment.pseudo_model is not None:
        made_from["pseudo"] = digest_of_file(run.level1 / experiment.pseudo_model / "predictions.parquet")
    if experiment.pretrained_model is not None:
        backbone = pretrained_backbone(run, experiment.pretrained_model)
        if not backbone.is_file():
            raise InputFault(
                f"weights = {experiment.weights!r}: that model of this run has no pretraining stage; "
                "name a model with [training.pretrain]"
            )
        made_from["pretrained"] = digest_of_file(backbone)
    if (file := experiment.onnx_file) is not None:
        made_from |= {"onnx": digest_of_file(file)} if file.is_file() else _begun_with(run, name, "onnx")
    return made_from


def _begun_with(run: Run, name: str, key: str) -> dict[str, Any]:
    inputs = _inputs_in(run.level1 / name / "begun.json")
    return {key: inputs[key]} if key in inputs else {}


def _inputs_in(mark: Path) -> dict[str, Any]:
    """Return the inputs that ``mark`` records; none without a mark."""
    return dict(read_json(mark)["made_from"]) if mark.is_file() else {}


def trained_experiment(run: Run, model: str) -> Experiment | None:
    """Return the experiment that a finished model of ``run`` was trained with; None for one that was imported."""
    inputs = _inputs_in(run.level1 / model / "run.json")
    return Experiment.model_validate(inputs["settings"]) if "settings" in inputs else None


def is_frozen(run: Run, model: str) -> bool:
    """Return whether a finished model of ``run`` was trained in it as a head on frozen features."""
    experiment = trained_experiment(run, model)
    return experiment is not None and isinstance(experiment.training, FrozenFeatures)


def read_trained_experiment(run: Run, model: str) -> Experiment:
    """Return the experiment that a finished model of ``run`` was trained with; raise InputFault for another model."""
    experiment = trained_experiment(run, model)
    if experiment is None:
        raise InputFault(
            f"{run.level1 / model}: not a network trained in this run; name a network that {command('oof')} trained"
        )
    return experiment


def own_file(run: Run, model: str) -> str | None:
    """Return the user's TOML file that a model of the run was begun with; None for a model of a profile."""
    mark = run.level1 / model / "begun.json"
    file = read_json(mark).get("toml") if mark.is_file() else None
    return None if file is None else str(file)


def make_job(run: Run, name: str, experiment: Experiment, devices: str, deterministic: bool) -> Job:
    """Return the model as a job with its current inputs; raise InputFault if a source model is missing."""
    return Job(run, name, experiment, json.dumps(model_inputs(run, name, experiment)), devices, deterministic)


def forecast_job(
    run: Run, name: str, experiment: Experiment, others: Mapping[str, Experiment], devices: str, deterministic: bool
) -> Job:
    """Return the model as a job for a forecast; it has no inputs while its source models are not finished."""
    if not has_sources(run, name, experiment, others):
        return Job(run, name, experiment, "{}", devices, deterministic)
    return make_job(run, name, experiment, devices, deterministic)


def _is_intact(folder: Path) -> bool:
    """Return whether the model in ``folder`` is finished and none of its files is damaged."""
    mark = folder / "run.json"
    return mark.is_file() and not any(find_damage(part) for part in (mark, *part_marks(folder)))
