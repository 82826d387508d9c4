"""Tests for table.py and the functions of workers: columns and labels on any file system, faults reported together."""

import fsspec
import numpy as np
import pandas as pd
import pytest

from level2_stack.spread.evaluate import FeatureColumns, features_without, predict_file, targets_without, texts_in
from level2_stack.spread.table import NUMBER, TEXT, digests, file_name, open_table
from runtime.errors import InputFault

SCHEMA = FeatureColumns({"a": None, "site": ("arm", "leg"), "old": None})


def rows(start: int = 0, count: int = 12, tests: int = 2) -> pd.DataFrame:
    """Return ``count`` train rows of as many patients in three folds, both classes in each, and some test rows."""
    number = np.arange(start, start + count + tests)
    train = np.arange(count + tests) < count
    return pd.DataFrame(
        {
            "image_name": [f"c{i}" for i in number],
            "patient_id": [f"p{i}" for i in number],
            "fold": np.where(train, number % 3, np.nan),
            "target": np.where(train, number // 3 % 2, np.nan),
            "a": number / 10,
            "site": np.where(number % 2, "arm", "leg"),
            "old": number % 5 == 0,
        }
    )


def write_table(folder, *tables):
    for number, table in enumerate(tables):
        table.to_parquet(f"{folder}/{number}.parquet", index=False)
    return str(folder)


@pytest.fixture
def in_memory():
    yield "memory://tables/one"
    fsspec.filesystem("memory").rm("/tables", recursive=True)


def test_a_table_has_files_kinds_and_labels_on_any_file_system(tmp_path, in_memory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path, rows(), rows(14))
    write_table(in_memory, rows(), rows(14))
    for folder in (str(tmp_path), ".", tmp_path.as_uri(), in_memory):
        check_table(open_table(folder))


def check_table(table):
    assert [file_name(url) for url in table.files] == ["0.parquet", "1.parquet"]
    assert table.kinds == {"a": NUMBER, "site": TEXT, "old": NUMBER}
    assert table.folds == [0, 1, 2]
    assert list(table.labels["file"]) == [0] * 14 + [1] * 14
    assert int(table.labels["target"].isna().sum()) == 4


@pytest.mark.parametrize("index", [True, False])
def test_ids_may_be_numbers_or_the_index_and_text_may_be_categorical(tmp_path, index):
    numeric_ids = rows().assign(image_name=range(100, 114)).astype({"site": "category"})
    (numeric_ids.set_index("image_name") if index else numeric_ids).to_parquet(tmp_path / "0.parquet")
    table = open_table(str(tmp_path))
    assert list(table.labels["image_name"][:2]) == ["100", "101"]
    assert table.kinds["site"] == TEXT


def test_all_faults_of_all_files_are_reported_together(tmp_path):
    odd = rows(14).rename(columns={"a": "b"}).assign(old="yes", target=2.0)
    write_table(tmp_path, rows(), odd, rows(28).drop(columns="patient_id"), rows(42))
    (tmp_path / "3.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputFault) as error:
        open_table(str(tmp_path))
    for sentence in (
        "3.parquet: not a readable Parquet file",
        "1.parquet: column(s) missing: 1 (a)",
        "1.parquet: column(s) that 0.parquet does not have: 1 (b)",
        "1.parquet: column 'old' is text, but a number in 0.parquet",
        "2.parquet: column(s) missing: 1 (patient_id)",
    ):
        assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image_name": ["c0"] * 14}, "image_name: repeated ids: 1 (c0)"),
        ({"image_name": [None] + ["c"] * 13}, "image_name: missing in 1 row"),
        ({"patient_id": ["p"] * 14}, "patient_id: in several folds: 1 (p)"),
        ({"patient_id": ["p", "P ", *(f"p{i}" for i in range(12))]}, "patient_id: in several folds: 1 (p)"),
        (
            {"patient_id": [*(f"p{number}" for number in range(12)), "p3", "new"]},
            "patient_id: in train and in test rows: 1 (p3)",
        ),
        ({"target": [2.0] + [0, 1] * 6 + [np.nan]}, "target: neither 0 nor 1: 1 (c0)"),
        ({"target": [np.nan] * 14}, "target: missing in all rows"),
        ({"target": ["no"] * 14}, "0.parquet: fold and target must be numbers ("),
        ({"fold": [np.nan] * 14}, "fold: train rows need a whole number from 0 to 127"),
        ({"fold": [0.5] * 14}, "it is missing or another value in rows: 12 (c0"),
        ({"fold": [0, 1] * 7}, "fold: 2 folds; at least 3 are needed"),
        ({"fold": [0, 1, 1] + [2] * 11}, "fold: folds without a row of each class: 2 (0, 1)"),
        ({"diagnosis": 1}, "column 'diagnosis' is unknown for a test case"),
        ({"a b": 1}, "boosters refuse brackets, quotes, colons, commas and spaces in names; rename it a_b"),
        ({"when": pd.Timestamp("2020-01-01")}, "column 'when' has the type timestamp["),
        ({"__index_level_0__": 1}, "is the number of a row; write the files without an index"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path, columns, sentence):
    with pytest.raises(InputFault) as error:
        open_table(write_table(tmp_path, rows().assign(**columns)))
    assert sentence in str(error.value)


def test_a_folder_without_files_and_a_table_without_features_are_invalid(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere", "memory://nowhere"):
        with pytest.raises(InputFault, match="no table; expected a folder with Parquet files"):
            open_table(str(folder))
    with pytest.raises(InputFault, match=r"nosuch://bucket: cannot be read .*nosuch"):
        open_table("nosuch://bucket")
    with pytest.raises(InputFault, match="no features"):
        open_table(write_table(tmp_path, rows()[["image_name", "patient_id", "fold", "target"]]))


def test_faults_across_files_are_reported(tmp_path):
    with pytest.raises(InputFault) as error:
        open_table(write_table(tmp_path, rows(), rows().assign(fold=[1, 2, 0] * 4 + [np.nan] * 2)))
    assert "image_name: repeated ids: 14 (c0" in str(error.value)
    assert "patient_id: in several folds: 12 (p0" in str(error.value)


def test_a_fit_does_not_read_files_without_train_rows_outside_its_fold(tmp_path):
    only_tests = rows(100, count=0, tests=6)
    folds = [
        rows(tests=0).query(f"fold == {fold}").assign(image_name=lambda t, f=fold: t["image_name"] + f"_{f}")
        for fold in range(3)
    ]
    table = open_table(write_table(tmp_path, only_tests, *folds))
    assert [file_name(url) for url in table.files_without(1)] == ["1.parquet", "3.parquet"]


def test_a_fit_reads_the_rows_with_a_target_outside_its_fold(tmp_path):
    url = open_table(write_table(tmp_path, rows())).files[0]
    X, train = features_without(url, SCHEMA, 2), rows().query("target == target and fold != 2")
    np.testing.assert_array_equal(targets_without(url, 2), train["target"])
    np.testing.assert_array_equal(X[["a", "old"]], train[["a", "old"]])
    assert list(X["site"]) == list(train["site"])
    assert list(SCHEMA.empty_frame()["site"].cat.categories) == ["arm", "leg"]
    assert SCHEMA.empty_frame().dtypes.equals(X.dtypes)


def test_missing_values_and_unknown_texts_become_nan(tmp_path):
    table = rows().assign(site=[None, "head"] + ["leg"] * 12, a=[np.nan] + [1.0] * 13)
    X = features_without(open_table(write_table(tmp_path, table)).files[0], SCHEMA, 5)
    assert X["site"].isna().tolist()[:3] == [True, True, False]
    assert X["a"].isna().tolist()[:2] == [True, False]


def test_predictions_cover_the_rows_of_the_fold_and_the_test_rows_in_their_order(tmp_path):
    url = open_table(write_table(tmp_path, rows())).files[0]
    held_out, test = predict_file(url, SCHEMA, 1, lambda X: X["a"].to_numpy())
    np.testing.assert_array_equal(held_out, [0.1, 0.4, 0.7, 1.0])
    np.testing.assert_array_equal(test, [1.2, 1.3])
    assert texts_in(url, ["site"]) == {"site": {"arm", "leg"}}


def test_a_changed_table_has_another_digest_for_small_and_large_files(tmp_path, monkeypatch):
    before = digests(open_table(write_table(tmp_path, rows())).files)
    monkeypatch.setattr("level2_stack.spread.table.LARGE_BYTES", 100)
    large = digests(open_table(str(tmp_path)).files)
    other = digests(open_table(write_table(tmp_path, rows().assign(a=7.0))).files)
    assert before != large != other
    assert large == digests(open_table(write_table(tmp_path, rows())).files)
