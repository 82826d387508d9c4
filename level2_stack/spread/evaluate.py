"""Cross-validate the boosters over a stored table: Dask spreads every fit over workers, which read the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.crossval.cluster import open_table_cluster
from level2_stack.evaluation.auc import delong_interval
from level2_stack.learner_contract import DistributedLearner, Predict
from level2_stack.recipe import Recipe
from level2_stack.spread.table import NUMBERS, TEXT, StoredTable, digests, numeric_column, read_rows
from runtime.cluster.scheduler import Cluster  # says what to install where Dask is not
from runtime.errors import Faults
from runtime.files import replacing
from runtime.plural import number_of
from runtime.progress import say
from runtime.provenance import digest_of_code, is_fresh, write_mark
from runtime.settings import Settings

if TYPE_CHECKING:
    from distributed import Client

Floats = NDArray[np.float64]
SEED = 0
MOST_TEXTS = 1000  # different texts in a column: a column with more holds names, not categories
CODE = ("spread/evaluate.py", "spread/table.py", "learner_contract.py", "learners/lgbm.py", "learners/xgb.py")


@dataclass(frozen=True)
class FeatureColumns:
    """The features of a table in order: name -> None for a number, the sorted categories of all files for text."""

    features: Mapping[str, tuple[str, ...] | None]

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """Return the features of ``rows`` as a DataFrame."""
        return pd.DataFrame({name: _column(rows, name, categories) for name, categories in self.features.items()})

    def empty_frame(self) -> pd.DataFrame:
        """Return a DataFrame with the features as columns and no rows."""
        types = {name: pa.float64() if texts is None else pa.string() for name, texts in self.features.items()}
        return self.frame(pa.table({name: pa.array([], kind) for name, kind in types.items()}))


@dataclass(frozen=True)
class Spread:
    """The job of ``make_spread``: a ``table``, the parameters of each learner, and the folder for the scores."""

    table: StoredTable
    learners: Mapping[str, Settings]
    out: Path

    def made_from(self) -> dict[str, Any]:
        """Return what the scores depend on: the table, the parameters of the learners and the code."""
        here = Path(__file__).parents[1]
        return {
            "table": digests(self.table.files),
            "learners": {name: params.model_dump() for name, params in self.learners.items()},
            "code": digest_of_code(here / name for name in CODE),
        }

    def scores(self, name: str) -> Path:
        """Return the folder of a learner's scores; the prefix tells a stack that they are not its own learner's."""
        return self.out / "predictions" / f"spread_{name}"

    def outputs(self) -> list[Path]:
        """Return the paths of all files of scores."""
        files = ["oof.csv", "test.csv"] if self.table.labels["target"].isna().any() else ["oof.csv"]
        return [self.scores(name) / file for name in self.learners for file in files]


def spread_learners(recipe: Recipe, where: str) -> dict[str, Settings]:
    """Return the parameters of the recipe's learners that can spread a fit over several machines.

    Raises InputFault if there is no such learner, and for settings that spread fits do not support.
    """
    names = [name for name in recipe.learners if isinstance(learners.find(name), DistributedLearner)]
    faults = Faults()
    if not names:
        faults.add(f"learners = {recipe.learners}: none of them can spread a fit over workers; use lgbm or xgb")
    if recipe.negatives_per_positive is not None:
        faults.add(f"negatives_per_positive = {recipe.negatives_per_positive} has no effect: spread fits use all rows")
    if recipe.tuning.trials:
        faults.add(f"tuning.trials = {recipe.tuning.trials} has no effect: spread fits are not tuned")
    for name in names:
        if (threads := getattr(recipe.parameters(name), "num_threads", 1)) > 1:
            faults.add(f"[{name}] num_threads = {threads} has no effect: each worker has one thread")
    faults.raise_if_any(where)
    return {name: recipe.parameters(name) for name in names}


def make_spread(spread: Spread, address: str) -> None:
    """Write ``predictions/spread_<learner>/oof.csv`` and ``test.csv`` of every learner, and print their AUCs.

    ``address`` is the address of a Dask scheduler whose workers can read the table's files. Every fit is stored in
    ``models`` as soon as it is finished; an interrupted command continues from there. This process reads no feature
    values. Raises InputFault when the cluster is lost and for a text column with too many different texts.
    """
    with open_table_cluster(address, spread.table.folder) as cluster:
        schema = _feature_columns(spread.table, cluster)
        for name in spread.learners:
            _evaluate(name, spread, schema, cluster)


def features_without(url: str, schema: FeatureColumns, fold: int) -> pd.DataFrame:
    """Return the features of the train rows of a file outside ``fold``; runs on a worker."""
    rows = read_rows(url, [*schema.features, *NUMBERS])
    return schema.frame(rows.filter(pa.array(_outside(rows, fold))))


def targets_without(url: str, fold: int) -> pd.Series:
    """Return the targets of the train rows of a file outside ``fold``; runs on a worker."""
    rows = read_rows(url, NUMBERS)
    return pd.Series(numeric_column(rows, "target")[_outside(rows, fold)], name="target")


def predict_file(url: str, schema: FeatureColumns, fold: int, model: Predict) -> tuple[Floats, Floats]:
    """Return the probabilities of ``model`` for a file's train rows of ``fold`` and its test rows, in file order."""
    rows = read_rows(url, [*schema.features, *NUMBERS])
    frame, target = schema.frame(rows), numeric_column(rows, "target")
    masks = (~np.isnan(target) & (numeric_column(rows, "fold") == fold), np.isnan(target))
    held_out, test = (model(frame[mask]) if mask.any() else np.zeros(0) for mask in masks)
    return held_out, test


def texts_in(url: str, columns: Sequence[str]) -> dict[str, set[str]]:
    """Return the distinct texts in each of the ``columns`` of a file; runs on a worker."""
    rows = read_rows(url, columns)
    return {name: set(pc.unique(rows[name].cast(pa.string())).drop_null().to_pylist()) for name in columns}


def _outside(rows: pa.Table, fold: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = ~np.isnan(numeric_column(rows, "target")) & (numeric_column(rows, "fold") != fold)
    return mask


def _column(rows: pa.Table, name: str, categories: Sequence[str] | None) -> Floats | pd.Categorical:
    if categories is None:
        return numeric_column(rows, name)
    return pd.Categorical(rows[name].cast(pa.string()).to_numpy(), categories=list(categories))


def _feature_columns(table: StoredTable, cluster: Cluster) -> FeatureColumns:
    """Return the features with the categories of text columns, which the workers collect from all files."""
    text_columns = [name for name, kind in table.kinds.items() if kind == TEXT]
    texts: dict[str, set[str]] = {name: set() for name in text_columns}
    for of_file in cluster.results([(texts_in, (url, text_columns)) for url in table.files if text_columns]):
        for name in text_columns:
            texts[name] |= of_file[name]
    faults = Faults()
    for name, values in texts.items():
        if not 0 < len(values) <= MOST_TEXTS:
            faults.add(f"column {name!r} has {len(values)} different texts; a category must have 1 to {MOST_TEXTS}")
    faults.raise_if_any(table.folder)
    return FeatureColumns({name: tuple(sorted(texts[name])) if name in texts else None for name in table.kinds})


def _evaluate(name: str, spread: Spread, schema: FeatureColumns, cluster: Cluster) -> None:
    """Fit one learner without each fold in turn, predict that fold and the test rows, write and print the result."""
    labels, table = spread.table.labels, spread.table
    train = labels["target"].notna().to_numpy()
    score = np.zeros(len(labels))
    for fold in table.folds:
        model = cluster.share(_fit(name, fold, spread, schema, cluster))
        tasks = [(predict_file, (url, schema, fold, model)) for url in table.files]
        by_file = list(cluster.results(tasks, keep_order=True))
        score[train & (labels["fold"] == fold).to_numpy()] = np.concatenate([held_out for held_out, _ in by_file])
        score[~train] += np.concatenate([test for _, test in by_file]) / len(table.folds)
    _write(name, spread, score)
    auc, low, high = delong_interval(labels.loc[train, "target"].to_numpy(), score[train])
    say(f"spread: {name}: AUC {auc:.4f} out of fold (95 % by DeLong {low:.4f} to {high:.4f}), {train.sum():,} rows")


def _fit(name: str, fold: int, spread: Spread, schema: FeatureColumns, cluster: Cluster) -> Predict:
    """Return the learner fitted to all rows outside ``fold``: read from an earlier attempt, or fitted now."""
    import dask.dataframe as dd

    params, learner = spread.learners[name], learners.find(name)
    folder = spread.out / "models" / name / f"fold_{fold}"
    made_from = spread.made_from() | {"learners": {name: params.model_dump()}, "fold": fold}
    if is_fresh(folder / "fit.json", made_from):
        say(f"spread: {name}: fit without fold {fold} already finished, {folder}")
        return learner.load(folder)
    files = spread.table.files_without(fold)
    say(f"spread: {name}: fitting without fold {fold}, rows of {number_of(len(files), 'file')}")
    X = dd.from_map(features_without, files, schema=schema, fold=fold, meta=schema.empty_frame())
    y = dd.from_map(targets_without, files, fold=fold, meta=pd.Series([], name="target", dtype=np.float64))

    def fit(client: "Client") -> Predict:
        """Load the rows into the workers and fit."""
        collections = cluster.load([X, y])
        return cast(DistributedLearner, learner).fit_dask(params, *collections, seed=SEED, client=client)

    predict = cluster.run_fit(fit)
    learner.save(predict, folder)
    write_mark(folder / "fit.json", made_from, [path for path in folder.iterdir() if path.name != "fit.json"])
    return predict


def _write(name: str, spread: Spread, score: Floats) -> None:
    """Write the scores as oof.csv and test.csv, which a stack imports as a foreign network's predictions."""
    rows_with_score = spread.table.labels[["image_name", "fold"]].assign(pred=score)
    train = spread.table.labels["target"].notna()
    tables = {
        "oof": rows_with_score[train].astype({"fold": "int8"}),
        "test": rows_with_score[~train].drop(columns="fold"),
    }
    for file, rows in ((file, rows) for file, rows in tables.items() if len(rows)):
        with replacing(spread.scores(name) / f"{file}.csv") as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
