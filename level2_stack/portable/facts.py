"""The facts of a portable stack, and the check that they agree with each other."""

from pathlib import Path
from typing import Any

from pydantic import Field

from level2_stack import learners
from level2_stack.calibration import calibrate
from level2_stack.learner_contract import Predict
from runtime.errors import Faults, InputFault
from runtime.settings import Settings


class Column(Settings):
    """A column of the design; a text column has its ``categories``, a number None."""

    name: str
    categories: tuple[str, ...] | None = None


class Member(Settings):
    """A learner of the stack: its number of seeds, the share of rounds that each fold uses (None: no booster).

    ``corrections`` are log odds that are added to the logits because negatives were thinned.
    """

    name: str
    seeds: int
    rounds: tuple[float, ...] | None
    corrections: tuple[tuple[float, ...], ...]  # per fold and seed


class Update(Settings):
    """A change of the log odds to the cases of another clinic: intercept + slope * log odds."""

    intercept: float = Field(allow_inf_nan=False)
    slope: float = Field(gt=0, allow_inf_nan=False)


class StackFacts(Settings):
    """The content of ``stack.json``: everything that the stack needs besides its models."""

    submitted: str
    members: tuple[Member, ...]
    weights: tuple[tuple[float, ...], ...]  # per fold, of the members' logits
    calibrators: tuple[dict[str, Any], ...]  # per fold: its name and parameters
    trained: tuple[float, ...]  # per fold: the share of malignant cases among its training rows
    prevalence: float | None
    columns: tuple[Column, ...]
    update: Update | None = None  # of the mean probability; None: the bundle is as its run made it


def check_facts(facts: StackFacts, path: Path) -> None:
    """Raise InputFault unless all facts are of the same folds, members and seeds; ``path`` is their file."""
    faults, folds = Faults(), len(facts.weights)
    if not folds or not facts.members or not facts.columns:
        faults.add("no fold, no member or no column")
    if len(facts.calibrators) != folds or len(facts.trained) != folds:
        faults.add(
            f"{len(facts.calibrators)} calibrators and {len(facts.trained)} shares of malignant cases for {folds} folds"
        )
    if any(len(weights) != len(facts.members) for weights in facts.weights):
        faults.add("a fold has another number of weights than there are members")
    for name in (name for name, values in _shares(facts).items() if not all(0 < value < 1 for value in values)):
        faults.add(f"{name}: a value is not between 0 and 1")
    if len({column.name for column in facts.columns}) < len(facts.columns):
        faults.add("two columns have the same name")
    if any(len(set(column.categories or ())) < len(column.categories or ()) for column in facts.columns):
        faults.add("a column has a category twice")
    for member in facts.members:
        _check_member(member, folds, faults)
    for calibrator in facts.calibrators:
        _check_calibrator(calibrator, faults)
    faults.raise_if_any(f"{path}: the facts of the stack do not agree; write the bundle again")


def _shares(facts: StackFacts) -> dict[str, tuple[float, ...]]:
    return {"trained": facts.trained, "prevalence": () if facts.prevalence is None else (facts.prevalence,)}


def _check_member(member: Member, folds: int, faults: Faults) -> None:
    if len(member.corrections) != folds or any(len(each) != member.seeds for each in member.corrections):
        faults.add(f"{member.name}: corrections are not of {folds} folds and {member.seeds} seeds")
    if member.rounds is not None and len(member.rounds) != folds:
        faults.add(f"{member.name}: shares of the rounds for {len(member.rounds)} of {folds} folds")
    if member.name not in learners.names():
        faults.add(f"no learner {member.name!r}")


def _check_calibrator(parameters: dict[str, Any], faults: Faults) -> None:
    values = dict(parameters)
    try:
        calibrate.from_parameters(values.pop("name"), values)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        faults.add(f"calibrator {str(parameters)[:80]}: {error}")


def read_model(learner: str, folder: Path) -> Predict:
    """Return the model of ``learner`` in ``folder``; raise InputFault when a file is missing or damaged."""
    try:
        return learners.find(learner).load(folder)
    except InputFault:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, OSError) as error:
        raise InputFault(
            f"{folder}: not a model of the learner {learner!r}: its files are damaged ({error})"
        ) from error
