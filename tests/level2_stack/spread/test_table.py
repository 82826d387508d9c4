"""Tests of stored tables: what their files have in common, on any file system, and all faults named together."""

import fsspec
import numpy as np
import pandas as pd
import pytest

from level2_stack.spread.evaluate import Shape, features_without, predicted, targets_without, texts_in
from level2_stack.spread.table import NUMBER, TEXT, digests, name_of, open_table
from runtime.errors import InputFault

SHAPE = Shape({"a": None, "site": ("arm", "leg"), "old": None})


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


def stored(folder, *tables):
    for number, table in enumerate(tables):
        table.to_parquet(f"{folder}/{number}.parquet", index=False)
    return str(folder)


@pytest.fixture
def in_memory():
    yield "memory://tables/one"
    fsspec.filesystem("memory").rm("/tables", recursive=True)


def test_a_table_is_known_by_its_files_kinds_and_labels_wherever_it_lies(tmp_path, in_memory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored(tmp_path, rows(), rows(14))
    stored(in_memory, rows(), rows(14))
    for place in (str(tmp_path), ".", tmp_path.as_uri(), in_memory):
        check_table(open_table(place))


def check_table(table):
    assert [name_of(url) for url in table.files] == ["0.parquet", "1.parquet"]
    assert table.kinds == {"a": NUMBER, "site": TEXT, "old": NUMBER}
    assert table.folds == [0, 1, 2]
    assert list(table.labels["file"]) == [0] * 14 + [1] * 14
    assert int(table.labels["target"].isna().sum()) == 4


@pytest.mark.parametrize("index", [True, False])
def test_ids_may_be_the_index_and_numbers_and_text_a_category(tmp_path, index):
    given = rows().assign(image_name=range(100, 114)).astype({"site": "category"})
    (given.set_index("image_name") if index else given).to_parquet(tmp_path / "0.parquet")
    table = open_table(str(tmp_path))
    assert list(table.labels["image_name"][:2]) == ["100", "101"]
    assert table.kinds["site"] == TEXT


def test_all_faults_of_all_files_are_named_together(tmp_path):
    odd = rows(14).rename(columns={"a": "b"}).assign(old="yes", target=2.0)
    stored(tmp_path, rows(), odd, rows(28).drop(columns="patient_id"), rows(42))
    (tmp_path / "3.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputFault) as caught:
        open_table(str(tmp_path))
    for sentence in (
        "3.parquet: not a readable Parquet file",
        "1.parquet: lacks the column(s) 1 (a)",
        "1.parquet: has column(s) that 0.parquet lacks: 1 (b)",
        "1.parquet: 'old' is text there, a number in 0.parquet",
        "2.parquet: lacks the column(s) 1 (patient_id)",
    ):
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"image_name": ["c0"] * 14}, "image_name: given more than once: 1 (c0)"),
        ({"image_name": [None] + ["c"] * 13}, "image_name: missing in 1 row(s)"),
        ({"patient_id": ["p"] * 14}, "patient_id: in several folds: 1 (p)"),
        (
            {"patient_id": [*(f"p{place}" for place in range(12)), "p3", "new"]},
            "patient_id: in train and in test rows: 1 (p3)",
        ),
        ({"target": [2.0] + [0, 1] * 6 + [np.nan]}, "target: neither 0 nor 1: 1 (c0)"),
        ({"target": [np.nan] * 14}, "target: no row has one"),
        ({"target": ["no"] * 14}, "0.parquet: fold or target is no number ("),
        ({"fold": [np.nan] * 14}, "fold: missing of a train row"),
        ({"fold": [0.5] * 14}, "no whole number from 0 to 127: 12 (c0"),
        ({"fold": [0, 1] * 7}, "fold: 2 fold(s); at least 3 are needed"),
        ({"fold": [0, 1, 1] + [2] * 11}, "fold: without a row of each class: 2 (0, 1)"),
        ({"diagnosis": 1}, "column 'diagnosis' is not known of a test case"),
        ({"a b": 1}, "boosters refuse brackets, quotes, colons, commas and spaces: a_b"),
        ({"when": pd.Timestamp("2020-01-01")}, "column 'when' is of the type timestamp["),
        ({"__index_level_0__": 1}, "is the number of a row; write the files without an index"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(tmp_path, changed, sentence):
    with pytest.raises(InputFault) as caught:
        open_table(stored(tmp_path, rows().assign(**changed)))
    assert sentence in str(caught.value)


def test_a_folder_without_a_table_and_one_without_features_are_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere", "memory://nowhere"):
        with pytest.raises(InputFault, match="no table there"):
            open_table(str(place))
    with pytest.raises(InputFault, match=r"nosuch://bucket: cannot be read .*nosuch"):
        open_table("nosuch://bucket")
    with pytest.raises(InputFault, match="no features"):
        open_table(stored(tmp_path, rows()[["image_name", "patient_id", "fold", "target"]]))


def test_faults_over_several_files_are_found_as_well(tmp_path):
    with pytest.raises(InputFault) as caught:
        open_table(stored(tmp_path, rows(), rows().assign(fold=[1, 2, 0] * 4 + [np.nan] * 2)))
    assert "image_name: given more than once: 14 (c0" in str(caught.value)
    assert "patient_id: in several folds: 12 (p0" in str(caught.value)


def test_a_fit_reads_no_file_that_has_nothing_to_learn_from(tmp_path):
    one = rows(100, count=0, tests=6)
    folds = [
        rows(tests=0).query(f"fold == {fold}").assign(image_name=lambda t, f=fold: t["image_name"] + f"_{f}")
        for fold in range(3)
    ]
    table = open_table(stored(tmp_path, one, *folds))
    assert [name_of(url) for url in table.files_without(1)] == ["1.parquet", "3.parquet"]


def test_a_fit_reads_the_rows_with_a_target_outside_its_fold(tmp_path):
    url = open_table(stored(tmp_path, rows())).files[0]
    X, wanted = features_without(url, SHAPE, 2), rows().query("target == target and fold != 2")
    np.testing.assert_array_equal(targets_without(url, 2), wanted["target"])
    np.testing.assert_array_equal(X[["a", "old"]], wanted[["a", "old"]])
    assert list(X["site"]) == list(wanted["site"])
    assert list(SHAPE.seen()["site"].cat.categories) == ["arm", "leg"]
    assert SHAPE.seen().dtypes.equals(X.dtypes)


def test_what_is_missing_and_what_is_an_unknown_text_is_missing(tmp_path):
    given = rows().assign(site=[None, "head"] + ["leg"] * 12, a=[np.nan] + [1.0] * 13)
    X = features_without(open_table(stored(tmp_path, given)).files[0], SHAPE, 5)
    assert X["site"].isna().tolist()[:3] == [True, True, False]
    assert X["a"].isna().tolist()[:2] == [True, False]


def test_predictions_are_those_of_the_folds_rows_and_of_the_test_rows_in_their_order(tmp_path):
    url = open_table(stored(tmp_path, rows())).files[0]
    held_out, test = predicted(url, SHAPE, 1, lambda X: X["a"].to_numpy())
    np.testing.assert_array_equal(held_out, [0.1, 0.4, 0.7, 1.0])
    np.testing.assert_array_equal(test, [1.2, 1.3])
    assert texts_in(url, ["site"]) == {"site": {"arm", "leg"}}


def test_another_table_has_another_digest_however_large(tmp_path, monkeypatch):
    before = digests(open_table(stored(tmp_path, rows())).files)
    monkeypatch.setattr("level2_stack.spread.table.LARGE_BYTES", 100)
    large = digests(open_table(str(tmp_path)).files)
    other = digests(open_table(stored(tmp_path, rows().assign(a=7.0))).files)
    assert before != large != other
    assert large == digests(open_table(stored(tmp_path, rows())).files)
