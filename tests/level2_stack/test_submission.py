"""Tests for submission.py: the file written, and the messages for invalid samples and probabilities."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.submission import check_submission, read_sample, write_submission
from runtime.errors import InputFault

CASES = pd.DataFrame(
    {"role": ["train", "test", "extra", "test", "test"]}, index=pd.Index(["a", "x", "e", "y", "z"], name="image_name")
)
SAMPLE = pd.DataFrame({"target": [0, 0, 0]}, index=pd.Index(["z", "x", "y"], name="image_name"))
GOOD = pd.Series({"x": 0.25, "y": 1e-7, "z": 1.0, "a": 0.5})


def test_rows_follow_the_sample(tmp_path):
    write_submission(tmp_path / "submission.csv", GOOD, SAMPLE, CASES)
    assert (tmp_path / "submission.csv").read_bytes() == b"image_name,target\nz,1.0\nx,0.25\ny,1e-07\n"


def test_without_a_sample_rows_follow_the_test_cases(tmp_path):
    write_submission(tmp_path / "submission.csv", GOOD, None, CASES)
    assert (tmp_path / "submission.csv").read_bytes() == b"image_name,target\nx,0.25\ny,1e-07\nz,1.0\n"


def test_ids_are_spelt_as_in_the_sample(tmp_path):
    sample = SAMPLE.set_axis(pd.Index(["test/z.jpg", "x.jpg", "Y"], name="image_name"))
    write_submission(tmp_path / "submission.csv", GOOD, sample, CASES)
    assert (tmp_path / "submission.csv").read_text() == "image_name,target\ntest/z.jpg,1.0\nx.jpg,0.25\nY,1e-07\n"


def test_without_a_sample_ids_are_spelt_as_in_the_test_table(tmp_path):
    write_submission(tmp_path / "submission.csv", GOOD, None, CASES, {"y": "y.png"})
    assert (tmp_path / "submission.csv").read_text() == "image_name,target\nx,0.25\ny.png,1e-07\nz,1.0\n"


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        ({"x": 0.1, "y": 0.2}, "rows without a probability: 1 (z)"),
        ({"x": 0.1, "y": 0.2, "z": np.nan}, "not finite numbers: 1 (z)"),
        ({"x": 0.1, "y": np.inf, "z": 0.3}, "not finite numbers: 1 (y)"),
        ({"x": 0.1, "y": 0.2, "z": "high"}, "not finite numbers: 1 (z)"),
        ({"x": -0.1, "y": 1.2, "z": 0.3}, "outside [0, 1]: 2 (x, y)"),
        ({**GOOD, "w": 0.3}, "ids that are not in the case table: 1 (w)"),
    ],
)
def test_the_message_names_the_fault_and_its_rows(tmp_path, probabilities, sentence):
    with pytest.raises(InputFault) as error:
        write_submission(tmp_path / "submission.csv", pd.Series(probabilities), SAMPLE, CASES)
    assert sentence in str(error.value)


def test_an_id_with_two_probabilities_is_refused(tmp_path):
    repeats = pd.concat([GOOD, pd.Series({"x": 0.3})])
    with pytest.raises(InputFault, match=r"more than one probability: 1 \(x\)"):
        write_submission(tmp_path / "submission.csv", repeats, SAMPLE, CASES)


def test_a_sample_must_have_test_cases_only_and_each_once(tmp_path):
    sample = pd.DataFrame({"target": 0}, index=pd.Index(["x", "a", "x"], name="image_name"))
    with pytest.raises(InputFault) as error:
        write_submission(tmp_path / "submission.csv", GOOD, sample, CASES)
    assert "not test cases: 1 (a)" in str(error.value)
    assert "ids that the sample has more than once: 1 (x)" in str(error.value)


def test_without_test_cases_nothing_is_written(tmp_path):
    with pytest.raises(InputFault, match="no test cases to write"):
        write_submission(tmp_path / "submission.csv", GOOD[["a"]], None, CASES[:1])
    assert not list(tmp_path.iterdir())


def test_all_faults_are_reported_together_and_the_old_file_stays(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("older")
    with pytest.raises(InputFault, match=r"submission\.csv was not written: 3 fault"):
        write_submission(path, pd.Series({"x": 2.0, "y": np.nan}), SAMPLE, CASES)
    assert [file.name for file in tmp_path.iterdir()] == ["submission.csv"]
    assert path.read_text() == "older"


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_every_probability_reads_back_as_the_same_number(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("out") / "submission.csv"
    write_submission(path, pd.Series(values, index=["x", "y", "z"]), None, CASES)
    read = pd.read_csv(path, float_precision="round_trip")
    assert read["target"].tolist() == values


def test_ids_that_need_quotes_are_written_and_read_back(tmp_path):
    cases = pd.DataFrame({"role": "test"}, index=pd.Index(['a,"b"', "007"], name="image_name"))
    write_submission(tmp_path / "s.csv", pd.Series([0.1, 0.2], index=cases.index), None, cases)
    assert read_sample(tmp_path / "s.csv").index.tolist() == ['a,"b"', "007"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "header ''"),
        ("image_name;target\nx;0.1\n", "expected 'image_name,target'"),
        ("image_name,target\nx,0.1,7\ny,0.2\n", "two fields in every row"),
        ("image_name,target\nx,0.1\n", "missing rows: 1 (y); unexpected rows: 0 ()"),
        ("image_name,target\nx,0.1\ny,0.2\nw,0.3\n", "missing rows: 0 (); unexpected rows: 1 (w)"),
        ("image_name,target\ny,0.1\nx,0.2\n", "their order is not that of the sample"),
        ("image_name,target\nx,0.1\ny,0.2\ny,0.2\n", "repeated"),
        ("image_name,target\nx,nan\ny,\n", "not finite numbers within [0, 1]: 2 (x, y)"),
        ("image_name,target\nx,1.01\ny,inf\n", "not finite numbers within [0, 1]: 2 (x, y)"),
    ],
)
def test_a_file_other_than_the_expected_submission_is_refused(tmp_path, text, sentence):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputFault) as error:
        check_submission(tmp_path / "s.csv", ["x", "y"])
    assert sentence in str(error.value)


def test_a_sample_keeps_its_order_and_its_ids_are_text(tmp_path):
    (tmp_path / "sample.csv").write_text("image_name,target\n010,0\n009,0\nNA,0\n")
    assert read_sample(tmp_path / "sample.csv").index.tolist() == ["010", "009", "NA"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no such sample submission"),
        ("", "not a readable CSV file"),
        ("id,target\nx,0\n", "columns id, target; expected image_name, target"),
        ("image_name,target\n", "the sample submission has no rows"),
        ("image_name,target\nx,0\n,0\nx,0\n", r"repeated ids: 1 \(x\)"),
        ("image_name,target\nx,0\n,0\n", "rows without image_name: 1"),
    ],
)
def test_an_invalid_sample_is_refused(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(InputFault, match=sentence):
        read_sample(tmp_path / "sample.csv")
