"""Tests of the layout of ISIC 2024: which columns are features, and what is submitted."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.stacking.memory import memory_study
from features.blocks import Sources, build_block
from features.cases.case_table import read_cases
from features.cases.new_cases import read_new_cases
from features.clinic.isic2024_folder import PUBLIC_COLUMNS, TRAIN_ONLY, ClinicSize, draw_total_body_clinic
from features.folder.data_folder import DataFolder
from features.folder.folder_layout import read_layout
from features.folder.layout import Layout, Request
from features.folder.public_sets.recognise import public_sets
from features.freeze_cases import freeze_cases
from level2_stack.foreign.bring import import_into_run
from melstack.options import StackOptions
from melstack.steps.stacking import cross_validate, write_submission
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.sources import ROOT

HEADER = "isic_id,target,patient_id,age_approx,sex,anatom_site_general,clin_size_long_diam_mm,attribution"
TRAIN_HEADER = f"{HEADER},lesion_id,iddx_full,mel_thick_mm,tbp_lv_dnn_lesion_confidence"
TRAIN = f"""{TRAIN_HEADER}
ISIC_0001,0,IP_1,60,male,head/neck,3.5,MSKCC,,Benign,,97.5
ISIC_0002,1,IP_1,60,male,,7.25,MSKCC,IL_1,Malignant::Melanoma,0.4,99
ISIC_0003,0,IP_2,,female,torso,2.5,MSKCC,,Benign,,90
ISIC_0004,1,IP_2,,female,torso,9,MSKCC,IL_2,Malignant::BCC,,80
ISIC_0005,1,IP_3,30,,torso,9,ACEMID,IL_3,Malignant::BCC,,80
ISIC_0006,0,IP_3,30,,torso,4,ACEMID,,Benign,,80
"""
TEST = f"""{HEADER.replace("target,", "")}
ISIC_0100,IP_9,45,male,torso,5,MSKCC
ISIC_0101,IP_9,45,male,torso,3,MSKCC
"""


QUICK = """
learners = ["lgbm", "ridge", "rank_mean"]
blend = ["lgbm", "ridge"]
seeds = 1
ablation = false
[lgbm]
rounds = 20
"""


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "contest"
    folder.mkdir()
    (folder / "train-metadata.csv").write_text(TRAIN)
    (folder / "test-metadata.csv").write_text(TEST)
    (folder / "sample_submission.csv").write_text("isic_id,target\nISIC_0101,0.3\nISIC_0100,0.3\n")
    return folder


def read(folder):
    notes: list[str] = []
    return read_cases(Request(folder, folds=3), notes), notes


def test_the_layout_is_recognised_by_its_tables_unless_train_csv_exists(data):
    assert read_layout(data, None, [], {}) == next(each.layout for each in public_sets() if each.name == "ISIC 2024")
    (data / "train.csv").write_text("image_name\n")
    assert read_layout(data, None, [], {}) == Layout()


def test_exactly_the_columns_that_test_cases_share_are_metadata(data):
    cases, notes = read(data)
    metadata = ["age_approx", "sex", "anatom_site_general_challenge", "clin_size_long_diam_mm", "attribution"]
    facts = ["role", "fold", "patient_id", "target", "width", "height", "file_bytes"]
    assert set(cases.columns) == {*metadata, *facts}
    assert any(
        "that only train cases have are not used as features: 1 (tbp_lv_dnn_lesion_confidence)" in n for n in notes
    )
    assert any(
        "reveal the diagnosis are not used as features: 3 (lesion_id, iddx_full, mel_thick_mm)" in n for n in notes
    )
    assert cases.loc["ISIC_0002", "clin_size_long_diam_mm"] == 7.25


def test_a_column_that_only_test_cases_have_is_not_a_feature(data):
    (data / "test-metadata.csv").write_text(TEST.replace("attribution", "hospital"))
    cases, notes = read(data)
    assert not {"attribution", "hospital"} & set(cases.columns)
    assert any("that only test cases have are not used as features: 1 (hospital)" in note for note in notes)


def test_columns_that_reveal_the_diagnosis_are_never_features(data):
    (data / "test-metadata.csv").write_text(TEST.replace("attribution", "iddx_full"))
    assert "iddx_full" not in read(data)[0]
    (data / "cases.toml").write_text(
        'train = "train-metadata.csv"\ntest = ""\nsample = ""\n[columns]\nimage_name = "isic_id"\nmetadata = ["*"]\n'
    )
    cases, _ = read(data)
    assert not {"iddx_full", "lesion_id", "mel_thick_mm"} & set(cases.columns)
    assert "tbp_lv_dnn_lesion_confidence" in cases


def test_every_column_that_a_mapping_lists_is_required(data):
    (data / "cases.toml").write_text(
        'train = "train-metadata.csv"\ntest = "test-metadata.csv"\n[columns]\nimage_name = "isic_id"\n'
        'metadata = ["sex", "tbp_lv_dnn_lesion_confidence"]\n'
    )
    with pytest.raises(InputFault, match=r"test-metadata.csv: missing column\(s\) 1 \(tbp_lv_dnn_lesion_confidence\)"):
        read(data)


def test_an_unknown_id_in_the_sample_submission_is_listed(data):
    (data / "sample_submission.csv").write_text("isic_id,target\nISIC_0100,0\nISIC_9999,0\n")
    with pytest.raises(InputFault, match=r"sample_submission.csv: rows that belong to no test case: 1 \(ISIC_9999\)"):
        read(data)


def test_numbers_stay_numbers_and_have_z_scores_within_the_patient(data):
    cases, _ = read(data)
    metadata = build_block("metadata", cases, Sources())
    z_scores = build_block("measured", cases, Sources())
    assert metadata["clin_size_long_diam_mm"].dtype == "float64"
    assert metadata.loc["ISIC_0005", "attribution"] == "ACEMID"
    assert list(z_scores) == ["clin_size_long_diam_mm_z"]
    assert z_scores.loc[["ISIC_0001", "ISIC_0002"], "clin_size_long_diam_mm_z"].tolist() == [-1.0, 1.0]


def test_new_cases_may_have_the_contests_layout(data):
    (data / "train-metadata.csv").unlink()
    cases = read_new_cases(DataFolder.open(data))
    assert cases.loc["ISIC_0100", "anatom_site_general_challenge"] == "torso"
    assert cases.loc["ISIC_0100", "clin_size_long_diam_mm"] == 5


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    return draw_total_body_clinic(tmp_path_factory.mktemp("stand_in"), ClinicSize(400, 100, seed=1))


def test_the_simulation_has_the_contests_columns_in_their_order(simulation):
    train = pd.read_csv(simulation / "train-metadata.csv", nrows=5)
    test = pd.read_csv(simulation / "test-metadata.csv", nrows=5)
    assert list(train) == ["isic_id", "target", "patient_id", *PUBLIC_COLUMNS, *TRAIN_ONLY]
    assert len(train.columns) == 55
    assert list(test) == ["isic_id", "patient_id", *PUBLIC_COLUMNS]


def test_no_column_of_the_simulation_follows_the_target_or_is_an_id(simulation):
    cases, notes = read(simulation)
    names = {name.replace("anatom_site_general", "anatom_site_general_challenge") for name in PUBLIC_COLUMNS}
    assert names <= set(cases.columns)
    assert not [note for note in notes if "follow the target" in note or "ids or free text" in note]


def test_the_simulation_is_stacked_and_submitted_with_the_contests_header(simulation, tmp_path, capsys):
    recipe = tmp_path / "quick.toml"
    recipe.write_text(QUICK)
    freeze_cases(Run(tmp_path / "run"), Request(simulation))
    import_into_run(Run(tmp_path / "run"), simulation / "predictions", [])
    cross_validate(Run(tmp_path / "run"), StackOptions(str(recipe), simulation / "predictions"))
    write_submission(Run(tmp_path / "run"), recipe)
    output = capsys.readouterr().out
    submission = pd.read_csv(tmp_path / "run" / "submission.csv")
    sample = pd.read_csv(simulation / "sample_submission.csv")
    assert list(submission) == ["isic_id", "target"]
    assert submission["isic_id"].tolist() == sample["isic_id"].tolist()
    assert submission["target"].between(0, 1).all()
    assert "on the hidden test labels: AUC of" in output
    columns = json.loads((tmp_path / "run" / "level2" / "quick" / "decisions.json").read_text())["columns"]
    assert "measured.tbp_lv_deltaL_z" in columns
    assert not [name for name in columns if "iddx" in name or "mel_" in name or "dnn_lesion" in name]


def run_memory_study(folder, data, recipe):
    """Run all steps from the tables to the report in ``folder``; return the figures of the memory study."""
    return memory_study(folder / "run", data, data / "predictions", str(recipe)).figures


@pytest.mark.full
def test_the_memory_study_runs_all_steps_from_the_tables_to_the_report(simulation, tmp_path):
    recipe = tmp_path / "quick.toml"
    recipe.write_text(QUICK)
    figures = run_memory_study(tmp_path, simulation, recipe)
    assert 0.05 < figures["peak_gib"] < 4
    assert figures["cpu_seconds"] > 0
    for name in ("report.html", "model_card.md", "eda.html", "submission.csv", "level2/quick/explanations.parquet"):
        assert (tmp_path / "run" / name).is_file()


@pytest.mark.full
@pytest.mark.skipif("ROWS" not in os.environ, reason="takes a quarter of an hour or more; set ROWS=401059 to run it")
def test_level_two_needs_less_than_six_gibibytes_for_the_contests_rows(tmp_path):
    rows = int(os.environ["ROWS"])
    data = draw_total_body_clinic(tmp_path / "data", ClinicSize(rows, rows // 4))
    figures = run_memory_study(tmp_path, data, "rare")
    assert figures["peak_gib"] < 6
    board = pd.read_csv(tmp_path / "run" / "level2" / "rare" / "leaderboard.csv", index_col="name")
    assert board.loc["choice", "auc"] > board.loc["rank_mean", "auc"]


@pytest.mark.full
def test_the_memory_study_stops_at_the_first_command_that_fails_and_names_it(tmp_path):
    options = ["--run", str(tmp_path / "run"), "--data", str(tmp_path), "--out", str(tmp_path / "memory.json")]
    command = [sys.executable, "-m", "benchmarks.stacking", "memory", *options]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "the last command ended with exit code 2" in process.stderr
    commands = json.loads((tmp_path / "memory.json").read_text())["tables"]["memory: commands"]
    assert [(command["command"], command["exit_code"]) for command in commands] == [("melstack cases", 2)]
