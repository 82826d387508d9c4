"""Search the settings of a model on training folds only: no trial uses the cases of the outer fold."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from textwrap import wrap

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from level1_cnn.hardware.devices import Plan
from level1_cnn.inspect.learning_rate import search_folder
from level1_cnn.job import Job
from level1_cnn.training.finetune import FinetuneTrainer
from level1_cnn.training.trainers import plan_of
from level1_cnn.training_settings import Finetune
from level1_cnn.tuning.inner_cases import InnerCases, inner_cases
from level1_cnn.tuning.search_space import Search, check_model, read_search, replace_values, value_of
from runtime.errors import InputFault
from runtime.files import read_json, replacing, write_text
from runtime.invocation import command, option
from runtime.plural import number_of
from runtime.progress import say
from runtime.provenance import digest, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.settings import toml_text
from runtime.trials import TrialResult, Trials, Value, quiet

CHANCE = 0.5  # AUC recorded for a trial whose training diverged


@dataclass(frozen=True)
class SearchRun(Run):
    """A run with its networks in another folder, so that a search does not change the models of the run."""

    networks_folder: Path

    @property
    def level1(self) -> Path:
        """The folder of the search, with a folder per trial."""
        return self.networks_folder


def tune_model(job: Job, search: str) -> Path:
    """Search the settings of ``job`` within the ranges of ``search`` (a name in configs/search, or a TOML file).

    First the outer fold that the search names is left out, with all copies and near-duplicates of its pictures and of
    test pictures. A trial is trained and evaluated (AUC on the unchanged picture, without other views) fold by fold on
    the other folds. It is stopped early when its mean over the folds so far is below the median of the other trials.
    The first trial has the model's own settings, so that the best trial is never worse on these folds. After a kill,
    the search continues; the current trial continues after its last finished epoch. Writes trials.csv and
    <model>_tuned.toml to level1_search/<model> and returns the path of the TOML file. Raises InputFault if model,
    ranges and folds do not fit together.
    """
    space = read_search(search)
    settings = check_model(job.name, job.experiment, space, search)
    inner = inner_cases(job.run, space.fold)
    folder = search_folder(job)
    evaluator = _TrialEvaluator(job, settings, inner, folder / "trials")
    with quiet():
        trials = Trials(
            folder / "journal.log",
            _made_from(job, space),
            lambda trial: space.suggest(trial, settings),
            maximize=True,
            seed=space.seed,
            steps=len(inner.folds),
        )
        _search(trials, space, settings, evaluator, job.name)
    return _report(job, space, settings, inner, trials.results()[: space.trials])


class _TrialEvaluator:
    """Train trials fold by fold and return their AUC."""

    def __init__(self, job: Job, settings: Finetune, inner: InnerCases, folder: Path) -> None:
        self._job, self._settings, self._inner, self._folder = job, settings, inner, folder

    def scores(self, values: Mapping[str, Value]) -> Iterator[float]:
        """Yield the mean AUC over the inner folds so far, after each of them."""
        trial = self._trial(values)
        trainer: FinetuneTrainer | None = None
        aucs: list[float] = []
        for fold in self._inner.folds:
            mark = trial.fold_mark(fold)
            if not is_fresh(mark, trial.made_from):
                trainer = trainer or self._trainer(trial)
                write_mark(mark, trial.made_from, auc=self._auc(trainer, fold, mark.parent))
                _delete_weights(mark.parent)
            aucs.append(float(read_json(mark)["auc"]))
            yield float(np.mean(aucs))

    @cached_property
    def _plan(self) -> Plan:
        return plan_of(self._job)

    def _trial(self, values: Mapping[str, Value]) -> Job:
        """Return the job of a trial; its folder is named after its settings, so that a repeated trial continues."""
        training = replace_values(self._settings, values)
        experiment = self._job.experiment.model_copy(update={"training": training, "views": ("identity",)})
        made_from = {**self._job.made_from, "settings": experiment.model_dump(mode="json"), "outer": self._inner.outer}
        run = SearchRun(self._job.run.folder, self._folder)
        name = f"{self._job.name}-{digest(made_from)}"
        return replace(self._job, run=run, name=name, experiment=experiment, inputs_json=json.dumps(made_from))

    def _trainer(self, trial: Job) -> FinetuneTrainer:
        training = trial.experiment.training
        assert isinstance(training, Finetune)
        keras.backend.clear_session()
        keras.utils.set_random_seed(trial.experiment.seed)
        trainer = FinetuneTrainer(trial, training, self._plan, self._inner.cases)
        trainer.prepare()
        return trainer

    def _auc(self, trainer: FinetuneTrainer, fold: int, folder: Path) -> float:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            predictions = trainer.fit_fold(fold, folder)
        except FloatingPointError as error:
            say(f"{error}; the fold is recorded with AUC {CHANCE}")
            return CHANCE
        if predictions is None:
            raise InputFault(f"a search runs on one host; use other devices than {option('devices', 'workers')}")
        probability = predictions.table()["probability"]
        return float(roc_auc_score(self._inner.cases.loc[probability.index, "target"], probability))


def _made_from(job: Job, search: Search) -> str:
    """Return a digest of all inputs of a trial except its own settings; the number of trials is not among them."""
    return digest({"model": job.made_from, "search": search.model_dump(mode="json", exclude={"trials"})})


def _search(trials: Trials, search: Search, settings: Finetune, evaluator: _TrialEvaluator, name: str) -> None:
    model_values = {key: value_of(settings, key) for key in search.ranges}
    while len(trials.results()) < search.trials:
        if trials.results():
            trials.propose(evaluator.scores)
        else:
            trials.add(model_values, lambda: evaluator.scores(model_values))
        say(f"{name}: trial {len(trials.results())} of {search.trials}: {_describe(trials.results()[-1])}")


def _describe(result: TrialResult) -> str:
    settings = ", ".join(f"{key} = {_short(value)}" for key, value in result.params.items())
    count = len(result.steps)
    folds = f"stopped early after {number_of(count, 'fold')}" if result.is_pruned else f"mean over {count} folds"
    return f"AUC {result.value:.4f}, {folds}; {settings}"


def _report(job: Job, search: Search, settings: Finetune, inner: InnerCases, results: list[TrialResult]) -> Path:
    """Write trials.csv and the TOML file of the best trial, print the result, and return the path of the TOML file."""
    folder = search_folder(job)
    model_values = {key: value_of(settings, key) for key in search.ranges}
    with replacing(folder / "trials.csv") as temporary:
        trials_table(results, model_values, inner).to_csv(temporary, index=False)
    number = best_trial(results)
    values = results[number].params if number else model_values
    experiment = job.experiment.model_copy(update={"training": replace_values(settings, values)})
    reason = f"tuned: best of {len(results)} trials on folds {inner.fold_list}"
    path = folder / f"{job.name}_tuned.toml"
    best, before = results[number].value, results[0].value
    head = (
        f"{job.name}, tuned: trial {number + 1} of {len(results)}, mean AUC {best:.4f} over folds {inner.fold_list} "
        f"({before:.4f} before); fold {inner.outer} was not used. {inner.optimism_note}"
    )
    write_text(path, toml_text(experiment.model_dump(), wrap(head, 110), {f"training.{key}": reason for key in values}))
    winner = f"trial {number + 1}" if number else "the model's own settings"
    say(f"{job.name}: best of {len(results)} trials: {winner}, mean AUC {best:.4f}; before {before:.4f}")
    say(f"{job.name}: {inner.optimism_note}")
    say(f"{job.name}: {command('oof', models=path)} trains the tuned model")
    return path


def best_trial(results: list[TrialResult]) -> int:
    """Return the index (from 0) of the best trial that was not stopped early, the earlier one of two equal trials."""
    return int(np.argmax([-np.inf if trial.is_pruned else trial.value for trial in results]))


def trials_table(results: list[TrialResult], model_values: Mapping[str, Value], inner: InnerCases) -> pd.DataFrame:
    """Return one row per trial: mean AUC, number of folds, whether it was stopped early, settings, mean per fold."""
    rows = []
    for number, trial in enumerate(results):
        means = {f"mean_after_fold_{fold}": mean for fold, mean in zip(inner.folds, trial.steps, strict=False)}
        facts = {"trial": number + 1, "auc": trial.value, "folds": len(trial.steps), "pruned": trial.is_pruned}
        settings = trial.params if number else model_values
        rows.append({**facts, "seconds": round(trial.seconds, 1), **settings, **means})
    return pd.DataFrame(rows)


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _delete_weights(folder: Path) -> None:
    """Delete the weights of a fold of a trial, which take much space and are not needed; keep its history and mark."""
    for path in (*folder.glob("model*"), *folder.glob("best.*"), folder / "state.npz"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
