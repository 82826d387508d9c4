"""The frozen method: compute the embeddings of every view once for all folds, then fit a regularised head per fold."""

from collections.abc import Collection
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.feed import picture_batches
from level1_cnn.data.lookalikes import Lookalikes
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.experiment import Experiment
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.forward import ONNX_FILE, open_backbone
from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import ViewPredictions
from level1_cnn.job import EMBEDDINGS_MARK, Job
from level1_cnn.training.linear_head import LinearHead, fit_head
from level1_cnn.training_settings import FrozenFeatures, Layers
from runtime.errors import InputFault
from runtime.files import read_json, replacing, reserve_disk, write_json
from runtime.plural import number_of
from runtime.progress import progress_bar
from runtime.provenance import is_fresh, write_mark

CALIBRATION = 64  # pictures; ranges need few
ARRAY, INDEX = "views.npy", "views.json"
FLOAT16 = np.finfo(np.float16)
LARGEST = float(FLOAT16.max)  # of a feature


class FrozenTrainer:
    """Fit one linear head per fold; all folds share the embeddings."""

    def __init__(self, job: Job, settings: FrozenFeatures, plan: Plan, cases: pd.DataFrame) -> None:
        self._job, self._settings, self._plan, self._cases = job, settings, plan, cases
        self._lookalikes = Lookalikes(job.run, cases)
        self._facts = dict[str, Any]()  # of the head that was fitted last

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._job.name

    @property
    def experiment(self) -> Experiment:
        """The settings of the model."""
        return self._job.experiment

    def prepare(self) -> None:
        """Compute the embeddings of every case, unless they exist."""
        if read_views(self._job) is not None or not self._plan.is_chief:
            return
        needs_embedding = (self._cases["role"] != "extra") | self._external
        folder = self._job.folder
        names = _embed(self._job, self._plan, list(self._cases.index[needs_embedding]))
        write_json(folder / INDEX, names)
        outputs = [path for name in (ARRAY, INDEX, ONNX_FILE) if (path := folder / name).is_file()]
        write_mark(folder / EMBEDDINGS_MARK, self._job.made_from, outputs)

    @property
    def _external(self) -> pd.Series:
        """A mask of the external cases that the head is fitted to."""
        return (self._cases["role"] == "extra") & (self._settings.external == "joint")

    def fit_fold(self, fold: int, folder: Path) -> ViewPredictions | None:
        """Fit the head without the fold's cases, write it to ``folder``, and predict the fold and the test cases.

        The head is fitted to the training cases of the other folds and the external cases, without those of the fold's
        patients, and without copies and near-duplicates of the fold's cases.
        """
        if not self._plan.is_chief:
            return None
        roles = self._cases["role"]
        evaluation = self._cases.index[(roles == "train") & (self._cases["fold"] == fold) | (roles == "test")]
        return self.fit_cases(folder, self.cases_without(fold), list(evaluation))

    def cases_without(self, *folds: int) -> list[str]:
        """Return the cases that a head may be fitted to when it is tested on the cases of ``folds``."""
        may_train = (self._cases["role"] == "train") | self._external
        in_folds = self._cases["fold"].isin(folds)  # with the external cases of their patients
        copies = self._lookalikes.of_folds(folds)
        return list(self._cases.index[may_train & ~in_folds & ~self._cases.index.isin(list(copies))])

    def fit_cases(self, folder: Path, training: Collection[str], evaluation: Collection[str]) -> ViewPredictions:
        """Fit the head to the ``training`` cases, write it to ``folder``, and predict the ``evaluation`` cases.

        Raises ValueError for cases without embeddings.
        """
        head = self.fit_targets(self._cases.loc[list(training), "target"])
        with replacing(folder / "head.npz") as temporary:
            np.savez(temporary, weights=head.weights, intercept=head.intercept)
        self._facts = {"pictures": len(training), "regularisation": head.regularisation}
        return self.predict(head, evaluation)

    def fit_targets(self, target: pd.Series) -> LinearHead:
        """Return the head that is fitted to ``target``, 0 to 1, indexed by the cases to fit it to."""
        rows = training_rows(self._views_of(target.index), self._settings.layers)
        folds = self._cases.loc[target.index, "fold"].to_numpy(dtype=int)
        per_case = len(rows) // len(target)
        y = target.to_numpy(dtype=np.float64)
        return fit_head(rows, np.repeat(y, per_case), self._settings.regularisation, np.repeat(folds, per_case))

    def predict(self, head: LinearHead, evaluation: Collection[str]) -> ViewPredictions:
        """Return the predictions of ``head`` for the ``evaluation`` cases, in every view."""
        logits = self._views_of(evaluation).astype(np.float32) @ head.weights + head.intercept
        return ViewPredictions(list(evaluation), logits, None, self._job.experiment.views)

    def facts(self) -> dict[str, Any]:
        """Return, for the mark of the fold that was trained last, its training pictures and its regularisation."""
        return self._facts

    def _views_of(self, names: Collection[str]) -> np.ndarray:
        """Return the float16 embeddings (n, views, d) of the cases ``names``, in this order."""
        index, views = self._embeddings
        # The rows are read in the order of the file, so that a large array is read once from front to back.
        rows = index.get_indexer(pd.Index(list(names)))
        if (rows < 0).any():
            raise ValueError(f"{int((rows < 0).sum())} case(s) have no embeddings")
        order = np.argsort(rows)
        embeddings = np.empty((len(rows), *views.shape[1:]), views.dtype)
        embeddings[order] = views[rows[order]]
        return embeddings

    @cached_property
    def _embeddings(self) -> tuple[pd.Index, np.ndarray]:
        self.prepare()
        content = read_views(self._job)
        if content is None:
            raise ValueError("the embeddings are missing: only the chief host computes them")
        names, views = content
        return pd.Index(names), views


def shared_embeddings(job: Job) -> tuple[list[str], np.ndarray] | None:
    """Return image_names and embeddings (n, d), the mean over the views, of a frozen model; None without embeddings."""
    content = read_views(job)
    return None if content is None else (content[0], content[1].mean(axis=1, dtype=np.float32))


def calibration_pictures(job: Job) -> np.ndarray:
    """Return training pictures of the run, uint8 (n, side, side, 3): as many as enough, evenly over the case table."""
    cases = job.run.read_cases()
    names = cases.index[(cases["role"] == "train") & cases["picture"].notna()]
    selection = names[np.unique(np.linspace(0, len(names) - 1, CALIBRATION).astype(int))]
    files = shard_files(job.run, job.experiment.image_size)
    return np.concatenate([pictures for _, pictures in picture_batches(files, CALIBRATION, list(selection))])


def training_rows(views: np.ndarray, layers: Layers) -> np.ndarray:
    """Return the float32 rows (m, d) that a head is fitted to, from float16 embeddings ``views`` (n, views, d).

    With the last layer, every view is a row: on real pictures that gave 0.003 to 0.012 more AUC than their mean. With
    all layers it gave 0.001 for eight times the work, so the mean over the views is the row.
    """
    if layers == "all":
        return np.asarray(views.mean(axis=1, dtype=np.float32))
    return views.astype(np.float32).reshape(-1, views.shape[-1])


def read_views(job: Job) -> tuple[list[str], np.ndarray] | None:
    """Return image_names and a memory map of float16 embeddings (n, views, d); None if they do not exist yet."""
    folder = job.folder
    if not is_fresh(folder / EMBEDDINGS_MARK, job.made_from, [folder / ARRAY, folder / INDEX], hash_all=True):
        return None
    return read_json(folder / INDEX), np.load(folder / ARRAY, mmap_mode="r")


def _embed(job: Job, plan: Plan, names: list[str]) -> list[str]:
    """Write the embeddings of the cases ``names``; return the names in the order of the rows of the array."""
    experiment, array = job.experiment, job.folder / ARRAY
    views, order = experiment.views, list[str]()
    files = shard_files(job.run, experiment.image_size)
    backbone = open_backbone(job.network, array.parent, plan, partial(calibration_pictures, job))
    text = f"{job.name}: embedding {number_of(len(views), 'view')}"
    with replacing(array) as temporary, progress_bar(text, len(names)) as advance:
        shape = (len(names), len(views), backbone.features)
        table = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        reserve_disk(temporary)
        lowest, highest = (np.full(backbone.features, sign * np.inf, np.float32) for sign in (1, -1))
        for batch, (features,) in predict_batches(backbone.forward, files, views, plan.batch_size, advance, names):
            check_size(features, job.name)
            table[len(order) : len(order) + len(batch)] = features
            order += batch
            first = features[:, 0]  # of the views: the same one for all pictures
            lowest, highest = np.minimum(lowest, first.min(axis=0)), np.maximum(highest, first.max(axis=0))
        check_spread(lowest, highest, job.name)
        table.flush()
    return order


def check_size(features: np.ndarray, name: str) -> None:
    """Raise InputFault unless all ``features`` are finite, and small enough for float16."""
    if not np.isfinite(features).all():
        raise InputFault(f"{name}: the network gives numbers that are not finite for some pictures; use another one")
    largest = float(np.abs(features).max(initial=0))
    if largest > LARGEST:
        raise InputFault(
            f"{name}: the network gives numbers up to {largest:.3g}, and features are kept as float16, up to "
            f"{LARGEST:,.0f}; scale its output, or name another one"
        )


def check_spread(lowest: np.ndarray, highest: np.ndarray, name: str) -> None:
    """Raise InputFault if no feature differs between pictures; ``lowest`` and ``highest`` (d,) are over all of them."""
    spread, largest = float((highest - lowest).max(initial=0)), float(np.abs([lowest, highest]).max(initial=0))
    if spread > max(FLOAT16.tiny, FLOAT16.eps * largest):
        return
    raise InputFault(
        f"{name}: the network says nearly the same of all pictures (its features differ by {spread:.3g} at most, too "
        "little for float16); scale its output, or name another one"
    )
