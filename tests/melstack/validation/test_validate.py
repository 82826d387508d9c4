"""Tests of a validation from a folder to its page: training cases left out, updates, folders that are refused."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.clinic.folder import draw_clinic
from level2_stack.calibration.local_update import LocalUpdate
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import read_manifest, write_manifest
from melstack.bundle.predicting import predict_folder
from melstack.bundle.reference import FILE, NAMES
from melstack.bundle.updating import write_updated_bundle
from melstack.validation.validate import ValidationRequest, validate_folder
from runtime.errors import InputFault
from runtime.files import read_json
from tests.command_line import run_melstack
from tests.melstack.report.page_rules import faults_of
from tests.tiny_project import TRAIN, FinishedRun


@pytest.fixture(scope="module")
def other_clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a labelled folder of other patients, without test cases."""
    return draw_clinic(tmp_path_factory.mktemp("other") / "clinic", train=160, test=1, seed=9)


def test_a_labelled_folder_gives_tables_and_a_page_that_agree_with_the_predictions(
    finished_run: FinishedRun, other_clinic: Path, tmp_path: Path
) -> None:
    validation = validate_folder(ValidationRequest(finished_run.bundle, other_clinic, tmp_path, threads=1))
    truth = pd.read_csv(other_clinic / "train.csv", index_col="image_name")["target"]
    probability = pd.read_csv(tmp_path / "submission.csv", index_col="image_name")["target"]
    measures = pd.read_csv(tmp_path / "measures.csv", index_col="metric")
    assert measures.loc["auc", "value"] == pytest.approx(roc_auc_score(truth[probability.index], probability), abs=1e-9)
    assert measures["run_value"].notna().all()
    difference = measures.loc["auc", "value"] - measures.loc["auc", "run_value"]
    assert measures.loc["auc", "difference"] == pytest.approx(difference)
    points = Bundle.load(finished_run.bundle, threads=1).operating_points
    thresholds = pd.read_csv(tmp_path / "thresholds.csv", index_col="name")
    for point in points:
        malignant = probability[truth[probability.index] == 1]
        assert thresholds.loc[point.name, "sensitivity"] == pytest.approx((malignant >= point.threshold).mean())
    page = (tmp_path / "validation.html").read_text()
    assert "Does it hold here?" in page
    assert faults_of(page) == []
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    assert len(validation.drift) == len(read_json(finished_run.bundle / "training.json")["columns"])


def test_training_cases_of_the_bundle_are_left_out(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="every case is a training case of the bundle"):
        validate_folder(ValidationRequest(finished_run.bundle, finished_run.project.data, tmp_path, threads=1))
    assert not list(tmp_path.iterdir())


def test_renamed_copies_of_training_pictures_are_left_out_too(
    finished_run: FinishedRun, other_clinic: Path, tmp_path: Path
) -> None:
    mixture = tmp_path / "mixture"
    (mixture / "jpeg" / "train").mkdir(parents=True)
    own, other = (pd.read_csv(folder / "train.csv") for folder in (finished_run.project.data, other_clinic))
    own, other = own.head(12), other.head(90)
    for table, folder, start in ((own, finished_run.project.data, "copy_"), (other, other_clinic, "")):
        for name in table["image_name"]:
            content = (folder / "jpeg" / "train" / f"{name}.jpg").read_bytes()
            (mixture / "jpeg" / "train" / f"{start}{name}.jpg").write_bytes(content)
    own = own.assign(image_name="copy_" + own["image_name"], patient_id="other_" + own["patient_id"])
    pd.concat([own, other]).to_csv(mixture / "train.csv", index=False)
    validation = validate_folder(ValidationRequest(finished_run.bundle, mixture, tmp_path / "out", threads=1))
    flow = validation.cases.flow.set_index("step")["cases"]
    assert flow["left out: training cases of the bundle"] == 12
    assert flow["validated cases"] == 90


def test_an_updated_bundle_says_so_and_keeps_its_decisions(finished_run: FinishedRun, tmp_path: Path) -> None:
    update, data = LocalUpdate(0.7, 1.2, 0.001, 0.01), finished_run.project.data
    write_updated_bundle(finished_run.bundle, update, "160 cases of elsewhere", tmp_path / "updated")
    tables = {}
    for name, bundle in (("before", finished_run.bundle), ("after", tmp_path / "updated")):
        predict_folder(bundle, data, tmp_path / name, None, None, threads=1)
        tables[name] = pd.read_csv(tmp_path / name / "predictions.csv", index_col="image_name")
    before, after = tables["before"], tables["after"]
    np.testing.assert_allclose(after["probability"], update(before["probability"].to_numpy()), rtol=1e-9)
    decisions = [name for name in before if name.startswith("malignant_at_")]
    assert decisions
    pd.testing.assert_frame_equal(after[decisions], before[decisions])
    parts = pd.read_parquet(tmp_path / "after" / "contributions.parquet")
    margin = np.log(after["probability"] / (1 - after["probability"]))
    np.testing.assert_allclose(parts.sum(axis=1), margin, rtol=1e-4)
    assert "160 cases of elsewhere" in (tmp_path / "updated" / "model_card.md").read_text()
    assert "160 cases of elsewhere" in str(read_manifest(tmp_path / "updated").facts["update"])
    with pytest.raises(InputFault, match="updated already"):
        write_updated_bundle(tmp_path / "updated", update, "the same", tmp_path / "twice")
    with pytest.raises(InputFault, match="exists already"):
        write_updated_bundle(finished_run.bundle, update, "the same", tmp_path / "updated")


def test_a_bundle_of_an_earlier_version_is_validated_without_figures_beside(
    finished_run: FinishedRun, other_clinic: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(finished_run.bundle, tmp_path / "old"))
    manifest = read_manifest(old)
    for name in (FILE, NAMES, "thresholds.json"):
        (old / name).unlink()
    write_manifest(old, manifest)
    validation = validate_folder(ValidationRequest(old, other_clinic, tmp_path / "out", threads=1))
    assert validation.reference is None
    assert validation.measures["run_value"].isna().all()
    assert "an earlier version wrote it" in (tmp_path / "out" / "validation.html").read_text()


def test_the_command_writes_into_the_folder_of_the_data_and_refuses_one_class(
    finished_run: FinishedRun, other_clinic: Path, tmp_path: Path
) -> None:
    run = finished_run.copy_to(tmp_path)
    output = run_melstack("validate", "--run", str(run.folder), "--data", str(other_clinic), "--threads", "1")
    assert output.code == 0, output.err
    assert "AUC" in output.out
    assert "out of fold in training" in output.out
    facts = read_json(run.folder / "validated" / other_clinic.name / "validation.json")
    assert facts["cases"] == 160
    table = pd.read_csv(other_clinic / "train.csv").assign(target=0, benign_malignant="benign", diagnosis="nevus")
    benign = tmp_path / "benign"
    benign.mkdir()
    (benign / "jpeg").symlink_to(other_clinic / "jpeg")
    table.to_csv(benign / "train.csv", index=False)
    output = run_melstack("validate", "--run", str(run.folder), "--data", str(benign), "--threads", "1")
    assert output.code == 2
    assert "both classes are needed" in output.err


def test_the_bundle_remembers_its_training_cases_without_their_names(finished_run: FinishedRun) -> None:
    text = (finished_run.bundle / "training.json").read_text()
    names = pd.read_csv(finished_run.project.data / "train.csv")
    assert read_json(finished_run.bundle / "training.json")["rows"] == TRAIN
    assert not any(name in text for name in [*names["image_name"], *names["patient_id"].unique()])
