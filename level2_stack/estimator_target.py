"""Read the target of the estimator: which class is positive, and the folds that it allows."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_X_y
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from features.cases.fold_design.by_patient import assign_folds
from features.leaks.cells import STANDARD_ERRORS
from features.words.diagnoses import is_benign, means_malignant
from features.words.spelling import plain_word
from level2_stack.design.fold_checks import MIN_FOLDS
from level2_stack.design.tabular import Groups
from runtime.errors import list_names

Floats = NDArray[np.float64]
MOST_FOLDS = 100  # with more, a fold would have one or two rows, and the pairs of folds would need thousands of fits
USUAL_FOLDS = 20  # with more, the fits take long and no figure becomes better
LOW_AUC = 0.4  # below it a network ranks the classes in reverse
NEGATIONS = frozenset(("no", "non", "not", "without", "false", "kein", "keine"))
POSITIVE_WORDS = frozenset(
    (
        *("cancer", "cancerous", "carcinoma", "tumor", "tumour", "disease", "diseased", "sick", "suspicious", "mel"),
        *("mm", "bcc", "scc", "ak", "akiec", "positive", "pos", "yes", "true", "case", "abnormal", "bösartig"),
    )
)
NEGATIVE_WORDS = frozenset(
    (
        *(
            "benign",
            "nevus",
            "naevus",
            "nevi",
            "naevi",
            "mole",
            "nv",
            "bkl",
            "healthy",
            "normal",
            "control",
            "harmless",
        ),
        *("other", "others", "rest", "none", "negative", "neg", "absent", "unsuspicious", "gutartig", "gesund"),
    )
)


@dataclass(frozen=True)
class Target:
    """The target: ``classes`` in sorted order, the ``positive`` one, and ``codes`` (n,), 1.0 where it is positive."""

    classes: NDArray[Any]
    positive: Any
    codes: Floats

    @property
    def negative(self) -> Any:  # noqa: ANN401
        """The other class."""
        return next(label for label in self.classes.tolist() if label != self.positive)


def read_target(y: ArrayLike, n_samples: int, positive: Any, estimator: BaseEstimator) -> Target:  # noqa: ANN401
    """Return the target in ``y`` (n_samples,) of two classes; ``positive`` counts as 1, by default the last in order.

    Warns where known words say that the other class is the positive one. Raises ValueError for missing values, values
    of several types, another number of classes, and a ``positive`` that is not one of them.
    """
    values = _plain_labels(y)
    _, values = check_X_y(np.zeros((n_samples, 1)), values, estimator=estimator)
    check_classification_targets(values)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) == 1:
        raise ValueError(f"y has 1 class, {classes[0]}; it must have 2")
    if len(classes) > 2:
        kind = type_of_target(values, input_name="y")
        spellings = {plain_word(str(label)) for label in classes.tolist()}
        reason = "several differ only in case or blanks: write each class in one way" if len(spellings) == 2 else ""
        text = "; ".join([f"y has the classes {list_names(classes)}", *([reason] if reason else [])])
        raise ValueError(f"Only binary classification is supported. The type of the target is {kind}: {text}.")
    labels = classes.tolist()
    if positive is not None and positive not in labels:
        raise ValueError(
            f"positive = {positive!r}: y has the classes {labels[0]!r} and {labels[1]!r}; name one of them"
        )
    target = Target(classes, labels[1] if positive is None else positive, codes.astype(np.float64))
    if target.positive == labels[0]:
        return Target(classes, positive, 1 - target.codes)
    if positive is None and _meaning(labels[0]) > _meaning(labels[1]):
        _warn(
            f"y: {labels[1]!r} counts as positive, because it is the last in order, and {labels[0]!r} as negative; "
            f"the words say the opposite: pass positive={labels[0]!r}, or positive={labels[1]!r} if it is right"
        )
    return target


def _plain_labels(y: ArrayLike) -> Any:  # noqa: ANN401
    """Return ``y`` with labels of one type; arrays of other shapes are left to scikit-learn's checks."""
    labels = np.asarray(y, dtype=object)
    if labels.ndim != 1:
        return y
    values = pd.Series(labels)
    if values.isna().any():
        missing = list_names(np.flatnonzero(values.isna()))
        raise ValueError(f"Input y contains NaN: missing in rows {missing}; leave these rows out, or give them a class")
    kinds = {"number" if isinstance(value, Real) and not isinstance(value, bool) else type(value) for value in values}
    if len(kinds) > 1:
        examples = ", ".join(sorted({repr(value) for value in values})[:4])
        raise ValueError(f"Unknown label type: y has values of several types ({examples}); write each class in one way")
    return values.infer_objects().to_numpy()


def _meaning(label: object) -> int:
    """Return 1 for a word for a malignant lesion, -1 for one for a benign lesion, 0 for an unknown one."""
    if not isinstance(label, str):
        return 0
    text = plain_word(label)
    words = set(re.findall(r"[^\W\d_]+", text))
    has_negation = bool(words & NEGATIONS)
    if words & NEGATIVE_WORDS or (not has_negation and is_benign(text)):
        return 1 if has_negation else -1
    if words & POSITIVE_WORDS or means_malignant(text):
        return -1 if has_negation else 1
    return -1 if has_negation else 0


def warn_of_reversed_scores(scores: Mapping[str, pd.DataFrame], target: Target) -> None:
    """Warn if each of ``scores`` (name -> one column) ranks the negative class above the positive one beyond chance."""
    areas = [_auc(table.to_numpy(dtype=np.float64)[:, 0], target.codes) for table in scores.values()]
    if areas and all(area < LOW_AUC and is_sure for area, is_sure in areas):
        highest = max(area for area, _ in areas)
        _warn(
            f"every score ranks {target.negative!r} above {target.positive!r}, which counts as positive (AUC at most "
            f"{highest:.2f}); if the scores are for {target.negative!r}, pass positive={target.negative!r}"
        )


def _auc(values: Floats, codes: Floats) -> tuple[float, bool]:
    """Return the AUC of the values that are not missing, and whether it is below 0.5 by more than chance."""
    present = ~np.isnan(values)
    positives = int(codes[present].sum())
    negatives = int(present.sum()) - positives
    if not positives or not negatives:
        return 0.5, False
    error = np.sqrt((positives + negatives + 1) / (12 * positives * negatives))  # of the AUC of noise (Mann, Whitney)
    area = float(roc_auc_score(codes[present], values[present]))
    return area, area < 0.5 - STANDARD_ERRORS * error


def outer_folds(target: Target, patients: Groups, n_folds: object, seed: int) -> NDArray[np.int8]:
    """Return the outer fold (n,) of every row; patients stay together. Raises ValueError if classes have too few."""
    if not isinstance(n_folds, Integral) or not MIN_FOLDS <= int(n_folds) <= MOST_FOLDS:
        raise ValueError(f"n_folds = {n_folds!r}: must be a whole number from {MIN_FOLDS} to {MOST_FOLDS}")
    negative, positive = (len(np.unique(patients[target.codes == label])) for label in (0, 1))
    most, count = min(negative, positive), int(n_folds)
    counts = f"{negative} groups with class {target.negative} and {positive} with class {target.positive}"
    if most < MIN_FOLDS:
        raise ValueError(
            f"n_samples = {len(patients)}: {counts}; nested evaluation needs at least {MIN_FOLDS} groups of each class"
        )
    if count > most:
        raise ValueError(f"n_folds = {count}: {counts}; every fold needs one of each class: n_folds of at most {most}")
    if count > USUAL_FOLDS:
        pairs = count * (count - 1) // 2
        _warn(
            f"n_folds = {count}: every learner is fitted on {count} folds and {pairs} pairs of folds; 5 to 10 are usual"
        )
    folds = assign_folds(pd.Series(patients), pd.Series(target.codes), count=count, seed=seed)
    return folds.to_numpy(dtype=np.int8)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)
