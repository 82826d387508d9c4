"""Tests of the section "Estimator" of docs/field_inputs.md: tables as they are passed to NestedStackingClassifier."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from melstack import NestedStackingClassifier
from tests.melstack.field_inputs.situation import rows_of_page

ROWS = 120
ROW = np.arange(ROWS)
MALIGNANT = ROW % 5 < 2
CODES = tuple(int(row % 5 < 2) for row in ROW)
PATIENTS = np.array([f"p{row // 3}" for row in ROW])
SETTINGS = {"scores": ["net"], "n_folds": 3, "learners": ["ridge"], "calibration": ("none",)}
Change = Callable[[pd.DataFrame], Any]


def table() -> pd.DataFrame:
    """Return X: a network's scores and an age."""
    random = np.random.default_rng(0)
    score = 1 / (1 + np.exp(1 - 2 * MALIGNANT - random.normal(size=ROWS)))
    return pd.DataFrame({"net": score, "age": random.integers(20, 90, ROWS).astype(float)})


@dataclass(frozen=True)
class Fit:
    """``X``, ``y`` and ``groups`` are changes of a table; ``predict_on`` is what the fitted estimator predicts."""

    X: Change = lambda X: X
    y: Any = CODES
    groups: Change | None = lambda X: PATIENTS
    settings: Mapping[str, Any] = field(default_factory=dict)
    predict_on: Change | None = None

    def text(self) -> tuple[int, str]:
        """Return 0 or 2 (refused), and what is said: the error, or what was fitted, with the warnings."""
        X = self.X(table())
        groups = None if self.groups is None else self.groups(table())
        with warnings.catch_warnings(record=True) as messages:
            warnings.simplefilter("always")
            try:
                stack = NestedStackingClassifier(**{**SETTINGS, **self.settings}).fit(X, self.y, groups)
                outcome = self._prediction(stack) if self.predict_on else _outcome_of(stack)
            except ValueError as error:
                return 2, " ".join(str(error).split())
        return 0, " ".join([outcome, *(f"warning: {each.message}" for each in messages)])

    def _prediction(self, stack: NestedStackingClassifier) -> str:
        assert self.predict_on is not None
        return f"{len(stack.predict_proba(self.predict_on(table()), PATIENTS))} rows predicted"


def _outcome_of(stack: NestedStackingClassifier) -> str:
    row = stack.leaderboard_.loc["choice"]
    columns = ", ".join(name for name in stack._columns.numbers + stack._columns.categories)
    auc = "above" if row["auc"] > 0.6 else "below" if row["auc"] < 0.4 else "near"
    return f"positive: {stack.positive_!r}; features: {columns}; AUC {auc} 0.5; {len(set(stack.folds_))} folds."


def words(malignant: object, benign: object) -> list[object]:
    """Return y with one label for malignant rows and another for benign ones."""
    return [malignant if is_malignant else benign for is_malignant in MALIGNANT]


def flip(X: pd.DataFrame) -> pd.DataFrame:
    """Return X with scores that are probabilities of the benign class."""
    return X.assign(net=1 - X["net"])


def ages(*texts: str) -> Change:
    """Return a change that writes the first ages as ``texts``, and the rest as texts of numbers."""
    return lambda X: X.assign(age=[*texts, *X["age"].astype(int).astype(str)[len(texts) :]])


ORDER = np.random.default_rng(1).permutation(ROWS)
SITUATIONS = {
    "labels_benign_malignant": Fit(y=words("malignant", "benign")),
    "labels_melanoma_nevus": Fit(y=words("melanoma", "nevus")),
    "labels_cancer_healthy": Fit(y=words("cancer", "healthy")),
    "labels_upper_case": Fit(y=words("Malignant", "benign")),
    "labels_case_control": Fit(y=words("case", "control")),
    "labels_non_melanoma": Fit(y=words("melanoma", "non-melanoma")),
    "labels_yes_no": Fit(y=words("yes", "no")),
    "positive_melanoma": Fit(y=words("melanoma", "nevus"), settings={"positive": "melanoma"}),
    "positive_zero": Fit(X=flip, settings={"positive": 0}),
    "positive_unknown": Fit(y=words("melanoma", "nevus"), settings={"positive": "mel"}),
    "scores_for_the_other_class": Fit(X=flip),
    "two_scores_for_the_other_class": Fit(
        X=lambda X: flip(X).assign(b=1 - X["net"] ** 2), settings={"scores": ["net", "b"]}
    ),
    "scores_of_codes_1_and_2": Fit(y=words(1, 2)),
    "one_of_two_scores_reversed": Fit(X=lambda X: X.assign(b=1 - X["net"]), settings={"scores": ["net", "b"]}),
    "y_booleans": Fit(y=MALIGNANT),
    "y_floats": Fit(y=MALIGNANT.astype(float)),
    "y_texts_0_and_1": Fit(y=words("1", "0")),
    "y_categorical": Fit(y=pd.Categorical(words("malignant", "benign"))),
    "y_nullable_integers": Fit(y=pd.array(words(1, 0), dtype="Int64")),
    "y_with_nan": Fit(y=[np.nan, *words(1.0, 0.0)[1:]]),
    "y_with_none": Fit(y=[None, *words("malignant", "benign")[1:]]),
    "y_with_na": Fit(y=pd.array([pd.NA, *words(1, 0)[1:]], dtype="Int64")),
    "y_of_two_types": Fit(y=[*words(1, 0)[:60], *words("1", "0")[60:]]),
    "y_words_in_two_cases": Fit(y=["Malignant", *words("malignant", "benign")[1:]]),
    "y_one_class": Fit(y=np.ones(ROWS)),
    "y_three_classes": Fit(y=ROW % 3),
    "ages_with_years": Fit(X=ages("45 years", "52 yrs", "61 y")),
    "ages_with_a_decimal_comma": Fit(X=ages("45,5")),
    "ages_unknown": Fit(X=ages("unknown", "?", "n.a.")),
    "ages_of_text_in_other_names": Fit(X=lambda X: ages("45 years")(X).rename(columns={"age": "Age at visit"})),
    "ages_implausible": Fit(X=ages("old", "150")),
    "texts_of_numbers": Fit(X=lambda X: X.assign(diameter=[f"{row % 9}.5" for row in ROW])),
    "texts_of_numbers_with_one_error": Fit(
        X=lambda X: X.assign(diameter=["big", *(f"{row % 9}.5" for row in ROW[1:])])
    ),
    "id_image_name": Fit(X=lambda X: X.assign(image_name=[f"ISIC_{row}" for row in ROW])),
    "id_row_number": Fit(X=lambda X: X.assign(number=ROW[::-1])),
    "id_file": Fit(X=lambda X: X.assign(path=[f"jpeg/{row}.jpg" for row in ROW])),
    "id_patient_again": Fit(X=lambda X: X.assign(patient=PATIENTS)),
    "id_lesion": Fit(X=lambda X: X.assign(lesion_id=[f"L{row // 2}" for row in ROW])),
    "id_patient_number": Fit(X=lambda X: X.assign(patient_id=ROW // 3)),
    "id_of_a_clinic": Fit(X=lambda X: X.assign(clinic_id=ROW % 4)),
    "biopsed_among_the_columns": Fit(X=lambda X: X.assign(biopsed=ROW % 2)),
    "dx_type_among_the_columns": Fit(X=lambda X: X.assign(dx_type=np.where(ROW % 2, "histo", "follow_up"))),
    "score_of_another_class": Fit(X=lambda X: X.assign(bcc=(1 - X["net"]) / 3)),
    "ages_minus_one": Fit(X=lambda X: X.assign(age=[-1, 999, *X["age"][2:]])),
    "ages_standardised": Fit(X=lambda X: X.assign(age=[-1.0, *((X["age"] - 50) / 20)[1:]])),
    "dates_as_texts": Fit(X=lambda X: X.assign(seen=[f"2019-{1 + row % 12:02d}-1{row % 9}" for row in ROW])),
    "target_among_the_columns": Fit(X=lambda X: X.assign(target=MALIGNANT.astype(int))),
    "target_as_words": Fit(X=lambda X: X.assign(benign_malignant=words("malignant", "benign"))),
    "target_as_a_score": Fit(X=lambda X: X.assign(net=MALIGNANT.astype(float))),
    "target_in_an_array": Fit(X=lambda X: np.column_stack([X, MALIGNANT]), settings={"scores": [0]}),
    "diagnosis_among_the_columns": Fit(
        X=lambda X: X.assign(
            diagnosis=[("melanoma" if row % 2 else "bcc") if bad else "nv" for row, bad in enumerate(MALIGNANT)]
        )
    ),
    "thickness_of_malignant_rows": Fit(X=lambda X: X.assign(mel_thick_mm=np.where(MALIGNANT, 0.5, np.nan))),
    "score_of_float32": Fit(X=lambda X: X.assign(net=np.where(ROW == 0, 1.0000001, X["net"]))),
    "score_just_below_zero": Fit(X=lambda X: X.assign(net=np.where(ROW == 1, -1e-8, X["net"]))),
    "score_outside": Fit(X=lambda X: X.assign(net=np.where(ROW == 0, 1.2, X["net"]))),
    "score_in_percent": Fit(X=lambda X: X.assign(net=100 * X["net"])),
    "groups_of_two_types": Fit(groups=lambda X: [row // 3 if row % 2 else str(row // 3) for row in ROW]),
    "groups_of_floats_and_integers": Fit(
        groups=lambda X: [f"{row // 3}.0" if row % 2 else f"{row // 3}" for row in ROW]
    ),
    "groups_in_two_cases": Fit(groups=lambda X: [f"P{row // 3}" if row % 2 else f" p{row // 3}" for row in ROW]),
    "groups_with_none": Fit(groups=lambda X: [None, np.nan, *PATIENTS[2:]]),
    "groups_unknown": Fit(groups=lambda X: ["unknown" if row < 3 else PATIENTS[row] for row in ROW]),
    "groups_zero": Fit(groups=lambda X: ["0" if row < 9 else patient for row, patient in enumerate(PATIENTS)]),
    "groups_twins": Fit(groups=lambda X: ["P-5" if row < 3 else patient for row, patient in enumerate(PATIENTS)][::-1]),
    "groups_large": Fit(groups=lambda X: ["p1" if row < 60 else patient for row, patient in enumerate(PATIENTS)]),
    "groups_a_table": Fit(groups=lambda X: pd.DataFrame({"patient": PATIENTS})),
    "groups_a_name": Fit(groups=lambda X: "patient"),
    "groups_shorter": Fit(groups=lambda X: PATIENTS[:-1]),
    "groups_in_another_order": Fit(groups=lambda X: pd.Series(PATIENTS)[ORDER]),
    "y_in_another_order": Fit(y=pd.Series(MALIGNANT.astype(int))[ORDER]),
    "groups_of_other_cases": Fit(
        X=lambda X: X.set_axis([f"a{row}" for row in ROW]),
        groups=lambda X: pd.Series(PATIENTS, index=[f"b{row}" for row in ROW]),
    ),
    "groups_with_reset_index": Fit(X=lambda X: X.set_axis(ROW + 1000), groups=lambda X: pd.Series(PATIENTS)),
    "x_without_columns": Fit(X=lambda X: X[[]], settings={"scores": []}),
    "x_without_rows": Fit(X=lambda X: X.head(0), y=[], groups=None),
    "x_array_without_columns": Fit(X=lambda X: np.empty((ROWS, 0)), settings={"scores": []}),
    "x_two_columns_of_a_name": Fit(X=lambda X: pd.concat([X, X["age"]], axis=1)),
    "x_two_scores_of_a_name": Fit(X=lambda X: pd.concat([X, X["net"]], axis=1)),
    "x_only_a_group_column": Fit(
        X=lambda X: pd.DataFrame({"patient": PATIENTS}), groups=None, settings={"scores": [], "group_column": "patient"}
    ),
    "folds_more_than_patients": Fit(groups=lambda X: ROW % 6, settings={"n_folds": 10}),
    "folds_more_than_malignant_patients": Fit(
        y=(ROW < 12).astype(int), X=lambda X: X.assign(net=0.5 + X["net"] / 9), settings={"n_folds": 5}
    ),
    "folds_two_patients": Fit(groups=lambda X: ROW % 2),
    "folds_21": Fit(groups=None, settings={"n_folds": 21}),
    "predict_columns_in_another_order": Fit(predict_on=lambda X: X[["age", "net"]]),
    "predict_without_a_column": Fit(predict_on=lambda X: X[["net"]]),
    "predict_with_one_more_column": Fit(predict_on=lambda X: X.assign(sex="male")),
    "predict_an_array": Fit(predict_on=lambda X: X.to_numpy()),
    "predict_ages_as_text": Fit(X=ages("45 years"), predict_on=ages("unknown", "45 y", "30 years")),
    "predict_ages_all_unknown": Fit(X=ages("45 years"), predict_on=lambda X: X.assign(age="unknown")),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_table_of_the_estimator_is_read_as_it_was_meant(name: str) -> None:
    expected, (code, text) = rows_of_page()[name], SITUATIONS[name].text()
    missing = [sentence for sentence in expected.sentences if sentence not in text]
    assert (code, missing) == (expected.code, []), text


def test_positive_only_exchanges_the_classes() -> None:
    by_words = NestedStackingClassifier(**SETTINGS, positive="melanoma").fit(
        table(), words("melanoma", "nevus"), PATIENTS
    )
    by_codes = NestedStackingClassifier(**SETTINGS).fit(table(), MALIGNANT.astype(int), PATIENTS)
    assert by_words.classes_.tolist() == ["melanoma", "nevus"]
    np.testing.assert_array_equal(by_words.oof_, by_codes.oof_)
    np.testing.assert_array_equal(
        by_words.predict_proba(table(), PATIENTS), by_codes.predict_proba(table(), PATIENTS)[:, ::-1]
    )
    assert (by_words.predict(table(), PATIENTS) == "melanoma").tolist() == by_codes.predict(table(), PATIENTS).tolist()


@pytest.mark.parametrize("name", ["id_of_a_clinic", "score_of_another_class", "ages_standardised", "groups_a_table"])
def test_what_is_right_has_no_warning(name: str) -> None:
    assert "warning" not in SITUATIONS[name].text()[1]
