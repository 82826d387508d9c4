"""Tests of the section "Names and values" of docs/bad_input.md."""

from pathlib import Path

import pandas as pd
import pytest

from features.cases.case_table import read_cases
from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from features.folder.layout import Request
from tests.features.bad_input.table import check_cases, write_text
from tests.features.small_clinic import HEADER, TEST, TRAIN, Change, draw_picture, edit_file


def write_age(text: str) -> Change:
    """Return a function that writes ``text`` as the age of patient p1."""
    return edit_file(",45,", f",{text},")


def targets(benign: str, malignant: str) -> Change:
    return lambda data: (
        edit_file("benign,0", f"benign,{benign}")(data),
        edit_file("malignant,1", f"malignant,{malignant}")(data),
    )


def rename_case(new: str) -> Change:
    return edit_file("a1,", f"{new},", count=1)


def many_faults(data: Path) -> None:
    rows = [f"m{number},r{number},male,-45,torso,nevus,benign,0" for number in range(3000)]
    (data / "train.csv").write_text(TRAIN + "\n".join(rows) + "\n")
    for path in (data / "jpeg").rglob("*"):
        if path.is_file():
            path.unlink()


def leading_zeros(data: Path) -> None:
    rename_case("7")(data)
    (data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/007.jpg")


def as_floats(data: Path) -> None:
    rename_case("123.0")(data)
    (data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/123.jpg")


def blank_in_name(data: Path) -> None:
    rename_case("a 1")(data)
    draw_picture(data / "jpeg/train/a1.jpg").rename(data / "jpeg/train/a 1.jpg")


VALUES: dict[str, Change] = {
    "id_blanks_around": edit_file("a1,p1", " a1 ,p1 "),
    "id_blanks_inside": blank_in_name,
    "id_path": rename_case("../../etc/passwd"),
    "id_absolute_path": rename_case("/etc/passwd"),
    "id_backslash": rename_case(r"..\a1"),
    "id_dots": rename_case(".."),
    "id_control_characters": rename_case("a\x1b[2J1"),
    "id_reversed_text": rename_case("\u202egpj.a1"),
    "id_too_long": rename_case("a" * 300),
    "id_formula": rename_case("=HYPERLINK(1)"),
    "id_with_suffix": edit_file("a1,", "a1.jpg,"),
    "id_other_case": rename_case("A1"),
    "id_without_leading_zeros": leading_zeros,
    "id_as_float": as_floats,
    "id_missing": rename_case(""),
    "id_twice_equal": write_text(TRAIN + TRAIN.splitlines()[1] + "\n"),
    "id_twice_contradictory": write_text(TRAIN + TRAIN.splitlines()[1].replace(",0", ",1") + "\n"),
    "id_in_train_and_test": edit_file("t1,", "a1,", "test.csv"),
    "patient_in_train_and_test": edit_file("q1", "p1", "test.csv"),
    "patient_leading_zeros": lambda data: (edit_file("p1", "01")(data), edit_file("p2", "1")(data)),
    "patient_formula": edit_file("p1", "@p1"),
    "patient_missing": edit_file("p1,male,45,torso", ",male,45,torso"),
    "age_with_unit": write_age("45 years"),
    "age_in_months": write_age("540 months"),
    "age_decimal_comma": write_age('"45,0"'),
    "age_range": write_age("45-50"),
    "age_date": write_age("1975-03-02"),
    "age_year_of_birth": write_age("1975"),
    "age_negative": write_age("-45"),
    "age_huge": write_age("1e30"),
    "age_infinite": write_age("inf"),
    "age_at_least": write_age("90+"),
    "age_unknown": edit_file(",,", ",unknown,", "test.csv", count=1),
    "age_thousands_of_faults": many_faults,
    "sex_letters": lambda data: (edit_file(",male,", ",M,")(data), edit_file(",female,", ",f,")(data)),
    "sex_other_case": edit_file(",male,", ",Male,"),
    "sex_codes": lambda data: (edit_file(",male,", ",1,")(data), edit_file(",female,", ",0,")(data)),
    "sex_mixed_codes": edit_file(",male,", ",1,"),
    "sex_unknown": edit_file(",male,", ",unknown,"),
    "site_other_case": edit_file("torso", "Torso", count=1),
    "site_blanks": edit_file("torso", "  torso ", count=1),
    "value_with_markup": edit_file("nevus", "<script>"),
    "value_formula": edit_file("torso", "=1+1", count=1),
    "value_control_characters": edit_file("torso", "to\x07rso", count=1),
    "value_too_long": edit_file("nevus", "n" * 300),
    "target_words": targets("benign", "malignant"),
    "target_booleans": targets("False", "True"),
    "target_floats": targets("0.0", "1.0"),
    "target_two": targets("0", "2"),
    "target_minus_one": targets("-1", "1"),
    "target_missing": targets("", "1"),
    "target_other_words": targets("cold", "hot"),
    "target_one_class": targets("0", "0"),
    "patients_fewer_than_folds": edit_file("p2", "p1"),
    "case_only_one": write_text(f"{HEADER}\na1,p1,male,45,torso,nevus,benign,0\n"),
}
DIFFERING_COLUMNS = {
    "age_range": {"age_approx"},
    "age_at_least": {"age_approx"},
    "patient_leading_zeros": {"patient_id", "fold"},
    "patient_missing": {"patient_id", "fold"},
    "sex_unknown": {"sex"},
    "value_with_markup": {"diagnosis"},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_the_outcome_of_the_page(name: str, data: Path, clean_cases: pd.DataFrame) -> None:
    VALUES[name](data)
    if name == "id_other_case":
        clean_cases = clean_cases.rename({"a1": "A1"})
    if name == "id_blanks_inside":
        clean_cases = clean_cases.rename({"a1": "a 1"}).replace("jpeg/train/a1.jpg", "jpeg/train/a 1.jpg")
    check_cases(
        name,
        data,
        clean_cases,
        frozenset({*DIFFERING_COLUMNS.get(name, ()), *(["fold"] if name.startswith("id_") else [])}),
    )


def test_patients_whose_names_differ_in_leading_zeros_are_two(data: Path) -> None:
    VALUES["patient_leading_zeros"](data)
    assert sorted(read_cases(Request(data, folds=2))["patient_id"].unique()) == ["01", "1", "q1"]


def test_new_cases_are_repaired_like_training_cases(data: Path) -> None:
    clean_cases = read_new_cases(DataFolder.open(data))
    variants = TEST.replace("t1,q1,female,30,torso", ' t1,q1,F,"30,0 years", Torso').replace(
        "t2,q1,female,,", "t2,q1,FEMALE,?,-"
    )
    (data / "test.csv").write_text(variants)
    notes = list[str]()
    pd.testing.assert_frame_equal(read_new_cases(DataFolder.open(data, notes=notes)), clean_cases, check_dtype=False)
    assert len(notes) == 4
