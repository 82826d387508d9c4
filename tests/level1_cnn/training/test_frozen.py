"""Tests for frozen.py: which cases a head is fitted to, and that embeddings are computed once."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.data.feed import picture_batches
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.data.shards import decode_pictures
from level1_cnn.experiment import OnnxFile
from level1_cnn.finished import model_inputs
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.inference.view_predictions import ViewPredictions
from level1_cnn.job import Job
from level1_cnn.training.frozen import (
    FrozenTrainer,
    calibration_pictures,
    check_size,
    check_spread,
    shared_embeddings,
)
from level1_cnn.training_settings import FrozenFeatures
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level1_cnn.drawn_run import draw_data, tiny_experiment

VIEWS = ("identity", "mirror", "zoom:1.2")
CPU = Plan("CPU", False, "float32", True, 32)
SETTINGS = FrozenFeatures(method="frozen", regularisation=0.1)
TINY = tiny_experiment(SETTINGS, views=VIEWS)


@pytest.fixture
def embedded_cases(tmp_path: Path) -> tuple[Job, pd.DataFrame]:
    """Return a model with embeddings, and its cases; the first number of an embedding depends on the target."""
    names = [f"c{number}" for number in range(40)]
    rng = np.random.default_rng(3)
    target = np.arange(40) % 2
    views = rng.normal(size=(40, len(VIEWS), 5)).astype(np.float16)
    views[:, :, 0] += 6 * target[:, np.newaxis]
    job = Job(Run(tmp_path), "tiny", TINY, "{}")
    job.folder.mkdir(parents=True)
    np.save(job.folder / "views.npy", views[::-1])
    write_json(job.folder / "views.json", names[::-1])
    write_mark(job.folder / "embedded.json", {}, [job.folder / name for name in ("views.npy", "views.json")])
    roles = ["train"] * 30 + ["test"] * 6 + ["extra"] * 4
    folds = [number % 3 if role == "train" else -1 for number, role in enumerate(roles)]
    labels = np.where(np.array(roles) == "test", np.nan, target)
    index = pd.Index(names, name="image_name")
    return job, pd.DataFrame({"role": roles, "fold": folds, "target": labels}, index=index)


def test_a_head_learns_from_its_training_cases_and_predicts_one_logit_per_view(
    embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path
) -> None:
    job, cases = embedded_cases
    evaluation = ["c35", "c30", "c7"]
    predictions = FrozenTrainer(job, SETTINGS, CPU, cases).fit_cases(tmp_path, list(cases.index[10:30]), evaluation)
    assert predictions.names == evaluation
    assert predictions.views == VIEWS
    assert predictions.logits.shape == (3, len(VIEWS))
    assert (np.sign(predictions.logits.mean(axis=1)) == [1, -1, 1]).all()
    with np.load(tmp_path / "head.npz") as head:
        assert head["weights"].shape == (5,)


def test_other_cases_do_not_change_the_head(embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path) -> None:
    job, cases = embedded_cases
    training = list(cases.index[10:30])
    other = cases.copy()
    other.loc[other.index[:10], "target"] = 1 - other["target"][:10]
    first, second = (
        FrozenTrainer(job, SETTINGS, CPU, table).fit_cases(tmp_path, training, ["c1"]).logits
        for table in (cases, other)
    )
    np.testing.assert_array_equal(first, second)


def test_a_case_without_embeddings_is_refused(embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path) -> None:
    job, cases = embedded_cases
    with pytest.raises(ValueError, match=r"1 case\(s\) have no embeddings"):
        FrozenTrainer(job, SETTINGS, CPU, cases).fit_cases(tmp_path, list(cases.index[:9]), ["stranger"])


def test_the_shared_embeddings_are_the_mean_over_the_views(
    embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path
) -> None:
    job, _ = embedded_cases
    names, means = shared_embeddings(job) or ([], np.empty(0))
    assert names[0] == "c39"
    np.testing.assert_allclose(means, np.load(job.folder / "views.npy").astype(np.float32).mean(axis=1), atol=1e-5)
    assert shared_embeddings(replace(job, name="finetuned")) is None


@pytest.fixture(scope="module")
def copy_of_another_patient(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, pd.DataFrame]:
    """Return a run with shards of 32 pictures of 8 patients; c006 is a copy of c000, a picture of another patient."""
    folder = tmp_path_factory.mktemp("frozen")
    pictures = draw_data(folder / "data", patients=8) / "jpeg" / "train"
    shutil.copy(pictures / "c000.jpg", pictures / "c006.jpg")
    run = Run(folder / "run")
    freeze_cases(run, Request(folder / "data", folds=3))
    cases = run.read_cases()
    decode_pictures(run, cases, [32])
    return Job(run, "tiny", TINY, "{}"), cases


def test_every_case_is_embedded_once_in_every_view_and_not_again(
    copy_of_another_patient: tuple[Job, pd.DataFrame],
) -> None:
    job, cases = copy_of_another_patient
    trainer = FrozenTrainer(job, SETTINGS, CPU, cases)
    trainer.prepare()
    names, means = shared_embeddings(job) or ([], np.empty(0))
    assert sorted(names) == sorted(cases.index)
    assert np.load(job.folder / "views.npy").shape == (len(cases), len(VIEWS), 32)
    time = (job.folder / "views.npy").stat().st_mtime_ns
    trainer.prepare()
    assert (job.folder / "views.npy").stat().st_mtime_ns == time
    assert np.isfinite(means).all()


def test_the_head_is_fitted_to_what_the_network_of_8_bit_integers_says(
    copy_of_another_patient: tuple[Job, pd.DataFrame],
) -> None:
    job, cases = copy_of_another_patient
    settings = SETTINGS.model_copy(update={"precision": "int8"})
    job = replace(job, name="int8", experiment=TINY.model_copy(update={"training": settings}))
    gpu = replace(CPU, kind="GPU", onnx=False)  # such a network runs on the CPU beside any device
    trainer = FrozenTrainer(job, settings, gpu, cases)
    trainer.prepare()
    assert b"QuantizeLinear" in (job.folder / ONNX_FILE).read_bytes()
    index = np.flatnonzero(np.array(read_json(job.folder / "views.json")) == "c000")
    (_, pictures) = next(picture_batches(shard_files(job.run, 32), 1, ["c000"]))
    features = open_session(job.folder / ONNX_FILE, outputs=[1])(pictures)[0].astype(np.float16)
    np.testing.assert_array_equal(np.load(job.folder / "views.npy")[index, 0], features)


def test_the_pictures_for_the_ranges_are_training_pictures_and_always_the_same(
    copy_of_another_patient: tuple[Job, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, cases = copy_of_another_patient
    training = list(cases.index[cases["role"] == "train"])
    files = shard_files(job.run, 32)
    everything = np.concatenate([pictures for _, pictures in picture_batches(files, 8, training)])
    np.testing.assert_array_equal(calibration_pictures(job), everything)
    monkeypatch.setattr("level1_cnn.training.frozen.CALIBRATION", 3)
    selection = [training[0], training[(len(training) - 1) // 2], training[-1]]
    some = np.concatenate([pictures for _, pictures in picture_batches(files, 8, selection)])
    np.testing.assert_array_equal(calibration_pictures(job), some)


def test_the_inputs_of_a_network_in_float32_do_not_name_the_precision(
    copy_of_another_patient: tuple[Job, pd.DataFrame],
) -> None:
    job, _ = copy_of_another_patient
    int8 = TINY.model_copy(update={"training": SETTINGS.model_copy(update={"precision": "int8"})})
    assert "precision" not in model_inputs(job.run, job.name, TINY)["settings"]["training"]
    assert model_inputs(job.run, job.name, int8)["settings"]["training"]["precision"] == "int8"


def test_a_missing_onnx_file_counts_as_the_one_that_the_model_was_begun_with(
    embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path
) -> None:
    job, _ = embedded_cases
    write_table(job.run.folder / "cases.parquet", pd.DataFrame({"fold": [0]}, pd.Index(["a"], name="image_name")))
    file = tmp_path / "of_others.onnx"
    file.write_bytes(b"a network")
    settings = OnnxFile(licence="MIT")
    other = TINY.model_copy(update={"backbone": "onnx", "weights": str(file), "onnx": settings})
    inputs = model_inputs(job.run, "other", other)
    write_json(job.run.level1 / "other" / "begun.json", {"made_from": inputs})
    file.unlink()
    assert model_inputs(job.run, "other", other) == inputs
    assert "onnx" not in model_inputs(job.run, "new", other)
    file.write_bytes(b"another network")
    assert model_inputs(job.run, "other", other) != inputs


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "numbers that are not finite"), (np.inf, "not finite"), (7e4, r"up to 7e\+04, and features are kept as")],
)
def test_features_that_float16_cannot_hold_are_refused(value: float, message: str) -> None:
    features = np.ones((2, 8, 3), np.float32)
    check_size(features, "other")
    features[1, 2, 0] = value
    with pytest.raises(InputFault, match=message):
        check_size(features, "other")


@pytest.mark.parametrize("features", [[1, 1], [0, 0], [1e-8, 2e-8], [1000, 1000.1]])
def test_a_network_that_says_the_same_of_all_pictures_is_refused(features: list[float]) -> None:
    lowest, highest = (np.array([value, 0.0], np.float32) for value in features)
    with pytest.raises(InputFault, match="other: the network says nearly the same of all pictures"):
        check_spread(lowest, highest, "other")
    check_spread(lowest, highest + np.array([0, 2.0], np.float32), "other")


def test_small_features_that_float16_can_hold_are_accepted() -> None:
    check_spread(np.array([1e-3], np.float32), np.array([2e-3], np.float32), "other")


@pytest.mark.parametrize("own", ["c000", "c006"])
def test_the_head_of_a_fold_is_fitted_to_none_of_its_cases_and_to_no_copy_of_them(
    copy_of_another_patient: tuple[Job, pd.DataFrame], tmp_path: Path, own: str
) -> None:
    job, cases = copy_of_another_patient
    # Official folds may put a picture and its copy into different folds; our own folds do not.
    assert cases.loc["c000", "fold"] == cases.loc["c006", "fold"]
    cases = cases.assign(fold=cases["fold"].where(cases.index != "c006", 1 - cases.loc["c000", "fold"]))
    training_sets: list[set[str]] = []

    class RecordingTrainer(FrozenTrainer):
        def fit_cases(self, folder, training, evaluation):
            training_sets.append(set(training))
            return super().fit_cases(folder, training, evaluation)

    fold = cases.loc[own, "fold"]
    trainer = RecordingTrainer(job, SETTINGS, CPU, cases)
    predictions = trainer.fit_fold(fold, tmp_path)
    validation = set(cases.index[cases["fold"] == fold])
    assert predictions is not None
    assert set(predictions.names) == validation | set(cases.index[cases["role"] == "test"])
    assert training_sets[0] == set(cases.index[cases["role"] == "train"]) - validation - {"c000", "c006"}
    assert trainer.facts() == {"pictures": len(training_sets[0]), "regularisation": SETTINGS.regularisation}


class RecordingTrainer(FrozenTrainer):
    """A trainer that records the training cases of every fit."""

    def __init__(self, job: Job, settings: FrozenFeatures, plan: Plan, cases: pd.DataFrame) -> None:
        super().__init__(job, settings, plan, cases)
        self.records: list[set[str]] = []

    def fit_cases(self, folder: Path, training: Collection[str], evaluation: Collection[str]) -> ViewPredictions:
        self.records.append(set(training))
        return super().fit_cases(folder, training, evaluation)


def test_no_head_is_fitted_to_external_cases_of_the_patients_it_predicts(
    embedded_cases: tuple[Job, pd.DataFrame], tmp_path: Path
) -> None:
    job, cases = embedded_cases
    write_json(job.run.pairs, [])
    cases.loc[["c36", "c37"], "fold"] = [0, 2]  # external cases of patients in these folds
    settings = SETTINGS.model_copy(update={"external": "joint"})
    trainer = RecordingTrainer(job, settings, CPU, cases)
    for fold in range(3):
        trainer.fit_fold(fold, tmp_path)
        assert not trainer.records[fold] & set(cases.index[cases["fold"] == fold])
    external = {"c36", "c37", "c38", "c39"}
    assert [external - record for record in trainer.records] == [{"c36"}, set(), {"c37"}]
