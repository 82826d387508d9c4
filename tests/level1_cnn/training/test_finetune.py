"""Tests for finetune.py: fits of a model on drawn pictures, undisturbed and killed, with various settings."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.augment.settings import Augmentation
from level1_cnn.data.shards import decode_pictures
from level1_cnn.experiment import read_experiment
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.view_predictions import ViewPredictions
from level1_cnn.job import Job
from level1_cnn.networks.head import head_of
from level1_cnn.training.checkpoint import STATE, load_state, load_weights
from level1_cnn.training.finetune import FinetuneTrainer
from level1_cnn.training.fit import Fit, Stage
from level1_cnn.training.frozen import FrozenTrainer
from melstack.options import NetworkOptions
from melstack.steps import training
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.level1_cnn.drawn_run import FINETUNE_TOML, copy_run, draw_data, tiny_experiment, write_model

PLAN = Plan("CPU", False, "float32", False, 32)
FOLDS = 2
BODY = FINETUNE_TOML.replace("epochs = 2", "epochs = 1")
COPY_STEP = 6  # every sixth training picture is in the external folder, too


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run with external pictures: drawings of the same two classes, and copies of some training pictures."""
    folder = tmp_path_factory.mktemp("training")
    data, extra = draw_data(folder / "data"), draw_data(folder / "external", seed=9)
    own = pd.read_csv(extra / "train.csv").assign(image_name=lambda rows: "x" + rows["image_name"])
    for path in (extra / "jpeg/train").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    copies = pd.read_csv(data / "train.csv").iloc[::COPY_STEP]
    for name in copies["image_name"]:
        shutil.copy(data / f"jpeg/train/{name}.jpg", extra / f"jpeg/train/copy_{name}.jpg")
    table = pd.concat([own, copies.assign(image_name="copy_" + copies["image_name"])])
    table["patient_id"] = "x" + table["patient_id"]  # other people: only the pictures can tell what is a copy
    table.assign(diagnosis=table["target"].map({0: "nevus", 1: "melanoma"})).to_csv(extra / "train.csv", index=False)
    run = Run(folder / "runs" / "run")
    freeze_cases(run, Request(data, extra=(extra,), folds=FOLDS))
    decode_pictures(run, run.read_cases(), [32, 48])
    return run


def open_trainer(job: Job) -> FinetuneTrainer:
    keras.utils.set_random_seed(0)  # as crossval.open_trainer does, so that the first weights are always the same
    assert job.experiment.training.method == "finetune"
    return FinetuneTrainer(job, job.experiment.training, PLAN, job.run.read_cases())


def trainer(run: Run, name: str, side: int = 32, **changes: object) -> FinetuneTrainer:
    training = {"method": "finetune", "epochs": 3, "batch_size": 8, "learning_rate": 0.01, **changes}
    return open_trainer(Job(run, name, tiny_experiment(training, image_size=side), "{}"))


@pytest.fixture(scope="module")
def first(run: Run) -> FinetuneTrainer:
    """Return a trainer; ``second`` has the same settings and stands for another process."""
    return trainer(run, "first", external="apart", head_dropout=0.3)


@pytest.fixture(scope="module")
def second(run: Run) -> FinetuneTrainer:
    return trainer(run, "second", external="apart", head_dropout=0.3)


@pytest.fixture(scope="module")
def reference(first: FinetuneTrainer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ViewPredictions]:
    """Return the folder and the predictions of an undisturbed fit, the first one of its trainer."""
    folder = tmp_path_factory.mktemp("reference")
    predictions = first.fit_fold(1, folder)
    assert predictions is not None
    assert first.facts()["kept"] == "ema"
    return folder, predictions


def assert_same(predictions: ViewPredictions | None, reference: tuple[Path, ViewPredictions]) -> None:
    assert predictions is not None
    assert predictions.names == reference[1].names
    np.testing.assert_allclose(predictions.logits, reference[1].logits, atol=1e-5)


@pytest.fixture(scope="module")
def dependent_models(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a copy of the run with the model `source`, and two models that start from its backbone.

    The model `follower` also uses the predictions of `source` as pseudo-labels.
    """
    folder = tmp_path_factory.mktemp("dependent")
    other = copy_run(run, folder)
    follower = BODY.replace('weights = "none"', 'weights = "pretrained:source"').replace("size = 32", "size = 48")
    texts = {
        "frozen": follower.partition("[training]")[0] + '[training]\nmethod = "frozen"\nregularisation = 1.0\n',
        "follower": follower + 'external_share = 0.5\n[training.pseudo]\nmodel = "source"\n',
        "source": BODY + 'external = "apart"\n[training.pretrain]\nepochs = 1\nlearning_rate = 0.05\n',
    }
    files = {name: write_model(folder, name, text) for name, text in texts.items()}
    with pytest.raises(InputFault, match="frozen: weights: 'source' is not in this run"):
        training.train(other, NetworkOptions(models=[files["frozen"]]))
    training.train(other, NetworkOptions(models=[*files.values()]))
    return other


def test_external_copies_of_a_folds_pictures_are_only_left_out_of_the_training_of_that_fold(run: Run) -> None:
    model, cases = trainer(run, "copies"), run.read_cases()
    copies = set(cases.index[cases.index.str.startswith("copy_")])
    left_out = []
    for fold in range(FOLDS):
        own = set(cases.index[(cases["role"] == "train") & (cases["fold"] == fold)])
        names = set(model.rows_of(fold).names)
        assert not names & own
        assert copies - names == {f"copy_{name}" for name in own} & copies
        left_out.append(len(copies - names))
    assert sum(left_out) == len(copies) > 10


class KillSignal(Exception):
    """Stands for the end of the process."""


def test_all_folds_use_one_graph_and_no_fold_depends_on_earlier_ones(
    second: FinetuneTrainer, reference: tuple[Path, ViewPredictions], tmp_path: Path
) -> None:
    second.fit_fold(0, tmp_path / "0")
    assert_same(second.fit_fold(1, tmp_path / "1"), reference)
    assert second.stage.stepper.traces == 1


def test_a_training_killed_after_an_epoch_continues_to_the_same_predictions(
    first: FinetuneTrainer,
    second: FinetuneTrainer,
    reference: tuple[Path, ViewPredictions],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill_after_two_epochs(second.stage, lambda: second.fit_fold(1, tmp_path), monkeypatch)
    content = load_state(tmp_path / STATE)
    assert content is not None
    assert content[1] == 2
    assert_same(first.fit_fold(1, tmp_path), reference)


def kill_after_two_epochs(stage: Stage, train: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call ``train``, and kill the training by ``stage`` when its third epoch begins."""
    original = stage._run_epoch

    def run_epoch_or_die(epoch: int, *rest: object) -> None:
        if epoch == 2:
            raise KillSignal
        original(epoch, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_run_epoch", run_epoch_or_die)
        with pytest.raises(KillSignal):
            train()


def test_a_training_in_parts_traces_every_side_once_and_continues_after_a_kill(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"progressive_sides": (32,), "auc_margin_epochs": 1, "augmentation": Augmentation().only("dihedral")}
    model = trainer(run, "parts", side=48, external="apart", **parts)
    stepper, rows = model.stage.stepper, model.rows_of(1)
    first, second = (Fit(rows, tmp_path / name, 1, name) for name in ("whole", "killed"))
    for fit in (first, second):
        fit.folder.mkdir()
    history, weights = model.stage.run(first), stepper.weights()
    kill_after_two_epochs(model.stage, lambda: model.stage.run(second), monkeypatch)
    stepper.begin_epoch(0)  # another process does not know the epochs of the first one
    pd.testing.assert_series_equal(model.stage.run(second)["loss"], history["loss"])
    for path, value in stepper.weights().items():
        np.testing.assert_allclose(value, weights[path], atol=1e-5)
    assert stepper.traces == 2


def test_a_fit_killed_after_its_last_epoch_only_predicts(
    second: FinetuneTrainer, reference: tuple[Path, ViewPredictions]
) -> None:
    state = (
        reference[0] / STATE
    )  # it is deleted only after the mark of the fold, which is written after the predictions
    time = state.stat().st_mtime_ns
    assert_same(second.fit_fold(1, reference[0]), reference)
    assert state.stat().st_mtime_ns == time


def test_a_pretraining_stage_is_trained_once_and_every_fold_starts_from_it(dependent_models: Run) -> None:
    folder = dependent_models.level1 / "source" / "pretrain"
    time = (folder / "weights.npz").stat().st_mtime_ns
    external = dependent_models.read_cases().query("role == 'extra'").index
    copies = int(external.str.startswith("copy_").sum())
    mark = read_json(folder / "done.json")
    assert (mark["pictures"], mark["excluded"]) == (len(external) - copies, copies)
    made_from = json.dumps(read_json(dependent_models.level1 / "source" / "run.json")["made_from"])
    experiment = read_experiment(dependent_models.folder.parents[1] / "source.toml")
    model = open_trainer(Job(dependent_models, "source", experiment, made_from))
    model.prepare()
    assert (folder / "weights.npz").stat().st_mtime_ns == time
    start = model.stage.stepper.weights()
    plain = trainer(dependent_models, "plain", external="apart").stage.stepper.weights()
    kernel = next(path for path in start if path.startswith("block1_conv"))
    assert not np.allclose(start[kernel], plain[kernel])
    # The stage has nine classes and the folds one output, so that the folds have a new head.
    assert start["logits/kernel"].shape == (32, 1)


def test_another_model_starts_from_the_backbone_of_a_finished_stage(dependent_models: Run) -> None:
    stage = load_weights(dependent_models.level1 / "source" / "pretrain" / "weights.npz")
    experiment = read_experiment(dependent_models.folder.parents[1] / "follower.toml")
    start = open_trainer(Job(dependent_models, "again", experiment, "{}")).stage.stepper.weights()
    backbone_paths = [path for path in stage if not path.startswith("logits")]
    assert len(backbone_paths) > 4
    for path in backbone_paths:
        np.testing.assert_array_equal(start[path], stage[path])
    assert (dependent_models.level1 / "follower" / "predictions.parquet").is_file()
    made_from = read_json(dependent_models.level1 / "frozen" / "run.json")["made_from"]
    assert made_from["settings"]["weights"] == "pretrained:source"
    assert made_from["pretrained"]


def test_starting_from_a_model_without_a_pretraining_stage_is_refused(run: Run, tmp_path: Path) -> None:
    models = [write_model(tmp_path, "plain", BODY)]
    models.append(write_model(tmp_path, "follower", BODY.replace('weights = "none"', 'weights = "pretrained:plain"')))
    with pytest.raises(InputFault, match=r"follower: weights: 'plain' has no \[training.pretrain\]"):
        training.train(run, NetworkOptions(models=models))


def test_models_that_need_external_pictures_are_refused_before_anything_is_trained(
    drawn_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(InputFault, match="needs_more: needs external pictures"):
        training.train(
            drawn_run, NetworkOptions(models=[write_model(tmp_path, "needs_more", BODY + "external_share = 0.5\n")])
        )


@pytest.mark.parametrize(
    ("keep", "changes"),
    [
        ("last", {"targets": "diagnosis9", "pooling": "gem", "dropout_samples": 3}),
        ("mean", {"targets": "diagnosis3", "loss": "focal", "accumulation": 2, "class_weights": "balanced"}),
        ("best", {"metadata": True, "malignant_share": 0.5, "augmentation": {"mixup": 0.3}}),
    ],
    ids=["nine classes", "three classes", "metadata"],
)
def test_every_kind_of_target_head_and_kept_weights_learns_to_tell_the_classes_by_colour(
    run: Run, tmp_path: Path, keep: str, changes: dict[str, object]
) -> None:
    averages = {"keep": keep, **({"mean_epochs": 2} if keep == "mean" else {})}
    model = trainer(run, "kinds", epochs=6, **averages, **changes)
    predictions = model.fit_fold(0, tmp_path)
    assert predictions is not None
    assert predictions.logits.shape[1] == 8
    cases = run.read_cases()
    table = predictions.table().loc[lambda rows: cases.loc[rows.index, "role"].to_numpy() == "train"]
    assert roc_auc_score(cases.loc[table.index, "target"], table["probability"]) > 0.9
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["validation_auc"].notna().all() == (keep == "best")
    best = {"best_epoch": history.loc[history["validation_auc"].idxmax(), "epoch"]} if keep == "best" else {}
    assert {name: value for name, value in model.facts().items() if name in ("kept", "best_epoch")} == {
        "kept": keep,
        **best,
    }


@pytest.mark.parametrize("layers", ["last", "all"])
def test_training_can_start_from_the_head_of_the_frozen_network(run: Run, tmp_path: Path, layers: str) -> None:
    settings = {"head": "fitted", "layers": layers, "train_batch_norm": False, "external": "apart"}
    model = trainer(run, f"started_{layers}", epochs=1, learning_rate=1e-9, **settings)
    (tmp_path / "model").mkdir()
    (tmp_path / "frozen").mkdir()
    predictions = model.fit_fold(1, tmp_path / "model")
    experiment = tiny_experiment({"method": "frozen", "layers": layers, "external": "apart"})
    job = Job(run, f"frozen_{layers}", experiment, "{}")
    job.folder.mkdir(parents=True)
    head = FrozenTrainer(job, experiment.training, PLAN, run.read_cases()).fit_fold(1, tmp_path / "frozen")
    assert predictions is not None
    assert head is not None
    table, expected = predictions.table(), head.table().loc[predictions.names]
    if layers == "all":  # with the last layer, the rows of a frozen head are views, those of a first head their mean
        np.testing.assert_allclose(table["probability"], expected["probability"], atol=5e-3)
    assert np.corrcoef(table["probability"], expected["probability"])[0, 1] > 0.95
    kernel, bias = head_of(model.stage.model)
    features, logits = (np.asarray(part) for part in model.stage.model(np.full((2, 32, 32, 3), [90, 60, 30.0])))
    np.testing.assert_allclose(features @ kernel + bias, logits, rtol=1e-3, atol=1e-3)


def test_a_fit_from_a_fitted_head_learns_and_the_next_fold_starts_from_its_own_head(run: Run, tmp_path: Path) -> None:
    settings = {"head": "fitted", "layers": "all", "train_batch_norm": False, "external": "apart", "stage_decay": 0.7}
    model = trainer(run, "from_head", learning_rate=1e-3, **settings)
    expected = trainer(run, "from_head_again", learning_rate=1e-3, **settings)
    for fold in range(FOLDS):
        (tmp_path / str(fold)).mkdir()
        predictions = model.fit_fold(fold, tmp_path / str(fold))
    again = expected.fit_fold(1, tmp_path)
    assert predictions is not None
    assert again is not None
    np.testing.assert_allclose(predictions.logits, again.logits, atol=1e-4)


def test_pseudo_labels_of_a_fold_are_the_predictions_of_the_same_fold_of_the_other_model(dependent_models: Run) -> None:
    model = trainer(dependent_models, "third", pseudo={"model": "source"})
    tests = dependent_models.read_cases().query("role == 'test'").index
    for fold in range(FOLDS):
        probabilities = read_table(dependent_models.level1 / "source" / f"fold_{fold}" / "predictions.parquet")[
            "probability"
        ]
        rows = model.rows_of(fold)
        targets = dict(zip(rows.names, rows.targets[:, 0], strict=True))
        assert [targets[name] for name in tests] == pytest.approx(probabilities.reindex(tests).tolist())


def test_an_unknown_source_of_pseudo_labels_is_refused(run: Run, tmp_path: Path) -> None:
    model = write_model(tmp_path, "orphan", BODY + '[training.pseudo]\nmodel = "absent"\n')
    with pytest.raises(InputFault, match=r"training\.pseudo\.model: 'absent' is not in this run"):
        training.train(run, NetworkOptions(models=[model]))
