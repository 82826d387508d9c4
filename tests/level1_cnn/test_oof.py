"""Tests of level one as a whole, with drawn pictures and the tiny backbone: complete, without leaks, resumable."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.data.feed import Feed, picture_batches
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.data.training_rows import fold_rows, model_rows
from level1_cnn.training_settings import Finetune
from melstack.options import NetworkOptions
from melstack.steps import training
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES
from tests.level1_cnn.drawn_run import FINETUNE_TOML, FROZEN_TOML, copy_run, draw_data, make_run, write_model

SIDE, FOLDS = 32, 2
MODEL_TEXTS = {"frozen": FROZEN_TOML, "finetuned": FINETUNE_TOML.replace("epochs = 2", "epochs = 6")}
every_model = pytest.mark.parametrize("name", MODEL_TEXTS)


def train(run: Run, folder: Path, name: str, text: str) -> pd.DataFrame:
    training.train(run, NetworkOptions(models=[write_model(folder, name, text)]))
    return read_table(run.level1 / name / "predictions.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train both models and return their run."""
    folder = tmp_path_factory.mktemp("level1")
    run = make_run(folder, folds=FOLDS)
    training.train(run, NetworkOptions(models=[write_model(folder, *model) for model in MODEL_TEXTS.items()]))
    return run


def auc(run: Run, table: pd.DataFrame) -> float:
    cases = run.read_cases()
    rows = cases.index[cases["role"] == "train"]
    return float(roc_auc_score(cases.loc[rows, "target"], table.loc[rows, "probability"]))


def times(run: Run) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.level1.rglob("*") if path.is_file()}


@every_model
def test_every_train_and_test_case_has_a_probability_a_spread_and_its_fold(run: Run, name: str) -> None:
    cases, table = run.read_cases(), read_table(run.level1 / name / "predictions.parquet")
    assert table.index.equals(cases.index)
    assert table["probability"].between(0, 1).all()
    assert (table["spread"] >= 0).all()
    assert table["fold"].equals(cases["fold"])


@every_model
def test_a_network_learns_to_tell_the_classes_by_their_colour(run: Run, name: str) -> None:
    assert auc(run, read_table(run.level1 / name / "predictions.parquet")) > 0.9


@every_model
def test_embeddings_are_float16_for_every_case(run: Run, name: str) -> None:
    table = read_table(run.level1 / name / "embeddings.parquet")
    assert table.index.equals(run.read_cases().index)
    assert set(table.dtypes.astype(str)) == {"float16"}
    assert np.isfinite(table.to_numpy(dtype=np.float32)).all()


def test_the_prediction_of_a_test_case_is_the_mean_over_the_folds(run: Run) -> None:
    folder = run.level1 / "finetuned"
    tests = run.read_cases().query("role == 'test'").index
    parts = [
        read_table(folder / f"fold_{fold}" / "predictions.parquet").loc[tests, "probability"] for fold in range(FOLDS)
    ]
    probabilities = read_table(folder / "predictions.parquet").loc[tests, "probability"]
    np.testing.assert_allclose(probabilities, np.mean(parts, axis=0))
    assert np.ptp(np.array(parts), axis=0).max() > 0


def test_the_mark_of_a_network_records_the_mode_of_each_fold(run: Run) -> None:
    assert [fold["deterministic"] for fold in read_json(run.level1 / "finetuned" / "run.json")["folds"]] == [False] * 2


def test_a_second_run_changes_nothing_and_prints_fresh(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(run)
    train(run, tmp_path, "finetuned", MODEL_TEXTS["finetuned"])
    assert "level one: fresh: finetuned" in capsys.readouterr().out
    assert times(run) == before


@every_model
def test_an_interrupted_fold_is_trained_again_with_the_same_result(run: Run, name: str, tmp_path: Path) -> None:
    other = copy_run(run, tmp_path)
    (other.level1 / name / "run.json").unlink()
    (other.level1 / name / "fold_1" / "done.json").unlink()
    (other.level1 / name / "fold_1" / "predictions.parquet").write_bytes(b"half")
    second = train(other, tmp_path, name, MODEL_TEXTS[name])
    first = read_table(run.level1 / name / "predictions.parquet")
    np.testing.assert_allclose(second["probability"], first["probability"], atol=1e-6)


def test_a_changed_toml_of_a_finished_model_is_refused_with_the_changed_key(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"settings\.training\.epochs: 6 -> 7"):
        train(run, tmp_path, "finetuned", MODEL_TEXTS["finetuned"].replace("epochs = 6", "epochs = 7"))


def test_an_unknown_backbone_is_refused_before_anything_is_trained(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="tiny"):
        train(run, tmp_path, "other", FROZEN_TOML.replace('"tiny"\nvariant', '"tinny"\nvariant'))
    assert not (run.level1 / "other").exists()


def test_an_unreachable_cluster_is_refused_before_anything_is_trained(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.CONNECT_SECONDS", 0.5)
    with pytest.raises(InputFault, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        training.train(run, NetworkOptions(models=[write_model(tmp_path, "far", FROZEN_TOML)]), "tcp://127.0.0.1:9")
    assert not list(run.level1.glob("far/fold_*"))


def test_the_training_of_a_fold_uses_none_of_its_pictures(run: Run) -> None:
    """Without augmentation a training picture has the same bytes as in the shards, so that they can be compared."""
    cases = run.read_cases()
    settings = Finetune(method="finetune", epochs=1, learning_rate=1e-3, augmentation=NO_CHANGES)
    files = shard_files(run, SIDE)
    rows = fold_rows(cases, settings, 0, (), None)
    feed = Feed(files, model_rows(cases, settings), SIDE)
    batches = feed.batches(
        NO_CHANGES, batch_size=6, malignant_share=0, seed=1, first_step=0, steps=len(rows.names) // 6, rows=rows
    )
    training_pictures = {
        picture.astype(np.uint8).tobytes() for (pictures, _), *_ in batches.as_numpy_iterator() for picture in pictures
    }
    validation = cases.index[(cases["role"] == "train") & (cases["fold"] == 0)]
    fold_pictures = {
        picture.tobytes() for _, pictures in picture_batches(files, 16, validation) for picture in pictures
    }
    assert len(training_pictures) > len(rows.names) // 2
    assert not training_pictures & fold_pictures


def test_random_targets_give_an_auc_near_one_half(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(draw_data(tmp_path / "data", noise_target=True), folds=FOLDS))
    table = train(run, tmp_path, "frozen", FROZEN_TOML)
    # Standard error of an AUC over 72 cases, 40 % positive: 0.07 (Hanley and McNeil 1982).
    assert abs(auc(run, table) - 0.5) < 3 * 0.07


def test_without_pictures_level_one_is_skipped_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw_data(tmp_path / "data", patients=8)
    shutil.rmtree(data / "jpeg")
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=FOLDS))
    training.train(run, NetworkOptions())
    assert "no pictures, so no network is trained" in capsys.readouterr().out
    assert not run.level1.exists()
