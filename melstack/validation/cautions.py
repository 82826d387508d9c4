"""What a reader must know before the figures of a validation: few patients, an AUC below chance, equal scores."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from level2_stack.evaluation.subgroups import MIN_PATIENTS
from melstack.bundle.predictions import Predictions
from melstack.validation.cases import ValidationCases
from runtime.errors import list_names
from runtime.plural import number_of

CHANCE = 0.5  # AUC
LEAST_ROWS = 5  # with fewer, equal scores may be a coincidence


def has_few_patients(cases: ValidationCases) -> bool:
    """Return whether a class has so few patients that resampling them gives limits that are far too narrow."""
    return min(_patients(cases).values()) < MIN_PATIENTS


def without_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` with NaN in the columns of lower and upper limits."""
    names = [str(name) for name in table.columns]
    limits = [name for name in names if name in ("low", "high") or name.endswith(("_low", "_high"))]
    return table.assign(**dict.fromkeys(limits, np.nan))


def is_below_chance(measures: pd.DataFrame) -> bool:
    """Return whether the interval of the AUC in ``measures`` (metric, value, low, high) is below 0.5."""
    return bool((measures.loc[measures["metric"] == "auc", "high"] < CHANCE).any())


def cautions(cases: ValidationCases, measures: pd.DataFrame) -> list[str]:
    """Return the sentences to read before the figures; empty for most validations."""
    return [*_few(cases), *_below_chance(measures), *_equal_scores(cases.predictions)]


def _patients(cases: ValidationCases) -> Mapping[str, int]:
    classes = {"malignant": 1.0, "benign": 0.0}
    return {name: len(set(cases.groups[cases.y == label])) for name, label in classes.items()}


def _few(cases: ValidationCases) -> Iterator[str]:
    if has_few_patients(cases):
        counts = " and ".join(
            f"{number_of(count, 'patient')} with a {name}" for name, count in _patients(cases).items()
        )
        yield (
            f"{counts} picture: too few for limits, which need {MIN_PATIENTS} of each, so none are given; the figures "
            "describe these cases only"
        )


def _below_chance(measures: pd.DataFrame) -> Iterator[str]:
    if is_below_chance(measures):
        yield (
            "the AUC is below chance: the labels may be exchanged, or belong to other pictures; check what counts as "
            "malignant in the cases below"
        )


def _equal_scores(predictions: Predictions) -> Iterator[str]:
    scores = {name: table["probability"] for name, table in predictions.networks.items()}
    scores["the bundle"] = predictions.table["probability"]
    equal = [name for name, values in scores.items() if len(values) >= LEAST_ROWS and values.nunique() == 1]
    if equal:
        yield f"the same probability for every case by {list_names(equal)}: it says nothing about them"
