"""Tests for frozen.py: whom a head may see, and that embeddings are computed once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.data.shards import decode_pictures
from level1_cnn.experiment import FrozenFeatures
from level1_cnn.hardware.devices import Plan
from level1_cnn.job import Job
from level1_cnn.training.frozen import FrozenTrainer, shared_embeddings
from runtime.files import write_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import draw_data, tiny_experiment

VIEWS = ("identity", "mirror", "zoom:1.2")
CPU = Plan("CPU", False, "float32", True, 32)
SETTINGS = FrozenFeatures(method="frozen", regularisation=0.1)
TINY = tiny_experiment(SETTINGS, views=VIEWS)


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Job, pd.DataFrame]:
    """A model whose embeddings are there already: the first number of a case tells its target."""
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
    known = np.where(np.array(roles) == "test", np.nan, target)
    index = pd.Index(names, name="image_name")
    return job, pd.DataFrame({"role": roles, "fold": folds, "target": known}, index=index)


def test_a_head_learns_from_the_shown_cases_and_says_one_logit_per_view(
    drawn: tuple[Job, pd.DataFrame], tmp_path: Path
) -> None:
    job, cases = drawn
    asked = ["c35", "c30", "c7"]
    predicted = FrozenTrainer(job, SETTINGS, CPU, cases).fit_cases(tmp_path, list(cases.index[10:30]), asked)
    assert predicted.names == asked
    assert predicted.views == VIEWS
    assert predicted.logits.shape == (3, len(VIEWS))
    assert (np.sign(predicted.logits.mean(axis=1)) == [1, -1, 1]).all()
    with np.load(tmp_path / "head.npz") as head:
        assert head["weights"].shape == (5,)


def test_a_case_that_is_not_shown_changes_nothing(drawn: tuple[Job, pd.DataFrame], tmp_path: Path) -> None:
    job, cases = drawn
    shown = list(cases.index[10:30])
    other = cases.copy()
    other.loc[other.index[:10], "target"] = 1 - other["target"][:10]
    first, second = (
        FrozenTrainer(job, SETTINGS, CPU, table).fit_cases(tmp_path, shown, ["c1"]).logits for table in (cases, other)
    )
    np.testing.assert_array_equal(first, second)


def test_a_case_without_embeddings_is_an_error(drawn: tuple[Job, pd.DataFrame], tmp_path: Path) -> None:
    job, cases = drawn
    with pytest.raises(ValueError, match=r"1 case\(s\) have no embeddings"):
        FrozenTrainer(job, SETTINGS, CPU, cases).fit_cases(tmp_path, list(cases.index[:9]), ["stranger"])


def test_the_shared_embeddings_are_the_mean_over_the_views(drawn: tuple[Job, pd.DataFrame], tmp_path: Path) -> None:
    job, _ = drawn
    names, means = shared_embeddings(job) or ([], np.empty(0))
    assert names[0] == "c39"
    np.testing.assert_allclose(means, np.load(job.folder / "views.npy").astype(np.float32).mean(axis=1), atol=1e-5)
    assert shared_embeddings(replace(job, name="finetuned")) is None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, pd.DataFrame]:
    """A run with shards of 32 pictures of 8 patients; c000 and c006, of two patients, show the same picture."""
    folder = tmp_path_factory.mktemp("frozen")
    pictures = draw_data(folder / "data", patients=8) / "jpeg" / "train"
    shutil.copy(pictures / "c000.jpg", pictures / "c006.jpg")
    run = Run(folder / "run")
    freeze_cases(run, Request(folder / "data", folds=3))
    cases = run.read_cases()
    decode_pictures(run, cases, [32])
    return Job(run, "tiny", TINY, "{}"), cases


def test_every_case_is_embedded_in_every_view_once_and_an_interrupted_attempt_leaves_nothing_to_trip_over(
    prepared: tuple[Job, pd.DataFrame],
) -> None:
    job, cases = prepared
    trainer = FrozenTrainer(job, SETTINGS, CPU, cases)
    trainer.prepare()
    names, means = shared_embeddings(job) or ([], np.empty(0))
    assert sorted(names) == sorted(cases.index)
    assert np.load(job.folder / "views.npy").shape == (len(cases), len(VIEWS), 32)
    written = (job.folder / "views.npy").stat().st_mtime_ns
    trainer.prepare()
    assert (job.folder / "views.npy").stat().st_mtime_ns == written
    assert np.isfinite(means).all()


@pytest.mark.parametrize("own", ["c000", "c006"])
def test_a_fold_shows_none_of_its_own_cases_nor_one_that_looks_the_same(
    prepared: tuple[Job, pd.DataFrame], tmp_path: Path, own: str
) -> None:
    job, cases = prepared
    # As official folds may have it: the two show the same, and our own folds would not part them.
    assert cases.loc["c000", "fold"] == cases.loc["c006", "fold"]
    cases = cases.assign(fold=cases["fold"].where(cases.index != "c006", 1 - cases.loc["c000", "fold"]))
    seen: list[set[str]] = []

    class Watched(FrozenTrainer):
        def fit_cases(self, folder, shown, asked):
            seen.append(set(shown))
            return super().fit_cases(folder, shown, asked)

    fold = cases.loc[own, "fold"]
    trainer = Watched(job, SETTINGS, CPU, cases)
    predicted = trainer.fit_fold(fold, tmp_path)
    held_out = set(cases.index[cases["fold"] == fold])
    assert predicted is not None
    assert set(predicted.names) == held_out | set(cases.index[cases["role"] == "test"])
    assert seen[0] == set(cases.index[cases["role"] == "train"]) - held_out - {"c000", "c006"}
    assert trainer.facts() == {"pictures": len(seen[0])}
