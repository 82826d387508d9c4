"""Tests of the section "Targets" of docs/field_inputs.md."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.features.small_clinic import small_clinic
from tests.melstack.field_inputs.situation import Situation, check
from tests.melstack.field_inputs.small_tables import write_tables

MELANOMA = 'positive = ["melanoma"]\n'


def two_folds(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def targets(values: Sequence[object], mapping: str = "", **columns: Sequence[object]) -> Situation:
    """Return tables whose target repeats ``values`` to twelve rows, with other ``columns`` repeated in the same way."""
    twelve = {name: list(part) * (12 // len(part)) for name, part in {"target": values, **columns}.items()}
    return Situation(lambda folder: write_tables(folder, twelve, mapping=mapping), two_folds)


def diagnoses(word: str, mapping: str = MELANOMA) -> Situation:
    return targets(["melanoma", "nevus", word, "nevus"], mapping)


SITUATIONS = {
    "contest_layout": Situation(small_clinic, two_folds),
    "target_and_diagnosis": targets([1, 0, 0], diagnosis=["melanoma", "nevus", "unknown"]),
    "target_as_text": targets(["1.0", "0.0", "0.0"]),
    "target_booleans": targets([True, False, False]),
    "target_one_hot": targets([1.0, 0.0, 0.0]),
    "target_words_in_case_and_blanks": targets([" Melanoma", "MELANOMA ", "Nevus", "nevus"], MELANOMA),
    "target_codes_of_classes": targets([4, 0, 5], 'positive = ["4"]'),
    "target_codes_without_positive": targets([4, 0, 1]),
    "target_probabilities": targets([0.9, 0, 1]),
    "target_minus_one": targets([-1, 0, 1]),
    "target_minus_one_dropped": targets([-1, 0, 1], 'drop = ["-1"]'),
    "target_in_situ": diagnoses("melanoma (in situ)"),
    "target_metastasis": diagnoses("Melanoma metastasis"),
    "target_subtype": diagnoses("seborrheic keratosis-like melanoma"),
    "target_malignant_with_more": diagnoses("Malignant melanocytic proliferations"),
    "target_no_melanoma": diagnoses("no melanoma"),
    "target_non_melanoma": diagnoses("non-melanoma skin cancer"),
    "target_melanoma_excluded": diagnoses("melanoma excluded"),
    "target_indeterminate": diagnoses("Indeterminate"),
    "target_suspicious": diagnoses("suspicious lesion"),
    "target_question_mark": diagnoses("nevus?"),
    "target_cannot_exclude": diagnoses("cannot exclude melanoma"),
    "target_not_ruled_out": diagnoses("not ruled out: melanoma"),
    "target_not_determined": diagnoses("not yet determined"),
    "target_in_spanish": diagnoses("lesi\u00f3n dudosa"),
    "target_yes_no": targets(["yes", "no", "no"]),
    "target_letters": targets(["T", "F", "F"]),
    "target_positive_negative": targets(["Positive", "Negative", "Negative"]),
    "target_lists_of_numbers": targets([2, 1, 1], "positive = [2]\nnegative = [1]"),
    "target_one_word_as_list": diagnoses("nevus", 'positive = "melanoma"'),
    "target_all_malignant": diagnoses("nevus", 'positive = ["melanoma", "nevus"]'),
    "target_indeterminate_dropped": diagnoses("Indeterminate", MELANOMA + 'drop = ["indeterminate"]'),
    "target_in_neither_list": diagnoses("bcc", MELANOMA + 'negative = ["nevus"]'),
    "target_in_both_lists": diagnoses("bcc", MELANOMA + 'negative = ["nevus", "Melanoma"]'),
    "target_in_positive_and_drop": diagnoses("bcc", MELANOMA + 'drop = ["MELANOMA "]'),
    "target_negative_alone": diagnoses("bcc", 'negative = ["nevus"]'),
    "target_missing": targets([1, 0, None]),
    "target_missing_word": diagnoses("", MELANOMA),
    "target_missing_dropped": targets([1, 0, None], "drop_missing_target = true"),
    "target_positive_misspelt": diagnoses("bcc", 'positive = ["melanom"]'),
    "target_contradicts_diagnosis": targets([1, 0, 0], diagnosis=["melanoma", "melanoma in situ", "unknown"]),
    "target_contradicts_benign_malignant": targets([1, 0, 1], benign_malignant=["malignant", "malignant", "benign"]),
    "target_of_melanoma_and_other_cancer": targets(
        [1, 0, 0], diagnosis=["melanoma", "bcc", "nevus"], benign_malignant=["malignant", "malignant", "benign"]
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_target_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)


@pytest.mark.parametrize(
    "name", ["target_no_melanoma", "target_non_melanoma", "target_and_diagnosis", "target_one_hot"]
)
def test_what_is_right_has_no_warning(name: str, tmp_path: Path) -> None:
    output = check(name, SITUATIONS, tmp_path)
    assert "warning: train.csv: target" not in output.out + output.err
