"""A search for settings: trials, kept in a journal (a text file) that survives a killed process."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from runtime.progress import say

STUDY = "tuning"
FINISHED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)
TRIALS_BEFORE_PRUNING = 4  # the median of fewer trials is too uncertain to stop a trial by

Limits: TypeAlias = FloatDistribution | IntDistribution | CategoricalDistribution
Value = bool | int | float | str
Scores = Iterable[float]  # a trial's value so far, after each of its steps; the last one is the value of the trial


class Trial(Protocol):
    """The source of proposed settings: each has a name and is chosen within limits or from a list."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from ``low`` to ``high``, chosen on a linear or (``log``) logarithmic scale."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        """Return one of ``choices``."""


Suggest = Callable[[Trial], Mapping[str, Value]]


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its settings, the value (score) after each step, its seconds, whether it was stopped early."""

    params: dict[str, Value]
    steps: tuple[float, ...]
    seconds: float
    is_pruned: bool

    @property
    def value(self) -> float:
        """The value after the last step."""
        return self.steps[-1]


class Trials:
    """A search that continues where it stopped: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    The proposals depend on ``seed`` and on the finished trials, not on how often the process was killed in between.
    A trial of several ``steps`` is stopped early when its value after a step is worse than the median of the complete
    trials after the same step.
    """

    def __init__(
        self, storage: Path, made_from: str, suggest: Suggest, *, maximize: bool, seed: int, steps: int = 1
    ) -> None:
        self._suggest, self._seed, self._steps = suggest, seed, steps
        self._study = _study(storage, made_from, "maximize" if maximize else "minimize")
        self._study.pruner = _StepMedianPruner()

    def results(self) -> list[TrialResult]:
        """Return the finished trials in order, also those that were stopped early."""
        return [_result(trial) for trial in self._study.get_trials(deepcopy=False, states=FINISHED_STATES)]

    def add(self, params: Mapping[str, Value], scores: Callable[[], Scores]) -> None:
        """Run a trial with the settings ``params`` to its last step; ``scores()`` yields its value after each step.

        The sampler ignores settings outside their limits.
        """
        start = time.perf_counter()
        recorder = _LimitsRecorder()
        self._suggest(recorder)
        distributions = {name: limits for name, limits in recorder.limits.items() if _contains(limits, params[name])}
        values = list(scores())
        trial = optuna.create_trial(
            params={name: params[name] for name in distributions},
            distributions=distributions,
            value=values[-1],
            intermediate_values=dict(enumerate(values)),
            user_attrs={"seconds": time.perf_counter() - start},
        )
        self._study.add_trial(trial)

    def propose(self, scores: Callable[[Mapping[str, Value]], Scores]) -> None:
        """Run a trial with the settings that the sampler proposes; stop it early as the class describes.

        ``scores(settings)`` yields the value after each step.
        """
        start = time.perf_counter()
        # Every trial has its own sampler, so that no random state has to survive the process.
        state = np.random.SeedSequence([self._seed, len(self.results())]).generate_state(1)
        self._study.sampler = TPESampler(seed=int(state[0]))
        trial = self._study.ask()
        value = self._run_steps(trial, scores(self._suggest(trial)))
        trial.set_user_attr("seconds", time.perf_counter() - start)
        if value is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, value)

    def _run_steps(self, trial: optuna.Trial, scores: Scores) -> float | None:
        """Return the value after the last step, or None when the trial is stopped early."""
        value = float("nan")
        for step, value in enumerate(scores):
            trial.report(value, step)
            if step + 1 < self._steps and trial.should_prune():
                return None
        return value


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Optuna's log lines and its warnings about experimental features while the block runs."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


class _StepMedianPruner(BasePruner):  # type: ignore[misc]
    """Stop a trial whose value after a step is worse than the median of the complete trials after the same step.

    Optuna's own median pruner compares a trial's best step so far. Steps here are running means over folds: after an
    easy first fold, it would never stop a trial.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether to stop ``trial`` after its last step."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step = trial.last_step
        others = [other.intermediate_values[step] for other in complete if step in other.intermediate_values]
        if len(others) < TRIALS_BEFORE_PRUNING:
            return False
        difference = trial.intermediate_values[step] - float(np.median(others))
        maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        return bool(difference < 0 if maximize else difference > 0)


class _LimitsRecorder:
    """A trial that records the limits of every suggested setting; it returns the lower limit or the first choice."""

    def __init__(self) -> None:
        self.limits: dict[str, Limits] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Record the limits of a number and return the lower one."""
        self.limits[name] = FloatDistribution(low, high, log=log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Record the limits of a whole number and return the lower one."""
        self.limits[name] = IntDistribution(low, high, log=log)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        """Record the choices and return the first."""
        self.limits[name] = CategoricalDistribution(choices)
        return choices[0]


def _contains(limits: Limits, value: Value) -> bool:
    if isinstance(limits, CategoricalDistribution):
        return bool(value in limits.choices)
    return not isinstance(value, str) and bool(limits.low <= value <= limits.high)


def _result(trial: FrozenTrial) -> TrialResult:
    values = trial.intermediate_values or {0: trial.values[0]}
    steps = tuple(values[step] for step in sorted(values))
    return TrialResult(trial.params, steps, trial.user_attrs["seconds"], trial.state == TrialState.PRUNED)


def _study(storage: Path, made_from: str, direction: str) -> optuna.Study:
    """Return the study in ``storage``, ready for the next trial; an empty one when it was made from other inputs."""
    storage.parent.mkdir(parents=True, exist_ok=True)
    _repair(storage)
    study = _try_open_study(storage, direction)
    if study is None or study.user_attrs.get("made_from") != made_from:
        if study is None or study.trials:
            say(f"tuning: {storage.name} was made from other rows, settings or code; the search starts again")
        storage.unlink()
        study = _open_study(storage, direction)
        study.set_user_attr("made_from", made_from)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _repair(storage: Path) -> None:
    """Remove what a process leaves when it is killed while writing: its lock and a line without an end."""
    storage.with_name(f"{storage.name}.lock").unlink(missing_ok=True)
    content = storage.read_bytes() if storage.is_file() else b""
    if not content.endswith(b"\n") and content:
        with storage.open("r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)


def _try_open_study(storage: Path, direction: str) -> optuna.Study | None:
    """Return the study in ``storage``, an empty one when the file is missing, None when it is not a journal."""
    try:
        return _open_study(storage, direction)
    except (ValueError, KeyError, TypeError):
        return None


def _open_study(storage: Path, direction: str) -> optuna.Study:
    journal = JournalStorage(JournalFileBackend(str(storage)))
    if STUDY in optuna.get_all_study_names(journal):
        return optuna.load_study(study_name=STUDY, storage=journal)
    return optuna.create_study(storage=journal, study_name=STUDY, direction=direction)
