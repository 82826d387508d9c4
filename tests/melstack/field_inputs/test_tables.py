"""Tests of the section "Tables" of docs/field_inputs.md: formats, names of columns and files, and tables to join."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runtime.run_folder import Run
from tests.features.small_clinic import edit_file, small_clinic
from tests.melstack.field_inputs.miniatures import SETS
from tests.melstack.field_inputs.situation import Situation, check, run_situation

Change = Callable[[Path], object]
SITE = "anatom_site_general_challenge"


def cases(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def clinic(*changes: Change) -> Situation:
    """Return the situation of the small clinic after ``changes``."""

    def write(data: Path) -> None:
        small_clinic(data)
        for change in changes:
            change(data)

    return Situation(write, cases)


def mapping(text: str) -> Change:
    return lambda data: (data / "cases.toml").write_text(text)


def table_as(name: str, new: str, save: Callable[[pd.DataFrame, Path], object]) -> Change:
    """Return a function that saves a CSV in another format, under another name."""

    def change(data: Path) -> None:
        save(pd.read_csv(data / name), data / new)
        (data / name).unlink()

    return change


def rename(old: str, new: str) -> Change:
    return lambda data: (data / old).rename(data / new)


def rename_columns(file: str, **names: str) -> Change:
    def change(data: Path) -> None:
        pd.read_csv(data / file).rename(columns=names).to_csv(data / file, index=False)

    return change


def split_off(file: str, other: str, *columns: str, key: str = "image_name") -> Change:
    """Return a function that moves ``columns`` of a table to another table."""

    def change(data: Path) -> None:
        table = pd.read_csv(data / file)
        table[[key, *columns]].drop_duplicates().to_csv(data / other, index=False)
        table.drop(columns=[name for name in columns if name != key]).to_csv(data / file, index=False)

    return change


def without_header(file: str) -> Change:
    return lambda data: (data / file).write_text((data / file).read_text().split("\n", 1)[1])


def spreadsheet(frame: pd.DataFrame, path: Path) -> None:
    """Save a spreadsheet with a title and a blank row above the table, and a second sheet."""
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="cases", startrow=2, index=False)
        pd.DataFrame({"legend": ["m: male"]}).to_excel(book, sheet_name="legend", index=False)


SAVE = {
    "parquet": lambda frame, path: frame.to_parquet(path),
    "feather": lambda frame, path: frame.to_feather(path),
    "xlsx": lambda frame, path: frame.to_excel(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, sep="\t", index=False),
    "semicolons": lambda frame, path: frame.to_csv(path, sep=";", index=False),
}
ONLY_ID_AND_TARGET = 'train_header = ["image_name", "target"]\ntest = ""\nsample = ""\n'
TWO_COLUMNS = "[columns]\npatient_id = 'image_name'\nmetadata = []\n"


def two_columns(data: Path) -> None:
    """Write a training table of ids and words, without a header."""
    (data / "train.csv").write_text("a1,benign\na2,malignant\nb1,malignant\nb2,benign\n")


def second_spelling(data: Path) -> None:
    shutil.copy(data / "train.csv", data / "TRAIN.CSV")
    (data / "train.csv").rename(data / "Train.csv")


SITUATIONS = {
    "table_tsv": clinic(table_as("train.csv", "train.tsv", SAVE["tsv"])),
    "table_tab": clinic(table_as("test.csv", "test.tab", SAVE["tsv"])),
    "table_parquet": clinic(table_as("train.csv", "train.parquet", SAVE["parquet"])),
    "table_feather": clinic(table_as("train.csv", "train.feather", SAVE["feather"])),
    "table_xlsx": clinic(table_as("train.csv", "train.xlsx", SAVE["xlsx"])),
    "table_xlsx_title": clinic(table_as("train.csv", "train.xlsx", spreadsheet)),
    "table_parquet_named": clinic(
        table_as("train.csv", "clinic.parquet", SAVE["parquet"]), mapping('train = "clinic.parquet"')
    ),
    "table_xlsx_damaged": clinic(lambda data: (data / "train.csv").write_bytes(b"PK\x03\x04 cut")),
    "names_upper_case": clinic(rename("train.csv", "Train.CSV"), rename("test.csv", "TEST.csv")),
    "names_two_spellings": clinic(second_spelling),
    "names_of_the_archive": clinic(
        rename_columns("test.csv", image_name="isic_id", age_approx="age", **{SITE: "anatom_site_general"})
    ),
    "names_of_notebooks": clinic(
        rename_columns("train.csv", image_name="image_id", sex="gender", **{SITE: "localization"})
    ),
    "names_ambiguous": clinic(
        rename_columns("train.csv", **{SITE: "site"}), lambda data: add_column(data / "train.csv", "location", "back")
    ),
    "names_test_columns": clinic(
        rename_columns("test.csv", image_name="picture", patient_id="who"),
        mapping('[test_columns]\nimage_name = "picture"\npatient_id = "who"\n'),
    ),
    "names_test_columns_misspelt": clinic(mapping('[test_columns]\nimage_name = "pictur"\n')),
    "test_without_patients": clinic(lambda data: drop_column(data / "test.csv", "patient_id")),
    "train_lesions_as_patients": clinic(rename_columns("train.csv", patient_id="lesion_id")),
    "header_missing": clinic(two_columns, mapping('test = ""\nsample = ""\n' + TWO_COLUMNS)),
    "header_named": clinic(two_columns, mapping(ONLY_ID_AND_TARGET + TWO_COLUMNS)),
    "header_missing_wide": clinic(without_header("train.csv")),
    "join_by_image": clinic(split_off("train.csv", "people.csv", "sex", "age_approx", SITE)),
    "join_by_patient": clinic(split_off("train.csv", "people.csv", "sex", "age_approx", key="patient_id")),
    "join_two_tables": clinic(
        split_off("train.csv", "people.csv", "sex", "age_approx", key="patient_id"),
        split_off("train.csv", "sites.csv", SITE),
    ),
    "join_ambiguous": clinic(
        split_off("train.csv", "people.csv", "sex"), lambda data: shutil.copy(data / "people.csv", data / "old.csv")
    ),
    "join_named": clinic(
        split_off("train.csv", "people.csv", "sex", "age_approx"), mapping('train_join = ["people.csv"]')
    ),
    "join_incomplete": clinic(
        split_off("train.csv", "people.csv", "sex", "age_approx"), edit_file("b2,female,50\n", "", "people.csv")
    ),
    "join_contradiction": clinic(
        split_off("train.csv", "people.csv", "sex", "age_approx"),
        lambda data: (data / "people.csv").write_text((data / "people.csv").read_text() + "a1,female,45\n"),
    ),
    "join_nothing_shared": clinic(
        lambda data: (data / "people.csv").write_text("image_name,smoker\nz1,1\n"),
        mapping('train_join = ["people.csv"]'),
    ),
    "join_differing_values": clinic(
        lambda data: (data / "people.csv").write_text("image_name,sex,smoker\na1,female,1\na2,male,0\n"),
        mapping('train_join = ["people.csv"]'),
    ),
    "data_is_a_file": Situation(small_clinic, lambda data, run: ["cases", "--data", data / "train.csv", "--run", run]),
    "ham10000_in_train_csv": Situation(lambda data: as_train_csv(data), cases),
    "two_tables_of_a_public_set": Situation(lambda data: two_tables(data), cases),
}


def add_column(path: Path, name: str, value: str) -> None:
    pd.read_csv(path).assign(**{name: value}).to_csv(path, index=False)


def drop_column(path: Path, name: str) -> None:
    pd.read_csv(path).drop(columns=name).to_csv(path, index=False)


def as_train_csv(data: Path) -> None:
    """Write HAM10000 with its table under the contest's name."""
    SETS["ham10000"](data)
    (data / "HAM10000_metadata").rename(data / "train.csv")


def two_tables(data: Path) -> None:
    """Write HAM10000 with a copy of its table."""
    SETS["ham10000"](data)
    shutil.copy(data / "HAM10000_metadata", data / "HAM10000_metadata_clean.csv")


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_table_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)


FORMATS = (
    "table_tsv",
    "table_tab",
    "table_parquet",
    "table_feather",
    "table_xlsx",
    "table_xlsx_title",
    "join_by_image",
)


@pytest.mark.parametrize("name", FORMATS)
def test_the_cases_are_those_of_the_csv(name: str, tmp_path: Path) -> None:
    for folder, situation in (("csv", clinic()), ("other", SITUATIONS[name])):
        (tmp_path / folder).mkdir()
        assert run_situation(situation, tmp_path / folder).code == 0
    csv, other = (Run(tmp_path / folder / "run").read_cases() for folder in ("csv", "other"))
    pd.testing.assert_frame_equal(other[csv.columns], csv)


def test_ids_in_a_parquet_table_are_text(tmp_path: Path) -> None:
    small_clinic(tmp_path)
    numbers = pd.read_csv(tmp_path / "train.csv").assign(patient_id=[7, 7, 8, None])
    numbers.to_parquet(tmp_path / "train.parquet")
    (tmp_path / "train.csv").unlink()
    from features.cases.case_table import read_cases
    from features.folder.layout import Request

    patients = read_cases(Request(tmp_path, folds=2))["patient_id"]
    assert patients.loc[["a1", "a2", "b1", "b2"]].tolist() == ["7", "7", "8", "b2"]
