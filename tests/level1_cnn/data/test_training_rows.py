"""Tests for training_rows.py: the cases that a fit may see, and their labels and weights."""

import numpy as np
import pandas as pd
import pytest

from level1_cnn.data.training_rows import epoch_pictures, external_rows, fold_rows, model_rows
from level1_cnn.training_settings import Finetune, Pretraining, PseudoLabels
from runtime.errors import InputFault

CASES = pd.DataFrame(
    {
        "role": ["train"] * 4 + ["extra"] * 2 + ["test"] * 2,
        "fold": [0, 0, 1, 1, -1, -1, -1, -1],
        "target": [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, np.nan, np.nan],
        "diagnosis": ["nevus", "melanoma", "unknown", "melanoma", "melanoma", "BCC", None, None],
        "sex": ["male", "female", None, "male", None, "female", "male", "male"],
        "age_approx": [50.0, 60.0, np.nan, 40.0, 70.0, 30.0, 20.0, 25.0],
    },
    index=pd.Index(list("abcdxyst"), name="image_name"),
)


def settings(**changes: object) -> Finetune:
    return Finetune.model_validate({"method": "finetune", "epochs": 2, "learning_rate": 1e-3, **changes})


def test_a_fold_sees_the_other_folds_and_the_external_cases() -> None:
    rows = fold_rows(CASES, settings(), 0, (), None)
    assert rows.names == list("cdxy")
    assert rows.targets[:, 0].tolist() == [0, 1, 1, 0]
    assert rows.malignant.tolist() == [False, True, True, False]
    assert rows.metadata.shape == (4, 0)


def test_an_epoch_with_an_external_share_shows_every_own_row_once() -> None:
    rows = fold_rows(CASES, settings(), 0, (), None)
    assert rows.external.tolist() == [False, False, True, True]
    assert epoch_pictures(rows, settings()) == 4
    assert epoch_pictures(rows, settings(external_share=0.75)) == pytest.approx(8)


def test_external_cases_are_in_no_fold_when_they_stay_apart() -> None:
    assert fold_rows(CASES, settings(external="apart"), 1, (), None).names == list("ab")


def test_lookalikes_of_validation_pictures_are_left_out() -> None:
    assert fold_rows(CASES, settings(), 0, {"d", "x"}, None).names == list("cy")


def test_only_test_cases_have_pseudo_labels_which_are_soft_and_weighted() -> None:
    pseudo = settings(pseudo=PseudoLabels(model="other", weight=0.5), metadata=True)
    probability = pd.Series([0.25, 0.75], index=["t", "s"])
    rows = fold_rows(CASES, pseudo, 0, {"y"}, probability)
    assert rows.names == list("cdxst")
    assert rows.targets[:, 0].tolist() == [0, 1, 1, 0.75, 0.25]
    assert rows.weights.tolist() == [1, 1, 1, 0.5, 0.5]
    assert rows.malignant.tolist() == [False, True, True, True, False]
    assert set(rows.names) <= set(model_rows(CASES, pseudo).names)


def test_a_test_case_without_a_pseudo_label_is_named() -> None:
    pseudo = settings(pseudo=PseudoLabels(model="other"))
    with pytest.raises(InputFault, match=r"missing for 1 \(t\)"):
        fold_rows(CASES, pseudo, 0, (), pd.Series([0.5], index=["s"]))


def test_balanced_class_weights_come_from_the_rows_of_the_fold() -> None:
    rows = fold_rows(CASES.drop("y"), settings(class_weights="balanced"), 0, (), None)
    assert rows.names == list("cdx")
    assert rows.weights.tolist() == pytest.approx([1.5, 0.75, 0.75])


def test_a_pretraining_stage_sees_only_external_cases_and_fails_without_any() -> None:
    pretraining = settings(pretrain=Pretraining(epochs=1, learning_rate=1e-3))
    rows = external_rows(CASES, pretraining, "diagnosis9", {"x"})
    assert rows.names == ["y"]
    assert rows.targets.shape == (1, 9)
    with pytest.raises(InputFault, match="needs external pictures"):
        external_rows(CASES[CASES["role"] != "extra"], pretraining, "diagnosis9", ())


def test_external_cases_of_a_training_patient_are_no_rows_of_that_patients_fold() -> None:
    cases = CASES.assign(fold=[0, 0, 1, 1, 1, -1, -1, -1])  # x belongs to a patient of fold 1
    assert fold_rows(cases, settings(), 0, (), None).names == list("cdxy")
    assert fold_rows(cases, settings(), 1, (), None).names == list("aby")
    pretraining = settings(external="apart", pretrain=Pretraining(targets="diagnosis9", epochs=1, learning_rate=1e-3))
    assert external_rows(cases, pretraining, "diagnosis9", ()).names == ["y"]
