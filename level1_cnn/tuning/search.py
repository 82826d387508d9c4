"""Search a model's settings on training folds alone: every trial is trained and judged without the outer fold."""

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

from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.experiment import Finetune
from level1_cnn.hardware.devices import Plan
from level1_cnn.inspect.learning_rate import search_folder
from level1_cnn.job import Job
from level1_cnn.training.finetune import FinetuneTrainer
from level1_cnn.training.trainers import plan_of
from level1_cnn.tuning.search_space import Choices, Search, changed, check_search, read_search, value_of
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing, write_text
from runtime.progress import say
from runtime.provenance import digest, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.settings import toml_text
from runtime.trials import TrialResult, Trials, Value, quiet

CHANCE = 0.5  # the AUC of a trial whose training diverged


@dataclass(frozen=True)
class SearchRun(Run):
    """A run whose networks are kept in another folder: a search writes nothing that the run's own models read."""

    networks_folder: Path

    @property
    def level1(self) -> Path:
        """One folder per trial."""
        return self.networks_folder


@dataclass(frozen=True)
class Inner:
    """What a search sees: the cases without those of the outer fold, and the folds that are left."""

    cases: pd.DataFrame
    outer: int
    folds: list[int]


def tune_model(job: Job, search: str) -> Path:
    """Search the settings of ``job`` within the ranges of ``search`` (a name in configs/search, or a TOML file).

    The outer fold that the search names is taken away first, with every picture that shows one of its pictures or a
    test picture. A trial is trained and judged (AUC, the picture as it is, no other views) on the remaining folds in
    turn, and cut short when its mean over the folds so far is below the median of the others. The model's own
    settings are the first trial, so nothing worse on these folds can win. Killed and started again, it goes on: a
    trial from its last finished epoch. Writes trials.csv and <model>_tuned.toml to level1_search/<model> and returns
    the latter's path. Raises InputFault where model, ranges and folds do not fit together.
    """
    wanted = read_search(search)
    settings = _checked(job, wanted, search)
    inner = inner_cases(job.run, wanted.fold)
    folder = search_folder(job)
    judge = _Judge(job, settings, inner, folder / "trials")
    with quiet():
        trials = Trials(
            folder / "journal.log",
            _made_from(job, wanted),
            lambda trial: wanted.suggest(trial, settings),
            maximize=True,
            seed=wanted.seed,
            steps=len(inner.folds),
        )
        _search(trials, wanted, settings, judge, job.name)
    return _report(job, wanted, settings, inner, trials.results()[: wanted.trials])


def inner_cases(run: Run, outer: int) -> Inner:
    """Return the cases that a search may see: none of the outer fold or the test, nor a picture that shows one."""
    cases = run.read_cases()
    folds = sorted(int(fold) for fold in cases.loc[cases["role"] == "train", "fold"].unique())
    if outer not in folds or len(folds) < 3:
        raise InputFault(f"outer fold {outer} of folds {folds}: a search needs it and two others at least")
    cases = cases[cases["picture"].notna()]
    classes = cases[cases["role"] == "train"].groupby("fold")["target"].nunique()
    poor = [int(fold) for fold in classes.index[classes < 2] if fold != outer]
    if poor:
        raise InputFault(f"folds with one class only, on which no AUC can be computed: {list_names(poor)}")
    hidden = (cases["role"] == "test") | ((cases["role"] == "train") & (cases["fold"] == outer))
    same = Lookalikes(run, cases).of_fold(outer)
    return Inner(cases[~hidden & ~cases.index.isin(list(same))], outer, [fold for fold in folds if fold != outer])


class _Judge:
    """Train trials and say how good they are, fold by fold."""

    def __init__(self, job: Job, settings: Finetune, inner: Inner, folder: Path) -> None:
        self._job, self._settings, self._inner, self._folder = job, settings, inner, folder

    def scores(self, values: Mapping[str, Value]) -> Iterator[float]:
        """Yield the mean AUC over the inner folds so far, after each of them."""
        trial = self._trial(values)
        trainer: FinetuneTrainer | None = None
        found: list[float] = []
        for fold in self._inner.folds:
            mark = trial.fold_mark(fold)
            if not is_fresh(mark, trial.made_from):
                trainer = trainer or self._trainer(trial)
                write_mark(mark, trial.made_from, auc=self._auc(trainer, fold, mark.parent))
                _forget_weights(mark.parent)
            found.append(float(read_json(mark)["auc"]))
            yield float(np.mean(found))

    @cached_property
    def _plan(self) -> Plan:
        return plan_of(self._job)

    def _trial(self, values: Mapping[str, Value]) -> Job:
        """Return the job of a trial, in a folder of its own that its settings name: repeated, it goes on."""
        training = changed(self._settings, values)
        experiment = self._job.experiment.model_copy(update={"training": training, "views": ("identity",)})
        made_from = {**self._job.made_from, "settings": experiment.model_dump(mode="json"), "outer": self._inner.outer}
        place = SearchRun(self._job.run.folder, self._folder)
        name = f"{self._job.name}-{digest(made_from)}"
        return replace(self._job, run=place, name=name, experiment=experiment, ingredients=json.dumps(made_from))

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
            predicted = trainer.fit_fold(fold, folder)
        except FloatingPointError as error:
            say(f"{error}: counted as AUC {CHANCE}")
            return CHANCE
        if predicted is None:
            raise InputFault("a search runs on one host; tune without devices = 'workers'")
        probability = predicted.table()["probability"]
        return float(roc_auc_score(self._inner.cases.loc[probability.index, "target"], probability))


def _checked(job: Job, search: Search, name: str) -> Finetune:
    settings = job.experiment.training
    if not isinstance(settings, Finetune):
        raise InputFault(f"{job.name}: the method is 'frozen'; tune is for method = 'finetune'")
    if settings.pseudo is not None:
        raise InputFault(f"{job.name}: its pseudo-labels come from networks that saw the outer fold; tune without them")
    keep = search.ranges.get("keep")
    if settings.keep == "best" or (isinstance(keep, Choices) and "best" in keep.choices):
        raise InputFault(f"{job.name}: keep = 'best' chooses an epoch on the fold that judges a trial; take another")
    check_search(search, settings, f"{name} for {job.name}")
    return settings


def _made_from(job: Job, search: Search) -> str:
    """Return a digest of all that a trial's value depends on, beside its own settings; more trials change nothing."""
    return digest({"model": job.made_from, "search": search.model_dump(mode="json", exclude={"trials"})})


def _search(trials: Trials, search: Search, settings: Finetune, judge: _Judge, name: str) -> None:
    own = {key: value_of(settings, key) for key in search.ranges}
    while len(trials.results()) < search.trials:
        if trials.results():
            trials.propose(judge.scores)
        else:
            trials.add(own, lambda: judge.scores(own))
        say(f"{name}: trial {len(trials.results())} of {search.trials}: {_sentence(trials.results()[-1])}")


def _sentence(tried: TrialResult) -> str:
    settings = ", ".join(f"{key} = {_short(value)}" for key, value in tried.params.items())
    folds = f"cut short after {len(tried.steps)} fold(s)" if tried.is_pruned else f"over {len(tried.steps)} folds"
    return f"AUC {tried.value:.4f} {folds}; {settings}"


def _report(job: Job, search: Search, settings: Finetune, inner: Inner, tried: list[TrialResult]) -> Path:
    folder = search_folder(job)
    own = {key: value_of(settings, key) for key in search.ranges}
    with replacing(folder / "trials.csv") as temporary:
        trials_table(tried, own, inner).to_csv(temporary, index=False)
    number = best_trial(tried)
    chosen = tried[number].params if number else own
    experiment = job.experiment.model_copy(update={"training": changed(settings, chosen)})
    judged = ", ".join(str(fold) for fold in inner.folds)
    reason = f"tuned: best of {len(tried)} trials on folds {judged}"
    path = folder / f"{job.name}_tuned.toml"
    best, before = tried[number].value, tried[0].value
    head = (
        f"{job.name}, tuned: trial {number + 1} of {len(tried)}, mean AUC {best:.4f} over folds {judged} "
        f"({before:.4f} before); fold {inner.outer} was never seen. {_honesty(inner)}"
    )
    write_text(path, toml_text(experiment.model_dump(), wrap(head, 110), {f"training.{key}": reason for key in chosen}))
    won = "its own settings are the best of" if not number else f"trial {number + 1} is the best of"
    say(f"{job.name}: {won} {len(tried)}: mean AUC {best:.4f}, before {before:.4f}")
    say(f"{job.name}: {_honesty(inner)}")
    say(f"{job.name}: train it by: make oof MODELS={path}")
    return path


def _honesty(inner: Inner) -> str:
    judged = ", ".join(str(fold) for fold in inner.folds)
    return (
        f"The out-of-fold AUC of the tuned model on folds {judged} is optimistic, since they took part in the choice; "
        f"that on fold {inner.outer} is not."
    )


def best_trial(tried: list[TrialResult]) -> int:
    """Return the number (from 0) of the best trial that was carried through, the earlier where two are equal."""
    return int(np.argmax([-np.inf if trial.is_pruned else trial.value for trial in tried]))


def trials_table(tried: list[TrialResult], own: Mapping[str, Value], inner: Inner) -> pd.DataFrame:
    """Return one row per trial: mean AUC, how many folds it was judged on, its settings, the mean after each fold."""
    rows = []
    for number, trial in enumerate(tried):
        means = {f"mean_after_fold_{fold}": mean for fold, mean in zip(inner.folds, trial.steps, strict=False)}
        facts = {"trial": number + 1, "auc": trial.value, "folds": len(trial.steps), "pruned": trial.is_pruned}
        settings = trial.params if number else own
        rows.append({**facts, "seconds": round(trial.seconds, 1), **settings, **means})
    return pd.DataFrame(rows)


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _forget_weights(folder: Path) -> None:
    """Keep a fold's history and its mark; a trial's weights are of no use, and there are many."""
    for path in (*folder.glob("model*"), *folder.glob("best.*"), folder / "state.npz"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
