"""The journal of a search for settings: what was tried, kept in a text file that survives a killed process."""

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
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# What is worse than the median of fewer trials may still be good.
TRIALS_BEFORE_PRUNING = 4

Limits: TypeAlias = FloatDistribution | IntDistribution | CategoricalDistribution
Value = bool | int | float | str
Scores = Iterable[float]  # the value of a trial as it is known after each of its steps; the last is the trial's


class Trial(Protocol):
    """What proposes settings: each by name, within limits or from a list."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from ``low`` to ``high``, evenly spread or (``log``) evenly on the logarithm."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        """Return one of ``choices``."""


Suggest = Callable[[Trial], Mapping[str, Value]]


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its settings, their value after each step, its seconds, and whether it was cut short."""

    params: dict[str, Value]
    steps: tuple[float, ...]
    seconds: float
    is_pruned: bool

    @property
    def value(self) -> float:
        """The value after the last step that was made."""
        return self.steps[-1]


class Trials:
    """A search that goes on where it stopped: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    What is proposed depends on ``seed`` and on the trials finished before, not on how often the process died between.
    A trial that gives its value in several ``steps`` is cut short when it is worse after one of them than the median
    of the trials that were carried through.
    """

    def __init__(
        self, storage: Path, made_from: str, suggest: Suggest, *, maximize: bool, seed: int, steps: int = 1
    ) -> None:
        self._suggest, self._seed, self._steps = suggest, seed, steps
        self._study = _study(storage, made_from, "maximize" if maximize else "minimize")
        self._study.pruner = _BehindTheMedian()

    def results(self) -> list[TrialResult]:
        """Return the finished trials in their order, those cut short among them."""
        return [_tried(trial) for trial in self._study.get_trials(deepcopy=False, states=FINISHED)]

    def add(self, params: Mapping[str, Value], scores: Callable[[], Scores]) -> None:
        """Finish a trial of given settings, never cut short; one outside its range is no example for the sampler."""
        started = time.perf_counter()
        ranges = _Ranges()
        self._suggest(ranges)
        inside = {name: limits for name, limits in ranges.asked.items() if _holds(limits, params[name])}
        values = list(scores())
        trial = optuna.create_trial(
            params={name: params[name] for name in inside},
            distributions=inside,
            value=values[-1],
            intermediate_values=dict(enumerate(values)),
            user_attrs={"seconds": time.perf_counter() - started},
        )
        self._study.add_trial(trial)

    def propose(self, scores: Callable[[Mapping[str, Value]], Scores]) -> None:
        """Finish, or cut short, a trial of the settings that look most promising by now."""
        started = time.perf_counter()
        # A sampler of its own for every trial: no random state has to survive the process.
        state = np.random.SeedSequence([self._seed, len(self.results())]).generate_state(1)
        self._study.sampler = TPESampler(seed=int(state[0]))
        trial = self._study.ask()
        value = self._carry_out(trial, scores(self._suggest(trial)))
        trial.set_user_attr("seconds", time.perf_counter() - started)
        if value is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, value)

    def _carry_out(self, trial: optuna.Trial, scores: Scores) -> float | None:
        """Return the value after the last step, or None when there is no use in going that far."""
        value = float("nan")
        for step, value in enumerate(scores):
            trial.report(value, step)
            if step + 1 < self._steps and trial.should_prune():
                return None
        return value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's own lines and its warnings about young features from the user while the block runs."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


class _BehindTheMedian(BasePruner):  # type: ignore[misc]
    """Cut a trial short whose value after a step is worse than the median of the others' after the same step.

    Optuna's own median pruner looks at a trial's best step so far. Steps here are running means over folds, of which
    the first may be an easy one: after it nothing would ever be cut short.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step = trial.last_step
        others = [other.intermediate_values[step] for other in complete if step in other.intermediate_values]
        if len(others) < TRIALS_BEFORE_PRUNING:
            return False
        behind = trial.intermediate_values[step] - float(np.median(others))
        maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        return bool(behind < 0 if maximize else behind > 0)


class _Ranges:
    """A trial that notes the limits of what is asked for, and answers with the lower one or the first choice."""

    def __init__(self) -> None:
        self.asked: dict[str, Limits] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = FloatDistribution(low, high, log=log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked[name] = IntDistribution(low, high, log=log)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        self.asked[name] = CategoricalDistribution(choices)
        return choices[0]


def _holds(limits: Limits, value: Value) -> bool:
    if isinstance(limits, CategoricalDistribution):
        return bool(value in limits.choices)
    return not isinstance(value, str) and bool(limits.low <= value <= limits.high)


def _tried(trial: FrozenTrial) -> TrialResult:
    values = trial.intermediate_values or {0: trial.values[0]}
    steps = tuple(values[step] for step in sorted(values))
    return TrialResult(trial.params, steps, trial.user_attrs["seconds"], trial.state == TrialState.PRUNED)


def _study(storage: Path, made_from: str, direction: str) -> optuna.Study:
    """Return the study in ``storage``, ready for the next trial; begin it anew when it was made from other things."""
    storage.parent.mkdir(parents=True, exist_ok=True)
    _mend(storage)
    study = _loaded(storage, direction)
    if study is None or study.user_attrs.get("made_from") != made_from:
        if study is None or study.trials:
            say(f"tuning: {storage.name} is of other rows, settings or code; the search begins anew")
        storage.unlink()
        study = _opened(storage, direction)
        study.set_user_attr("made_from", made_from)
    for unfinished in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(unfinished.number, state=TrialState.FAIL)
    return study


def _mend(storage: Path) -> None:
    """Take away what a process leaves that dies while it writes: its lock, and a line without an end."""
    storage.with_name(f"{storage.name}.lock").unlink(missing_ok=True)
    written = storage.read_bytes() if storage.is_file() else b""
    if not written.endswith(b"\n") and written:
        with storage.open("r+b") as journal:
            journal.truncate(written.rfind(b"\n") + 1)


def _loaded(storage: Path, direction: str) -> optuna.Study | None:
    """Return the study in ``storage``, an empty one where there is no file, None where the file is no journal."""
    try:
        return _opened(storage, direction)
    except (ValueError, KeyError, TypeError):
        return None


def _opened(storage: Path, direction: str) -> optuna.Study:
    journal = JournalStorage(JournalFileBackend(str(storage)))
    if STUDY in optuna.get_all_study_names(journal):
        return optuna.load_study(study_name=STUDY, storage=journal)
    return optuna.create_study(storage=journal, study_name=STUDY, direction=direction)
