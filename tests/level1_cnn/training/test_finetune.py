"""Tests for finetune.py: the fits of a model on drawn pictures, interrupted and whole, every setting."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.data.shards import prepare
from level1_cnn.experiment import Experiment, read_experiment
from level1_cnn.hardware.devices import Plan
from level1_cnn.job import Job
from level1_cnn.training.checkpoint import STATE, load_state, load_weights
from level1_cnn.training.finetune import FinetuneTrainer
from melstack import level1_commands as command
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.level1_cnn.test_oof import FOLDS, make_data

PLAN = Plan("CPU", False, "float32", False, 32)
MODEL = 'backbone = "tiny"\nvariant = "tiny"\nweights = "none"\nimage_size = 32\n[training]\nmethod = "finetune"\n'
COPIED = 6  # every sixth training picture is in the external folder too
SETTINGS = {"method": "finetune", "epochs": 3, "batch_size": 8, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with external pictures: other drawings of the same two kinds, and copies of some training pictures."""
    folder = tmp_path_factory.mktemp("training")
    data, extra = make_data(folder / "data"), make_data(folder / "external", seed=9)
    own = pd.read_csv(extra / "train.csv").assign(image_name=lambda rows: "x" + rows["image_name"])
    for path in (extra / "jpeg/train").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    copied = pd.read_csv(data / "train.csv").iloc[::COPIED]
    for name in copied["image_name"]:
        shutil.copy(data / f"jpeg/train/{name}.jpg", extra / f"jpeg/train/copy_{name}.jpg")
    table = pd.concat([own, copied.assign(image_name="copy_" + copied["image_name"])])
    table.assign(diagnosis=table["target"].map({0: "nevus", 1: "melanoma"})).to_csv(extra / "train.csv", index=False)
    place = Run(folder / "run")
    freeze_cases(place, Request(data, extra=(extra,), folds=FOLDS))
    prepare(place, place.read_cases(), [32])
    return place


def trainer(run: Run, name: str, cases: pd.DataFrame | None = None, **changes: object) -> FinetuneTrainer:
    experiment = Experiment.model_validate(
        {
            "backbone": "tiny",
            "variant": "tiny",
            "weights": "none",
            "image_size": 32,
            "training": {**SETTINGS, **changes},
        }
    )
    job = Job(run, name, experiment, "{}")
    keras.utils.set_random_seed(0)  # as the entry point does: the first weights are the same in every process
    settings = experiment.training
    assert settings.method == "finetune"
    return FinetuneTrainer(job, settings, PLAN, run.read_cases() if cases is None else cases)


def test_external_copies_of_a_folds_pictures_are_left_out_of_that_folds_training_alone(run: Run) -> None:
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


@pytest.mark.parametrize("keep", ["ema", "last", "mean", "best"])
def test_every_way_to_keep_weights_predicts_and_says_so(run: Run, tmp_path: Path, keep: str) -> None:
    model = trainer(run, f"keep_{keep}", keep=keep, external="apart", **({"mean_epochs": 2} if keep == "mean" else {}))
    predicted = model.fit_fold(0, tmp_path)
    assert predicted is not None
    assert model.facts()["kept"] == keep
    assert ("best_epoch" in model.facts()) == (keep == "best")
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["validation_auc"].notna().all() == (keep == "best")
    assert predicted.logits.shape[1] == 8


def test_the_best_epoch_is_the_one_with_the_highest_validation_auc(run: Run, tmp_path: Path) -> None:
    model = trainer(run, "best", keep="best", external="apart", learning_rate=1e-3)
    model.fit_fold(1, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert model.facts()["best_epoch"] == history.loc[history["validation_auc"].idxmax(), "epoch"]


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_training_killed_after_an_epoch_goes_on_to_the_same_predictions(run: Run, tmp_path: Path) -> None:
    whole = trainer(run, "whole", external="apart", head_dropout=0.3).fit_fold(2, tmp_path / "whole")
    model = trainer(run, "killed", external="apart", head_dropout=0.3)
    original = model.stage._run_epoch

    def dying(epoch: int, *rest: object) -> None:
        if epoch == 2:
            raise Killed
        original(epoch, *rest)  # type: ignore[arg-type]

    model.stage._run_epoch = dying  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        model.fit_fold(2, tmp_path / "killed")
    saved = load_state(tmp_path / "killed" / STATE)
    assert saved is not None
    assert saved[1] == 2
    again = trainer(run, "again", external="apart", head_dropout=0.3).fit_fold(2, tmp_path / "killed")
    assert whole is not None
    assert again is not None
    assert again.names == whole.names
    np.testing.assert_allclose(again.logits, whole.logits, atol=1e-5)


def test_one_graph_serves_all_folds_and_a_fold_does_not_depend_on_those_before(run: Run, tmp_path: Path) -> None:
    model = trainer(run, "several", external="apart")
    model.fit_fold(0, tmp_path / "a0")
    after = model.fit_fold(1, tmp_path / "a1")
    alone = trainer(run, "alone", external="apart").fit_fold(1, tmp_path / "b1")
    assert model.stage.stepper.traces == 1
    assert after is not None
    assert alone is not None
    np.testing.assert_allclose(after.logits, alone.logits, atol=1e-5)


def test_a_pretraining_stage_is_done_once_and_every_fold_starts_from_it(run: Run) -> None:
    stage = {"epochs": 2, "learning_rate": 0.01}
    model = trainer(run, "pretrained", external="apart", pretrain=stage)
    model.prepare()
    folder = run.level1 / "pretrained" / "pretrain"
    first = (folder / "weights.npz").stat().st_mtime_ns
    external = run.read_cases().query("role == 'extra'").index
    copies = int(external.str.startswith("copy_").sum())
    mark = read_json(folder / "done.json")
    assert (mark["pictures"], mark["excluded"]) == (len(external) - copies, copies)
    model.prepare()
    assert (folder / "weights.npz").stat().st_mtime_ns == first
    start = model.stage.stepper.weights()
    plain = trainer(run, "plain", external="apart").stage.stepper.weights()
    kernel = next(path for path in start if path.startswith("block1_conv"))
    assert not np.allclose(start[kernel], plain[kernel])
    # Nine classes there, one output here: the head is new.
    assert start["logits/kernel"].shape == (32, 1)


def test_another_model_starts_from_the_backbone_of_a_finished_stage(run: Run, tmp_path: Path) -> None:
    source, follower, frozen = (tmp_path / f"{name}.toml" for name in ("source", "follower", "frozen"))
    body = MODEL + "epochs = 1\nbatch_size = 8\nlearning_rate = 0.01\n"
    source.write_text(body + 'external = "apart"\n[training.pretrain]\nepochs = 1\nlearning_rate = 0.05\n')
    started = body.replace('weights = "none"', 'weights = "pretrained:source"').replace(
        "image_size = 32", "image_size = 48"
    )
    follower.write_text(started + "external_share = 0.5\n")
    frozen.write_text(started.partition("[training]")[0] + '[training]\nmethod = "frozen"\nregularisation = 1.0\n')
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder, ignore=shutil.ignore_patterns("level1"))
    with pytest.raises(InputFault, match="follower: weights: 'source' is not in this run"):
        command.oof(other.folder, models=str(follower))
    command.oof(other.folder, models=f"{frozen} {follower} {source}")
    stage = load_weights(other.level1 / "source" / "pretrain" / "weights.npz")
    experiment = read_experiment(follower)
    job = Job(other, "again", experiment, "{}")
    keras.utils.set_random_seed(0)
    assert experiment.training.method == "finetune"
    start = FinetuneTrainer(job, experiment.training, PLAN, other.read_cases()).stage.stepper.weights()
    shared = [path for path in stage if not path.startswith("logits")]
    assert len(shared) > 4
    for path in shared:
        np.testing.assert_array_equal(start[path], stage[path])
    made_from = read_json(other.level1 / "frozen" / "run.json")["made_from"]
    assert made_from["settings"]["weights"] == "pretrained:source"
    assert made_from["pretrained"]


def test_a_model_without_a_stage_is_refused_as_a_start(run: Run, tmp_path: Path) -> None:
    plain, follower = tmp_path / "plain.toml", tmp_path / "follower.toml"
    body = MODEL + "epochs = 1\nlearning_rate = 0.01\n"
    plain.write_text(body)
    follower.write_text(body.replace('weights = "none"', 'weights = "pretrained:plain"'))
    with pytest.raises(InputFault, match=r"follower: weights: 'plain' has no \[training.pretrain\]"):
        command.oof(run.folder, models=f"{plain} {follower}")


def test_models_that_need_external_pictures_are_refused_before_anything_is_trained(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "hungry.toml"
    file.write_text(MODEL + "epochs = 1\nlearning_rate = 0.01\nexternal_share = 0.5\n")
    bare = Run(tmp_path / "run")
    data = make_data(tmp_path / "data")
    freeze_cases(bare, Request(data, folds=FOLDS))
    with pytest.raises(InputFault, match="hungry: trained on external pictures too"):
        command.oof(bare.folder, models=str(file))


def test_a_fit_killed_after_its_last_epoch_only_predicts(run: Run, tmp_path: Path) -> None:
    options = {"external": "apart", "malignant_share": 0.5}
    model = trainer(run, "ended", **options)
    whole = model.fit_fold(0, tmp_path)
    assert (tmp_path / STATE).is_file()  # the mark, written after the predictions, is what makes it unnecessary
    again = trainer(run, "ended", **options).fit_fold(0, tmp_path)
    assert whole is not None
    assert again is not None
    np.testing.assert_allclose(again.logits, whole.logits, atol=1e-5)


def test_a_pretraining_stage_without_external_pictures_is_refused(run: Run) -> None:
    cases = run.read_cases()
    model = trainer(run, "alone", cases[cases["role"] != "extra"], pretrain={"epochs": 1, "learning_rate": 0.01})
    with pytest.raises(InputFault, match="needs external pictures"):
        model.prepare()


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": "diagnosis9", "pooling": "gem", "dropout_samples": 3},
        {"targets": "diagnosis3", "loss": "focal", "accumulation": 2, "class_weights": "balanced"},
        {"metadata": True, "malignant_share": 0.5, "augmentation": {"mixup": 0.3}},
    ],
    ids=["nine classes", "three classes", "metadata"],
)
def test_every_kind_of_target_and_head_learns_a_colour_that_decides(
    run: Run, tmp_path: Path, changes: dict[str, object]
) -> None:
    from sklearn.metrics import roc_auc_score

    predicted = trainer(run, "kinds", epochs=6, **changes).fit_fold(0, tmp_path)
    assert predicted is not None
    cases = run.read_cases()
    table = predicted.table().loc[lambda rows: cases.loc[rows.index, "role"].to_numpy() == "train"]
    assert roc_auc_score(cases.loc[table.index, "target"], table["probability"]) > 0.9


def test_pseudo_labels_of_a_fold_are_what_the_same_fold_of_the_other_model_said(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    body = MODEL + 'epochs = 1\nbatch_size = 8\nlearning_rate = 0.01\nexternal = "apart"\n'
    first.write_text(body)
    second.write_text(body + '[training.pseudo]\nmodel = "first"\n')
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder, ignore=shutil.ignore_patterns("level1"))
    command.oof(other.folder, models=f"{second} {first}")
    assert (other.level1 / "second" / "predictions.parquet").is_file()
    model = trainer(other, "third", pseudo={"model": "first"})
    tests = run.read_cases().query("role == 'test'").index
    for fold in range(FOLDS):
        said = read_table(other.level1 / "first" / f"fold_{fold}" / "predictions.parquet")["probability"]
        rows = model.rows_of(fold)
        found = dict(zip(rows.names, rows.targets[:, 0], strict=True))
        assert [found[name] for name in tests] == pytest.approx(said.reindex(tests).tolist())


def test_a_missing_source_of_pseudo_labels_is_refused_with_what_there_is(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "orphan.toml"
    file.write_text(MODEL + 'epochs = 1\nlearning_rate = 0.01\n[training.pseudo]\nmodel = "nobody"\n')
    with pytest.raises(InputFault, match=r"training\.pseudo\.model: 'nobody' is not in this run"):
        command.oof(run.folder, models=str(file))
