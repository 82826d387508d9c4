"""Tests of targets.py and target_words.py: what counts as 1, as 0 and is left out, and which words contradict it."""

import numpy as np
import pandas as pd
import pytest

from features.cases.targets import read_targets
from features.folder.layout import Layout
from features.words.diagnoses import is_melanoma, is_uncertain, means_malignant
from runtime.errors import Faults, InputFault


def read(
    values: list[object], labels: dict[str, list[str]] | None = None, **settings: object
) -> tuple[list, list[str]]:
    """Return the targets of ``values`` and the notes; raise the faults."""
    names = [f"c{number}" for number in range(len(values))]
    raw, faults, notes = pd.DataFrame({"image_name": names, "target": values, **(labels or {})}), Faults(), list[str]()
    targets = read_targets(raw, Layout.model_validate(settings), "train.csv", faults, notes)
    faults.raise_if_any("train.csv")
    return targets.tolist(), notes


def warnings_of(notes: list[str]) -> str:
    return "\n".join(note for note in notes if note.startswith("warning: "))


def test_values_are_counted_as_1_as_0_and_left_out() -> None:
    values = ["melanoma", "Nevus ", "nevus", "MELANOMA", "indeterminate", None]
    targets, notes = read(values, positive=("Melanoma",), drop=("Indeterminate",), drop_missing_target=True)
    assert targets == [1, 0, 0, 1]
    assert notes == ["train.csv: target: counted as 1: melanoma 2; as 0: Nevus 2; left out: indeterminate 1, missing 1"]


@pytest.mark.parametrize("values", [[1, 0], [1.0, 0.0], ["1.0", "0.0"], ["1", "0"], [True, False], ["1,0", "0,0"]])
def test_numbers_and_booleans_are_0_or_1(values: list[object]) -> None:
    assert read(values)[0] == [1, 0]


def test_the_words_of_the_diagnosis_are_said_beside_0_and_1() -> None:
    _, notes = read([1, 0, 0, 0], {"diagnosis": ["melanoma", "nevus", "unknown", "unknown"]})
    assert notes == [
        "train.csv: target: counted as 1: 1 (diagnosis: melanoma 1); as 0: 3 (diagnosis: unknown 2, nevus 1)"
    ]


def test_at_most_a_dozen_values_are_said() -> None:
    _, notes = read(["m", *(f"b{number}" for number in range(20))], positive=("m",))
    assert notes[0].endswith("b11 1, ...")


@pytest.mark.parametrize(
    ("values", "example"), [([1, 0.9], "0.9"), ([1, -1], "-1"), ([0, 2], "2"), (["1", "hot"], "'hot'")]
)
def test_other_values_without_positive_are_refused(values: list[object], example: str) -> None:
    with pytest.raises(
        InputFault, match=rf"target must be 0 or 1; found {example} in 1 \(c1\); name the values for malig"
    ):
        read(values)


def test_missing_targets_are_refused_with_the_setting_that_drops_them() -> None:
    with pytest.raises(
        InputFault, match=r"missing in 1 \(c1\); to leave these rows out, set drop_missing_target = true"
    ):
        read([1, np.nan])
    assert read([1, np.nan, 0], drop_missing_target=True)[0] == [1, 0]
    assert read(["X", None], positive=("X",), negative=("",))[0] == [1, 0]


def test_codes_of_classes_are_compared_as_numbers() -> None:
    assert read([4.0, 0.0, np.nan], positive=("4",), drop_missing_target=True)[0] == [1, 0]
    assert read([-1, 1, 0], drop=("-1",))[0] == [1, 0]


def test_with_both_lists_another_value_is_refused() -> None:
    with pytest.raises(InputFault, match=r"must be in positive or in negative; found 'bcc' in 1 \(c2\); add each"):
        read(["mel", "nv", "bcc"], positive=("mel",), negative=("nv",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positive": ("mel",), "drop": ("MEL ",)}, "'mel' is in both positive and drop"),
        ({"positive": ("mel",), "negative": ("Mel",)}, "'mel' is in both positive and negative"),
        ({"negative": ("nv",)}, "negative without positive has no effect"),
    ],
)
def test_lists_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.model_validate(settings)


@pytest.mark.parametrize(
    "word",
    [
        "melanoma (in situ)",
        "Melanoma metastasis",
        "MELANOMA, NOS",
        "melanoma_in_situ",
        "lentigo maligna",
        "micromelanoma",
        "seborrheic keratosis-like melanoma",
        "non-invasive melanoma",
        "Malignant melanocytic proliferations",
        "MEL",
        "mélanome",
        "malignes Melanom",
    ],
)
def test_a_word_like_a_positive_one_that_counts_as_0_is_named(word: str) -> None:
    targets, notes = read(["melanoma", word, "nevus"], positive=("melanoma",))
    assert targets == [1, 0, 0]
    assert f"counted as 0, although the word is like those in positive: {word} 1; add each" in warnings_of(notes)


@pytest.mark.parametrize(
    "word",
    [
        "no melanoma",
        "non-melanoma",
        "Not melanoma",
        "melanoma excluded",
        "melanoma ruled out",
        "nonmelanoma skin cancer",
        "no evidence of melanoma",
        "melanoma-like nevus",
        "nevus mimicking melanoma",
        "without melanoma",
        "melanoma: no",
        "nevus",
        "basal cell carcinoma",
        "melanocytic nevus",
        "atypical nevus",
        "melasma",
        "common nevus",
    ],
)
def test_a_negation_and_a_benign_word_are_no_warning(word: str) -> None:
    assert warnings_of(read(["melanoma", word], positive=("melanoma",))[1]) == ""


@pytest.mark.parametrize(
    "word",
    [
        "Indeterminate",
        "unknown",
        "suspicious",
        "borderline",
        "uncertain",
        "atypical melanocytic proliferation",
        "?",
        "possible dysplasia",
        "probable nevus",
        "nevus?",
        "n.a.",
        "nevus vs. lentigo",
        "unclear",
        "STUMP",
        "-1",
    ],
)
def test_a_word_that_leaves_the_diagnosis_open_and_counts_as_0_is_named(word: str) -> None:
    text = warnings_of(read(["melanoma", word], positive=("melanoma",))[1])
    assert f"although the word leaves the diagnosis open: {word} 1" in text
    assert warnings_of(read(["melanoma", word], positive=("melanoma",), negative=(word,))[1]) == ""


def test_a_target_that_the_diagnosis_contradicts_is_named() -> None:
    _, notes = read([0, 0, 1], {"diagnosis": ["melanoma in situ", "unknown", "melanoma"]})
    assert "target is 0 where diagnosis says melanoma in situ 1: 1 (c0); check them" in warnings_of(notes)
    _, notes = read([0, 1], {"benign_malignant": ["malignant", "benign"]})
    assert "target is 0 where benign_malignant says malignant 1" in warnings_of(notes)
    assert "target is 1 where benign_malignant says benign 1" in warnings_of(notes)


def test_another_cancer_is_no_contradiction_of_a_melanoma_target() -> None:
    labels = {"diagnosis": ["melanoma", "basal cell carcinoma"], "benign_malignant": ["malignant", "malignant"]}
    assert warnings_of(read([1, 0], labels)[1]) == ""


def test_words_of_diagnoses_have_their_meaning() -> None:
    assert is_melanoma("amelanotic melanoma")
    assert not is_melanoma("malignant tumour of the skin")
    assert means_malignant("malignant tumour of the skin")
    assert not means_malignant("non-malignant")
    assert means_malignant("yes?", ["yes"])
    assert not is_uncertain("nevus")
