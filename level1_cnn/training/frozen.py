"""The frozen method: embeddings of every view computed once for all folds, then a regularised head per fold."""

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.experiment import FrozenFeatures
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.forward import EXPORTED, final_forward
from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import ViewPredictions
from level1_cnn.job import Job
from level1_cnn.networks.network import build_backbone
from runtime.files import read_json, replacing, reserve_disk, write_json
from runtime.progress import progress_bar
from runtime.provenance import is_fresh, write_mark

ARRAY, INDEX, MARK = "views.npy", "views.json", "embedded.json"


class FrozenTrainer:
    """Fit one linear head per fold on embeddings that all folds share."""

    def __init__(self, job: Job, settings: FrozenFeatures, plan: Plan, cases: pd.DataFrame) -> None:
        self._job, self._settings, self._plan, self._cases = job, settings, plan, cases
        self._lookalikes = Lookalikes(job.run, cases)
        self._shown = 0

    def prepare(self) -> None:
        """Compute the embeddings of every case, unless an earlier attempt at this model has."""
        if _read_views(self._job) is not None or not self._plan.is_chief:
            return
        used = (self._cases["role"] != "extra") | self._external
        folder = self._job.folder
        names = _embed(self._job, self._plan, list(self._cases.index[used]))
        write_json(folder / INDEX, names)
        written = [path for name in (ARRAY, INDEX, EXPORTED) if (path := folder / name).is_file()]
        write_mark(folder / MARK, self._job.made_from, written)

    @property
    def _external(self) -> pd.Series:
        """The external cases that the head is shown."""
        return (self._cases["role"] == "extra") & (self._settings.external == "joint")

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions | None:
        """Fit the head without the fold's cases, store it in ``folder``, and predict the fold and the test cases.

        Shown are the training cases of the other folds and the external cases, without those that look the same as a
        case of the fold.
        """
        if not self._plan.is_chief:
            return None
        train = self._cases["role"] == "train"
        held_out = train & (self._cases["fold"] == fold)
        twins = self._cases.index.isin(list(self._lookalikes.of_fold(fold)))
        shown = self._cases.index[(train | self._external) & ~held_out & ~twins]
        asked = self._cases.index[held_out | (self._cases["role"] == "test")]
        return self.fit_cases(folder, list(shown), list(asked))

    def fit_cases(self, folder: Path, shown: Collection[str], asked: Collection[str]) -> ViewPredictions:
        """Fit the head on the views of the ``shown`` cases, store it in ``folder``, and predict the ``asked`` cases."""
        self._shown = len(shown)
        target = self._cases.loc[list(shown), "target"].to_numpy(dtype=int)
        weights, intercept = fit_head(self._views_of(shown), target, self._settings)
        with replacing(folder / "head.npz") as temporary:
            np.savez(temporary, weights=weights, intercept=intercept)
        logits = self._views_of(asked).astype(np.float32) @ weights + intercept
        return ViewPredictions(list(asked), logits, None, self._job.experiment.views)

    def facts(self) -> dict[str, Any]:
        """Return what the last fold's mark should remember."""
        return {"pictures": self._shown}

    def _views_of(self, names: Collection[str]) -> np.ndarray:
        """Return the float16 embeddings (n, views, d) of some cases."""
        index, views = self._embedded
        # Read by file position, and put in order afterwards: a large array is read once from front to back.
        places = index.get_indexer(pd.Index(list(names)))
        if (places < 0).any():
            raise ValueError(f"{int((places < 0).sum())} case(s) have no embeddings")
        order = np.argsort(places)
        found = np.empty((len(places), *views.shape[1:]), views.dtype)
        found[order] = views[places[order]]
        return found

    @cached_property
    def _embedded(self) -> tuple[pd.Index, np.ndarray]:
        self.prepare()
        names, views = _present(_read_views(self._job))
        return pd.Index(names), views


def shared_embeddings(job: Job) -> tuple[list[str], np.ndarray] | None:
    """Return image_names and embeddings (n, d), the mean over the views, of a frozen model; None for any other."""
    read = _read_views(job)
    return None if read is None else (read[0], read[1].mean(axis=1, dtype=np.float32))


def fit_head(views: np.ndarray, target: np.ndarray, settings: FrozenFeatures) -> tuple[np.ndarray, np.float32]:
    """Return weights (d,) and intercept, on the raw embeddings, of a logistic regression on standardised ones.

    Every view (n, views, d) is a training row: on real pictures that gave 0.006 to 0.012 more AUC than their mean.
    """
    rows = views.astype(np.float32).reshape(-1, views.shape[-1])
    scaler = StandardScaler(copy=False)
    rows = scaler.fit_transform(rows)
    model = LogisticRegression(C=settings.regularisation, max_iter=1000)
    model.fit(rows, np.repeat(target, views.shape[1]))
    weights = model.coef_[0] / scaler.scale_
    return weights.astype(np.float32), np.float32(model.intercept_[0] - weights @ scaler.mean_)


def _read_views(job: Job) -> tuple[list[str], np.ndarray] | None:
    """Return image_names and float16 embeddings (n, views, d), read from the disk as needed; None before they exist."""
    folder = job.folder
    if not is_fresh(folder / MARK, job.made_from, [folder / ARRAY, folder / INDEX], hash_all=True):
        return None
    return read_json(folder / INDEX), np.load(folder / ARRAY, mmap_mode="r")


def _present(read: tuple[list[str], np.ndarray] | None) -> tuple[list[str], np.ndarray]:
    if read is None:
        raise ValueError("the host that writes has not computed the embeddings")
    return read


def _embed(job: Job, plan: Plan, names: list[str]) -> list[str]:
    """Write the embeddings of the cases ``names`` and return these in the order they were written."""
    experiment, array = job.experiment, job.folder / ARRAY
    views, done = experiment.views, list[str]()
    model = build_backbone(job.network)
    files = shard_files(job.run, experiment.image_size)
    forward = final_forward(model, array.parent, plan)
    text = f"{job.name}: embedding {len(views)} view(s)"
    with replacing(array) as temporary, progress_bar(text, len(names)) as advance:
        shape = (len(names), len(views), model.output.shape[-1])
        table = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        reserve_disk(temporary)
        for batch, (features,) in predict_batches(forward, files, views, plan.batch_size, advance, names):
            table[len(done) : len(done) + len(batch)] = features
            done += batch
        table.flush()
    return done
