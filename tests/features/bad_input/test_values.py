"""Names and values as people write them: every kind of docs/bad_input.md, "Names and values", has its outcome."""

from pathlib import Path

import pandas as pd
import pytest

from features.cases.case_table import read_cases
from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from features.folder.layout import Request
from tests.features.bad_input.table import check_cases, written
from tests.features.small_clinic import HEADER, TEST, TRAIN, Change, draw_picture, edit_file


def aged(text: str) -> Change:
    """Return what writes ``text`` as the age of patient p1."""
    return edit_file(",45,", f",{text},")


def targets(benign: str, malignant: str) -> Change:
    return lambda data: (
        edit_file("benign,0", f"benign,{benign}")(data),
        edit_file("malignant,1", f"malignant,{malignant}")(data),
    )


def renamed(new: str) -> Change:
    return edit_file("a1,", f"{new},", count=1)


def many_faults(data: Path) -> None:
    rows = [f"m{number},r{number},male,-1,torso,nevus,benign,0" for number in range(3000)]
    (data / "train.csv").write_text(TRAIN + "\n".join(rows) + "\n")
    for path in (data / "jpeg").rglob("*"):
        if path.is_file():
            path.unlink()


def leading_zeros(data: Path) -> None:
    renamed("7")(data)
    (data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/007.jpg")


def as_floats(data: Path) -> None:
    renamed("123.0")(data)
    (data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/123.jpg")


def spaced(data: Path) -> None:
    renamed("a 1")(data)
    draw_picture(data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/a 1.jpg")


VALUES: dict[str, Change] = {
    "id_blanks_around": edit_file("a1,p1", " a1 ,p1 "),
    "id_blanks_inside": spaced,
    "id_path": renamed("../../etc/passwd"),
    "id_absolute_path": renamed("/etc/passwd"),
    "id_backslash": renamed(r"..\a1"),
    "id_dots": renamed(".."),
    "id_control_characters": renamed("a\x1b[2J1"),
    "id_reversed_text": renamed("\u202egpj.a1"),
    "id_too_long": renamed("a" * 300),
    "id_formula": renamed("=HYPERLINK(1)"),
    "id_with_suffix": edit_file("a1,", "a1.jpg,"),
    "id_other_case": renamed("A1"),
    "id_without_leading_zeros": leading_zeros,
    "id_as_float": as_floats,
    "id_missing": renamed(""),
    "id_twice_equal": written(TRAIN + TRAIN.splitlines()[1] + "\n"),
    "id_twice_contradictory": written(TRAIN + TRAIN.splitlines()[1].replace(",0", ",1") + "\n"),
    "id_in_train_and_test": edit_file("t1,", "a1,", "test.csv"),
    "patient_in_train_and_test": edit_file("q1", "p1", "test.csv"),
    "patient_leading_zeros": lambda data: (edit_file("p1", "01")(data), edit_file("p2", "1")(data)),
    "patient_formula": edit_file("p1", "@p1"),
    "patient_missing": edit_file("p1,male,45,torso", ",male,45,torso"),
    "age_with_unit": aged("45 years"),
    "age_in_months": aged("540 months"),
    "age_decimal_comma": aged('"45,0"'),
    "age_range": aged("45-50"),
    "age_date": aged("1975-03-02"),
    "age_year_of_birth": aged("1975"),
    "age_negative": aged("-45"),
    "age_huge": aged("1e30"),
    "age_infinite": aged("inf"),
    "age_at_least": aged("90+"),
    "age_unknown": edit_file(",,", ",unknown,", "test.csv", count=1),
    "age_thousands_of_faults": many_faults,
    "sex_letters": lambda data: (edit_file(",male,", ",M,")(data), edit_file(",female,", ",f,")(data)),
    "sex_other_case": edit_file(",male,", ",Male,"),
    "sex_codes": lambda data: (edit_file(",male,", ",1,")(data), edit_file(",female,", ",0,")(data)),
    "sex_mixed_codes": edit_file(",male,", ",1,"),
    "sex_unknown": edit_file(",male,", ",unknown,"),
    "site_other_case": edit_file("torso", "Torso", count=1),
    "site_blanks": edit_file("torso", "  torso ", count=1),
    "value_markup_kept": edit_file("nevus", "<script>"),
    "value_formula": edit_file("torso", "=1+1", count=1),
    "value_control_characters": edit_file("torso", "to\x07rso", count=1),
    "value_too_long": edit_file("nevus", "n" * 300),
    "target_words": targets("benign", "malignant"),
    "target_booleans": targets("False", "True"),
    "target_floats": targets("0.0", "1.0"),
    "target_two": targets("0", "2"),
    "target_minus_one": targets("-1", "1"),
    "target_missing": targets("", "1"),
    "target_other_words": targets("no", "yes"),
    "target_one_class": targets("0", "0"),
    "patients_fewer_than_folds": edit_file("p2", "p1"),
    "case_only_one": written(f"{HEADER}\na1,p1,male,45,torso,nevus,benign,0\n"),
}
CHANGED = {
    "patient_leading_zeros": {"patient_id", "fold"},
    "patient_missing": {"patient_id", "fold"},
    "sex_unknown": {"sex"},
    "value_markup_kept": {"diagnosis"},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_the_outcome_that_the_page_tells(name: str, data: Path, sound: pd.DataFrame) -> None:
    VALUES[name](data)
    if name == "id_blanks_inside":
        sound = sound.rename({"a1": "a 1"}).replace("jpeg/train/a1.jpg", "jpeg/train/a 1.jpg")
    check_cases(name, data, sound, frozenset({*CHANGED.get(name, ()), *(["fold"] if name.startswith("id_") else [])}))


def test_patients_whose_names_differ_by_zeros_stay_two(data: Path) -> None:
    VALUES["patient_leading_zeros"](data)
    assert sorted(read_cases(Request(data, folds=2))["patient_id"].unique()) == ["01", "1", "q1"]


def test_new_cases_are_repaired_as_training_cases_are(data: Path) -> None:
    sound = read_new_cases(DataFolder.open(data))
    strange = TEST.replace("t1,q1,female,30,torso", ' t1,q1,F,"30,0 years", Torso').replace(
        "t2,q1,female,,", "t2,q1,FEMALE,?,-"
    )
    (data / "test.csv").write_text(strange)
    notes = list[str]()
    pd.testing.assert_frame_equal(read_new_cases(DataFolder.open(data, notes=notes)), sound, check_dtype=False)
    assert len(notes) == 4
