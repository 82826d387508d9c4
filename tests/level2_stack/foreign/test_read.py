"""Tests for read.py and checks.py: the imported tables, notes and faults of foreign prediction files."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.foreign.read import import_predictions
from runtime.errors import InputFault
from runtime.tables import read_table, write_table
from tests.level2_stack.foreign.foreign_files import FOLDS, OOF, TEST, small_cases, write_foreign


def read_one_table(folder):
    return import_predictions(folder, small_cases()).networks[0].table


def read_notes(folder):
    return "\n".join(import_predictions(folder, small_cases()).networks[0].notes)


def read_refusal(folder):
    with pytest.raises(InputFault) as error:
        import_predictions(folder, small_cases())
    return str(error.value)


def test_the_table_has_every_train_and_test_case_in_case_order(tmp_path):
    write_foreign(tmp_path)
    table = read_one_table(tmp_path)
    assert table.index.tolist() == ["a", "b", "c", "x", "d", "y"]
    assert table["probability"].tolist() == [0.1, 0.6, 0.5, 0.3, 0.4, 0.2]
    assert table["fold"].tolist() == [-1] * 6
    assert table["spread"].isna().all()
    assert table.dtypes.astype(str).to_dict() == {"probability": "float64", "spread": "float64", "fold": "int8"}


def test_the_table_can_be_written_as_a_case_table(tmp_path):
    write_foreign(tmp_path)
    table = read_one_table(tmp_path)
    write_table(tmp_path / "predictions.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "predictions.parquet"), table)


def test_spread_is_the_standard_deviation_over_the_views_of_a_row(tmp_path):
    views = "image_name,pred,tta0,tta1,tta2\na,0.2,0.1,0.2,0.3\nb,0.6,0.5,0.7,\nc,0.5,0.5,,\nd,0.4,0.4,0.4,0.4\n"
    write_foreign(tmp_path, oof=views, test="image_name,pred,fold0,fold1\nx,0.3,0.2,0.4\ny,0.2,0.1,0.3\n")
    spread = read_one_table(tmp_path)["spread"]
    np.testing.assert_allclose(spread[["a", "b", "d"]], [np.sqrt(0.02 / 3), 0.1, 0.0], atol=1e-12)
    assert spread[["c", "x", "y"]].isna().all()
    assert "3 views in 2 rows, 2 views in 1 rows, 1 views in 1 rows" in read_notes(tmp_path)


def test_test_rows_with_views_have_a_spread_too(tmp_path):
    write_foreign(tmp_path, test="image_name,pred,tta0,tta1\nx,0.3,0.2,0.4\ny,0.2,0.2,0.2\n")
    np.testing.assert_allclose(read_one_table(tmp_path)["spread"][["x", "y"]], [0.1, 0.0], atol=1e-12)


@pytest.mark.parametrize(
    ("views", "has_note"), [("0.1,0.1\nb,0.6,0.5,0.7", False), ("0.1,0.1\nb,0.6,0.1,0.7", True)], ids=["mean", "other"]
)
def test_a_score_other_than_the_mean_of_its_views_gets_a_note(tmp_path, views, has_note):
    write_foreign(tmp_path, oof=f"image_name,pred,tta0,tta1\na,0.1,{views}\nc,0.5,0.5,0.5\nd,0.4,0.4,0.4\n")
    assert ("not the mean of tta0..tta1 in 1 of 4 rows" in read_notes(tmp_path)) is has_note


@pytest.mark.parametrize("name", ["Pred", "prediction", "PROBABILITY", "preds", "oof", " OOF_pred "])
def test_the_score_column_may_have_several_names_in_upper_or_lower_case(tmp_path, name):
    write_foreign(tmp_path, oof=OOF.replace("pred", name), test=TEST.replace("pred", name))
    assert read_one_table(tmp_path)["probability"].notna().all()


def test_target_is_the_score_where_it_cannot_be_the_diagnosis(tmp_path):
    write_foreign(tmp_path / "good", oof=OOF.replace("pred", "target"), test=TEST.replace("pred", "target"))
    table = read_one_table(tmp_path / "good")
    assert table["probability"].tolist() == [0.1, 0.6, 0.5, 0.3, 0.4, 0.2]
    write_foreign(tmp_path / "bad", oof="image_name,target\na,0\nb,1\nc,0\nd,1\n")
    assert "no score column: 'target', which is 0 or 1, is the diagnosis" in read_refusal(tmp_path / "bad")


def test_a_target_column_next_to_the_score_is_ignored_if_it_is_the_diagnosis(tmp_path):
    write_foreign(tmp_path, oof="image_name,target,pred\na,0,0.1\nb,1.0,0.6\nc,0,0.5\nd,1,0.4\n")
    assert read_one_table(tmp_path).at["b", "probability"] == 0.6


def test_a_target_column_that_is_not_the_diagnosis_leaves_two_scores(tmp_path):
    write_foreign(tmp_path / "other", oof="image_name,target,pred\na,0,0.1\nb,0,0.6\nc,0,0.5\nd,1,0.4\n")
    refusal = read_refusal(tmp_path / "other")
    assert "several columns could be the score: target, pred; keep one of them" in refusal
    assert "'target' is 0 or 1, but not the case table's target in rows 1 (b)" in refusal
    write_foreign(tmp_path / "both", oof="image_name,target,oof\na,0.1,0.1\nb,0.3,0.6\nc,0,0.5\nd,1,0.4\n")
    assert "several columns could be the score: target, oof" in read_refusal(tmp_path / "both")


@pytest.mark.parametrize("name", ["image_id", "image", "ISIC_ID", " id ", "Filename"])
def test_the_id_column_may_have_several_names(tmp_path, name):
    write_foreign(tmp_path, oof=OOF.replace("image_name", name), test=TEST.replace("image_name", name))
    assert read_one_table(tmp_path).at["y", "probability"] == 0.2


@pytest.mark.parametrize("path", ["{}.jpg", "train/{}.JPEG", "D:\\pictures\\{}.png", "jpeg/train/{}", " {}.dcm"])
def test_ids_may_be_paths_of_pictures(tmp_path, path):
    rows = OOF.splitlines()
    oof = "\n".join(["filename,pred", *(path.format(row[0]) + row[1:] for row in rows[1:])])
    write_foreign(tmp_path, oof=oof)
    assert read_one_table(tmp_path).at["b", "probability"] == 0.6
    assert f"ids with a folder or a file ending: 4; {path.format('a')!r} is read as 'a'" in read_notes(tmp_path)


def test_a_path_that_is_the_id_of_a_case_stays(tmp_path):
    cases = small_cases().rename(index={"a": "set/a.jpg", "b": "a"})
    write_foreign(tmp_path, oof="image,pred\nset/a.jpg,0.1\na,0.6\nc,0.5\nd,0.4\n")
    table = import_predictions(tmp_path, cases).networks[0].table
    assert table.loc[["set/a.jpg", "a"], "probability"].tolist() == [0.1, 0.6]


def test_of_several_id_columns_the_one_with_cases_is_read(tmp_path):
    write_foreign(tmp_path, oof="id,image_name,image,pred\n0,a,a,0.1\n1,b,b,0.6\n2,c,c,0.5\n3,d,d,0.4\n")
    assert read_one_table(tmp_path).at["b", "probability"] == 0.6
    write_foreign(tmp_path, oof="image_name,image,pred\na,b,0.1\nb,a,0.6\nc,c,0.5\nd,d,0.4\n")
    assert "several columns hold ids, and not the same ones (image_name, image)" in read_refusal(tmp_path)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"oof": None}, "oof.csv is missing"),
        ({"test": ""}, "test.csv: not a readable CSV file"),
        ({"oof": "image_name,sex\na,m\nb,f\nc,m\nd,f\n"}, "no score column; expected one of target, pred,"),
        ({"oof": "image_name,sex\na,m\nb,f\nc,m\nd,f\n"}, "found image_name, sex"),
        ({"test": "pred,x\n0.2,0.5\n0.3,0.6\n"}, "test.csv: no column of ids; expected one of image_name"),
        ({"test": "pred,x\n0.2,0.5\n0.3,0.6\n"}, "found pred, x"),
        ({"test": "image_name,pred,target\nx,0.3,0.3\ny,0.2,0.2\n"}, "could be the score: target, pred"),
        ({"test": "image_name,pred,Pred\nx,0.3,0.3\ny,0.2,0.2\n"}, "repeated columns: pred"),
        ({"test": f"{TEST},0.5\n"}, "test.csv: rows without image_name: 1"),
        ({"oof": OOF.replace("a,0.1", "w,0.1")}, "oof.csv: ids that are not in the case table: 1 (w)"),
        ({"oof": f"{OOF}x,0.1\n"}, "oof.csv: ids of test cases, expected only train cases: 1 (x)"),
        ({"test": f"{TEST}a,0.1\n"}, "test.csv: ids of train cases, expected only test cases: 1 (a)"),
        ({"oof": f"{OOF}b,0.7\n"}, "oof.csv: repeated ids with different values: 1 (b)"),
        ({"oof": OOF.replace("b,0.6\n", "")}, "train cases without a row: 1 (b) of 4; at most 10% may be missing"),
        ({"test": TEST.replace("y,0.2\n", "")}, "test cases without a row: 1 (y) of 2; every test case must have one"),
        ({"oof": OOF.replace("0.6", "high")}, "oof.csv: 'pred' is not a number in rows: 1 (b)"),
        ({"oof": OOF.replace("0.6", "")}, "oof.csv: 'pred' is empty or NaN in rows: 1 (b)"),
        ({"test": TEST.replace("0.3", "inf")}, "test.csv: 'pred' is infinite in rows: 1 (x)"),
        ({"oof": OOF.replace("0.6", "1.2")}, "oof.csv: values outside [0, 1]: 1 (b), from 0.1 to 1.2"),
        ({"test": TEST.replace("0.3", "1.3")}, "its row order is not confirmed (rank correlations"),
        ({"oof": OOF.replace("0.4", "0.7")}, "the score reveals the target (AUC 1.0000)"),
        ({"oof": FOLDS.format(0, 1, 0, 1)}, "patients with pictures in several folds (a leak): 1 (p)"),
        ({"oof": FOLDS.format(0, 0, 0.5, 300)}, "whole numbers from 0 to 127, not so in rows: 2 (c, d)"),
        ({"oof": "image_name,pred,tta0\na,0.1,0\nb,0.6,1\nc,0.5,0\nd,0.4,1\n"}, "equal to the target: 1 (tta0)"),
    ],
)
def test_the_refusal_names_the_fault(tmp_path, files, sentence):
    write_foreign(tmp_path, **files)
    assert sentence in read_refusal(tmp_path)


def test_all_faults_of_a_network_are_reported_together(tmp_path):
    write_foreign(tmp_path, name="!", oof=OOF.replace("0.6", "high").replace("d,", "w,"), test=None)
    message = read_refusal(tmp_path)
    assert "5 faults" in message
    for part in ("folder name '!'", "not a number", "not in the case table", "test.csv is missing"):
        assert part in message


def test_a_refused_network_does_not_prevent_the_import_of_a_valid_one(tmp_path):
    write_foreign(tmp_path, "bad", oof=None)
    write_foreign(tmp_path, "good")
    imports = import_predictions(tmp_path, small_cases())
    assert [network.name for network in imports.valid_networks] == ["good"]
    assert [(network.name, network.table, network.refusal) for network in imports.refusals] == [
        ("bad", None, ("oof.csv is missing",))
    ]


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_networks_is_refused(tmp_path, folder):
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(InputFault, match=r"expected sub-folders <network>/ with oof\.csv and test\.csv"):
        import_predictions(tmp_path / folder, small_cases())


def test_without_test_cases_no_test_file_is_needed(tmp_path):
    write_foreign(tmp_path, test=None)
    cases = small_cases().query("role != 'test'")
    assert import_predictions(tmp_path, cases).valid_networks[0].table.index.tolist() == ["a", "b", "c", "d"]


def test_equal_repeats_and_external_rows_are_dropped_with_a_note(tmp_path):
    write_foreign(tmp_path, oof=f"{OOF}b,0.6\nz,0.9\n")
    notes = read_notes(tmp_path)
    assert "repeated ids with equal values; one row each is used: 1 (b)" in notes
    assert "rows of external cases (role extra), left out: 1 (z)" in notes
    assert read_one_table(tmp_path).at["b", "probability"] == 0.6


def test_rounding_errors_are_set_to_the_bound_with_a_note(tmp_path):
    write_foreign(tmp_path, oof=OOF.replace("0.1", "-0.0000005"), test=TEST.replace("0.3", "1.0000009"))
    assert read_one_table(tmp_path).loc[["a", "x"], "probability"].tolist() == [0.0, 1.0]
    assert "test.csv: 1 (x) outside [0, 1] by rounding only" in read_notes(tmp_path)


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [((4, 4, 2, 2), "they are this run's folds"), ((0, 0, 1, 0), "they differ from this run's folds")],
    ids=["permuted labels", "another partition"],
)
def test_folds_are_stored_and_compared_with_those_of_the_run(tmp_path, folds, sentence):
    write_foreign(tmp_path, oof=FOLDS.format(*folds))
    assert sentence in read_notes(tmp_path)
    assert tuple(read_one_table(tmp_path)["fold"][["a", "b", "c", "d"]]) == folds
    assert tuple(read_one_table(tmp_path)["fold"][["x", "y"]]) == (-1, -1)


def test_a_file_without_folds_gets_a_note(tmp_path):
    write_foreign(tmp_path)
    assert "no column fold: it cannot be checked that no patient was in two folds" in read_notes(tmp_path)
