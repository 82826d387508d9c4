"""The journal of a search for parameters: what was tried, kept in a text file that survives a killed process."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from features.progress import say
from level2_stack.learners import Trial

STUDY = "tuning"
Suggest = Callable[[Trial], dict[str, int | float]]


@dataclass(frozen=True)
class Tried:
    """A finished trial: its parameters, their value, and the seconds it took."""

    params: dict[str, int | float]
    value: float
    seconds: float


class Trials:
    """A search that goes on where it stopped: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    What is proposed depends on ``seed`` and on the trials finished before, not on how often the process died between.
    """

    def __init__(self, storage: Path, made_from: str, suggest: Suggest, *, maximize: bool, seed: int) -> None:
        self._suggest, self._seed = suggest, seed
        self._study = _study(storage, made_from, "maximize" if maximize else "minimize")

    def tried(self) -> list[Tried]:
        """Return the finished trials in their order."""
        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [Tried(trial.params, trial.values[0], trial.user_attrs["seconds"]) for trial in finished]

    def add(self, params: Mapping[str, int | float], score: Callable[[], float]) -> None:
        """Finish a trial of given parameters; one outside its range is no example for the sampler and is left out."""
        started = time.perf_counter()
        ranges = _Ranges()
        self._suggest(ranges)
        inside = {name: limits for name, limits in ranges.asked.items() if limits.low <= params[name] <= limits.high}
        trial = optuna.create_trial(
            params={name: params[name] for name in inside},
            distributions=inside,
            value=score(),
            user_attrs={"seconds": time.perf_counter() - started},
        )
        self._study.add_trial(trial)

    def propose(self, score: Callable[[dict[str, int | float]], float]) -> None:
        """Finish a trial of the parameters that look most promising by now."""
        started = time.perf_counter()
        # A sampler of its own for every trial: no random state has to survive the process.
        state = np.random.SeedSequence([self._seed, len(self.tried())]).generate_state(1)
        self._study.sampler = TPESampler(seed=int(state[0]))
        trial = self._study.ask()
        value = score(self._suggest(trial))
        trial.set_user_attr("seconds", time.perf_counter() - started)
        self._study.tell(trial, value)


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


class _Ranges:
    """A trial that notes the limits of what a learner asks for, and answers with the lower one."""

    def __init__(self) -> None:
        self.asked: dict[str, FloatDistribution | IntDistribution] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = FloatDistribution(low, high, log=log)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked[name] = IntDistribution(low, high, log=log)
        return low


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
