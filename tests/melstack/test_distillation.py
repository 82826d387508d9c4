"""Tests of distillation: the file says what the tables say, the AUCs are those of the tables, wrong input is named."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from level1_cnn.data.run_pictures import shard_files
from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.predict import predict_batches
from level1_cnn.training.linear_head import fit_head
from melstack.distillation import ALL_VIEWS, COMPARISON, FILE, NETWORK, ONE_VIEW, STACK, TABLE, distil_stack
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.tiny_project import FinishedRun


@pytest.fixture(scope="module")
def run(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a copy of the finished run."""
    source = finished_run.run.folder
    copy = tmp_path_factory.mktemp("distillation") / "runs"
    shutil.copytree(source.parent, copy)
    return Run(copy / source.name)


@pytest.fixture(scope="module")
def recipe(run: Run) -> str:
    return next(path.parent.name for path in run.level2.glob("*/run.json"))


@pytest.fixture(scope="module")
def folder(run: Run, recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    distil_stack(run, recipe, "", out)
    return out


def probability_of_file(run: Run, file: Path) -> pd.Series:
    """Return what the ONNX file says of the train pictures of the run."""
    session = onnxruntime.InferenceSession(read_onnx(file))

    def forward(pixels: np.ndarray, metadata: np.ndarray | None) -> list[np.ndarray]:
        """Return the only output, (n, 1)."""
        return list(session.run(["probability"], {session.get_inputs()[0].name: pixels.astype(np.float32)}))

    names, values = [], []
    train = list(run.read_cases().query("role == 'train'").index)
    batches = predict_batches(forward, shard_files(run, 32), ("identity",), 16, lambda count: None, train)
    for batch, (probability,) in batches:
        names += batch
        values.append(probability[:, 0, 0])
    return pd.Series(np.concatenate(values), names)


def test_the_file_is_the_network_with_a_head_that_is_fitted_to_the_stack(run: Run, recipe: str, folder: Path) -> None:
    by_file, model = probability_of_file(run, folder / FILE), run.level1 / "frozen"
    views = pd.Series(list(np.load(model / "views.npy").astype(np.float32)), read_json(model / "views.json"))
    views = np.stack(views[by_file.index])  # (n, views, d)
    stack = read_table(run.level2 / recipe / "predictions.parquet")["probability"].loc[by_file.index]
    folds = run.read_cases().loc[by_file.index, "fold"]
    head = fit_head(views.mean(axis=1), stack.to_numpy(), "auto", folds.to_numpy(int))
    expected = expit(views[:, 0] @ head.weights + head.intercept)
    np.testing.assert_allclose(by_file, expected, atol=2e-3)
    assert by_file.mean() == pytest.approx(stack.mean(), abs=0.02)


def test_the_comparison_has_the_aucs_of_the_tables(run: Run, recipe: str, folder: Path) -> None:
    scores, table = read_table(folder / TABLE), pd.read_csv(folder / COMPARISON)
    target = run.read_cases().loc[scores.index, "target"]
    auc = {name: roc_auc_score(target, scores[name]) for name in (ONE_VIEW, ALL_VIEWS)}
    auc[STACK] = roc_auc_score(target, read_table(run.level2 / recipe / "learners.parquet")["blend"].loc[scores.index])
    network = read_table(run.level1 / "frozen" / "predictions.parquet")["probability"]
    auc[NETWORK] = roc_auc_score(target, network.loc[scores.index])
    for row in table.itertuples():
        assert (row.auc, row.auc_against) == pytest.approx((auc[row.model], auc[row.against]))
        assert row.low <= row.gain <= row.high


def test_a_fold_learns_nothing_from_what_the_stack_says_of_it(run: Run, recipe: str, tmp_path: Path) -> None:
    copy = Run(Path(shutil.copytree(run.folder.parent, tmp_path / "runs")) / run.folder.name)
    path = copy.level2 / recipe / "inner.parquet"
    inner, folds = read_table(path), copy.read_cases().query("role == 'train'")["fold"]
    assert all(inner.loc[folds == fold, f"fold_{fold}"].isna().all() for fold in folds.unique())
    inner.assign(fold_0=1 - inner["fold_0"]).to_parquet(path)
    distil_stack(copy, recipe, "frozen", tmp_path / "changed")
    distil_stack(run, recipe, "frozen", tmp_path / "same")
    difference = (read_table(tmp_path / "changed" / TABLE) - read_table(tmp_path / "same" / TABLE)).abs().max(axis=1)
    assert (difference[folds[difference.index] == 0] > 0).all()
    assert (difference[folds[difference.index] != 0] == 0).all()


def test_only_a_frozen_network_of_the_run_can_learn(run: Run, recipe: str, tmp_path: Path) -> None:
    for name in ("tuned", "frosen"):
        with pytest.raises(InputFault, match=f"'{name}' is not a finished network with method = 'frozen'.*frozen"):
            distil_stack(run, recipe, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stack_of_an_earlier_version_is_made_again(run: Run, recipe: str, tmp_path: Path) -> None:
    copy = Run(Path(shutil.copytree(run.folder.parent, tmp_path / "runs")) / run.folder.name)
    (copy.level2 / recipe / "inner.parquet").unlink()
    with pytest.raises(InputFault, match=r"earlier version; `.*stack` makes it again"):
        distil_stack(copy, recipe, "frozen", tmp_path / "out")
