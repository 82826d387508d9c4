"""Tests of the section "Foreign predictions" of docs/bad_input.md."""

from collections.abc import Callable
from pathlib import Path

import pytest

from level2_stack.foreign.read import import_predictions
from tests.features.bad_input.table import check, outcome_of
from tests.level2_stack.foreign.foreign_files import FOLDS, OOF, TEST, small_cases, write_foreign


def oof(text: str) -> Callable[[Path], object]:
    return lambda folder: write_foreign(folder, oof=text)


def on_test(text: str) -> Callable[[Path], object]:
    return lambda folder: write_foreign(folder, test=text)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "foreign_logits": oof("image_name,pred\na,-2.2\nb,0.4\nc,0\nd,-0.4\n"),
    "foreign_percent": oof("image_name,pred\na,10\nb,60\nc,50\nd,40\n"),
    "foreign_semicolons": oof(OOF.replace(",", ";")),
    "foreign_decimal_commas": oof(OOF.replace(",", ";").replace("0.", "0,")),
    "foreign_nan": oof(OOF.replace("0.6", "NaN")),
    "foreign_text": oof(OOF.replace("0.6", "high")),
    "foreign_rows_missing": oof(OOF.replace("b,0.6\n", "")),
    "foreign_id_twice": oof(f"{OOF}b,0.7\n"),
    "foreign_id_twice_equal": oof(f"{OOF}b,0.6\n"),
    "foreign_id_unknown": oof(OOF.replace("b,0.6", "w,0.1")),
    "foreign_is_the_target": oof(OOF.replace("0.4", "0.7")),
    "foreign_patient_in_two_folds": oof(FOLDS.format(0, 1, 0, 1)),
    "foreign_test_infinite": on_test(TEST.replace("0.3", "inf")),
    "foreign_id_is_a_path": oof("filename,pred\ntrain/a.jpg,0.1\ntrain/b.jpg,0.6\ntrain/c.jpg,0.5\ntrain/d.jpg,0.4\n"),
    "foreign_two_id_columns": oof("image_name,image,pred\na,b,0.1\nb,a,0.6\nc,c,0.5\nd,d,0.4\n"),
    "foreign_diagnosis_alone": oof("image_name,target\na,0\nb,1\nc,0\nd,1\n"),
    "foreign_two_scores": oof("image_name,pred,oof\na,0.1,0.2\nb,0.6,0.5\nc,0.5,0.4\nd,0.4,0.3\n"),
    "foreign_other_targets": oof("image_name,target,pred\na,0,0.1\nb,0,0.6\nc,0,0.5\nd,1,0.4\n"),
    "foreign_file_missing": lambda folder: write_foreign(folder, test=None),
    "foreign_folder_name": lambda folder: write_foreign(folder, name="!"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_predictions_have_the_outcome_of_the_page(name: str, tmp_path: Path) -> None:
    FOREIGN[name](tmp_path)
    outcome, messages, result = outcome_of(lambda _: import_predictions(tmp_path, small_cases()))
    if result is not None:
        assert not result.refusals
        outcome, messages = "noted", "\n".join(result.networks[0].notes)
    check(name, (outcome, messages, result))
