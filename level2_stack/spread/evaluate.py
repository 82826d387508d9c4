"""The boosters over a stored table: every fit spread by Dask over workers that read the files, scored out of fold."""

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
from level2_stack.spread.table import NUMBERS, TEXT, StoredTable, digests, numbers_of, read_rows
from runtime.cluster.scheduler import Cluster  # says what to install where Dask is not
from runtime.errors import Faults
from runtime.files import replacing
from runtime.progress import say
from runtime.provenance import digest_of_code, is_fresh, write_mark
from runtime.settings import Settings

if TYPE_CHECKING:
    from distributed import Client

Floats = NDArray[np.float64]
SEED = 0
MOST_TEXTS = 1000  # different ones in a column: more are names, not categories
CODE = ("spread/evaluate.py", "spread/table.py", "learner_contract.py", "learners/lgbm.py", "learners/xgb.py")


@dataclass(frozen=True)
class Shape:
    """The features of a table in their order: None for a number, for text its categories over all files, sorted."""

    features: Mapping[str, tuple[str, ...] | None]

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """Return the features of ``rows``."""
        return pd.DataFrame({name: _column(rows, name, known) for name, known in self.features.items()})

    def seen(self) -> pd.DataFrame:
        """Return the columns without rows."""
        kinds = {name: pa.float64() if known is None else pa.string() for name, known in self.features.items()}
        return self.frame(pa.table({name: pa.array([], kind) for name, kind in kinds.items()}))


@dataclass(frozen=True)
class Spread:
    """What is evaluated: a ``table`` with a learner's ``params`` each, and the folder that gets its scores."""

    table: StoredTable
    learners: Mapping[str, Settings]
    out: Path

    def made_from(self) -> dict[str, Any]:
        """Return what the scores are made from."""
        here = Path(__file__).parents[1]
        return {
            "table": digests(self.table.files),
            "learners": {name: params.model_dump() for name, params in self.learners.items()},
            "code": digest_of_code(here / name for name in CODE),
        }

    def scores(self, name: str) -> Path:
        """Return the folder of a learner's scores; a network of a learner's own name would be refused in a stack."""
        return self.out / "predictions" / f"spread_{name}"

    def outputs(self) -> list[Path]:
        """Return the files that it makes."""
        files = ["oof.csv", "test.csv"] if self.table.labels["target"].isna().any() else ["oof.csv"]
        return [self.scores(name) / file for name in self.learners for file in files]


def spread_learners(recipe: Recipe, where: str) -> dict[str, Settings]:
    """Return the parameters of those of the recipe's learners that can spread a fit.

    Raises InputFault where there is none, and for settings that would make other fits than these.
    """
    able = [name for name in recipe.learners if isinstance(learners.find(name), DistributedLearner)]
    faults = Faults()
    if not able:
        faults.add(f"learners = {recipe.learners}: none of them can spread a fit; lgbm and xgb can")
    if recipe.negatives_per_positive is not None:
        faults.add(f"negatives_per_positive = {recipe.negatives_per_positive} has no effect: all rows are learned from")
    if recipe.tuning.trials:
        faults.add(f"tuning.trials = {recipe.tuning.trials} has no effect: the parameters are the recipe's")
    for name in able:
        if (threads := getattr(recipe.parameters(name), "num_threads", 1)) > 1:
            faults.add(f"[{name}] num_threads = {threads} has no effect: each worker has one thread")
    faults.raise_if_any(where)
    return {name: recipe.parameters(name) for name in able}


def make_spread(spread: Spread, address: str) -> None:
    """Write ``predictions/spread_<learner>/oof.csv`` and ``test.csv`` of every learner, and print their AUCs.

    ``address`` is that of a Dask scheduler whose workers can read the table's files. Every fit is kept in ``models`` as
    soon as it is made; after a halt the same command goes on from there. This process never reads a feature.
    """
    with open_table_cluster(address, spread.table.place) as cluster:
        shape = _shape(spread.table, cluster)
        for name in spread.learners:
            _evaluate(name, spread, shape, cluster)


def features_without(url: str, shape: Shape, fold: int) -> pd.DataFrame:
    """Return the features of the train rows of a file outside ``fold``; done by a worker."""
    rows = read_rows(url, [*shape.features, *NUMBERS])
    return shape.frame(rows.filter(pa.array(_outside(rows, fold))))


def targets_without(url: str, fold: int) -> pd.Series:
    """Return the targets of the train rows of a file outside ``fold``; done by a worker."""
    rows = read_rows(url, NUMBERS)
    return pd.Series(numbers_of(rows, "target")[_outside(rows, fold)], name="target")


def predicted(url: str, shape: Shape, fold: int, model: Predict) -> tuple[Floats, Floats]:
    """Return what ``model`` predicts for the train rows of ``fold`` in the file and for its test rows, in order."""
    rows = read_rows(url, [*shape.features, *NUMBERS])
    frame, target = shape.frame(rows), numbers_of(rows, "target")
    wanted = (~np.isnan(target) & (numbers_of(rows, "fold") == fold), np.isnan(target))
    held_out, test = (model(frame[chosen]) if chosen.any() else np.zeros(0) for chosen in wanted)
    return held_out, test


def texts_in(url: str, columns: Sequence[str]) -> dict[str, set[str]]:
    """Return the different texts in each of the ``columns`` of a file."""
    rows = read_rows(url, columns)
    return {name: set(pc.unique(rows[name].cast(pa.string())).drop_null().to_pylist()) for name in columns}


def _outside(rows: pa.Table, fold: int) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = ~np.isnan(numbers_of(rows, "target")) & (numbers_of(rows, "fold") != fold)
    return chosen


def _column(rows: pa.Table, name: str, categories: Sequence[str] | None) -> Floats | pd.Categorical:
    if categories is None:
        return numbers_of(rows, name)
    return pd.Categorical(rows[name].cast(pa.string()).to_numpy(), categories=list(categories))


def _shape(table: StoredTable, cluster: Cluster) -> Shape:
    """Return the features with the categories of text, which the workers find in all files."""
    texts = [name for name, kind in table.kinds.items() if kind == TEXT]
    found: dict[str, set[str]] = {name: set() for name in texts}
    for of_file in cluster.results([(texts_in, (url, texts)) for url in table.files if texts]):
        for name in texts:
            found[name] |= of_file[name]
    faults = Faults()
    for name, values in found.items():
        if not 0 < len(values) <= MOST_TEXTS:
            faults.add(f"column {name!r} has {len(values)} different texts; a category has 1 to {MOST_TEXTS}")
    faults.raise_if_any(table.place)
    return Shape({name: tuple(sorted(found[name])) if name in found else None for name in table.kinds})


def _evaluate(name: str, spread: Spread, shape: Shape, cluster: Cluster) -> None:
    """Fit one learner without each fold in turn, and write and print what it says of that fold and of test rows."""
    labels, table = spread.table.labels, spread.table
    known = labels["target"].notna().to_numpy()
    score = np.zeros(len(labels))
    for fold in table.folds:
        model = cluster.share(_fitted(name, fold, spread, shape, cluster))
        tasks = [(predicted, (url, shape, fold, model)) for url in table.files]
        found = list(cluster.results(tasks, keep_order=True))
        score[known & (labels["fold"] == fold).to_numpy()] = np.concatenate([held_out for held_out, _ in found])
        score[~known] += np.concatenate([test for _, test in found]) / len(table.folds)
    _write(name, spread, score)
    auc, low, high = delong_interval(labels.loc[known, "target"].to_numpy(), score[known])
    say(f"spread: {name}: AUC {auc:.4f} out of fold (95 % by DeLong {low:.4f} to {high:.4f}), {known.sum():,} rows")


def _fitted(name: str, fold: int, spread: Spread, shape: Shape, cluster: Cluster) -> Predict:
    """Return the learner fitted to all rows outside ``fold``, kept from an earlier attempt or made now."""
    import dask.dataframe as dd

    params, learner = spread.learners[name], learners.find(name)
    kept = spread.out / "models" / name / f"fold_{fold}"
    made_from = spread.made_from() | {"learners": {name: params.model_dump()}, "fold": fold}
    if is_fresh(kept / "fit.json", made_from):
        say(f"spread: {name}: without fold {fold}: kept, {kept}")
        return learner.load(kept)
    files = spread.table.files_without(fold)
    say(f"spread: {name}: fitting without fold {fold}, rows of {len(files)} file(s)")
    X = dd.from_map(features_without, files, shape=shape, fold=fold, meta=shape.seen())
    y = dd.from_map(targets_without, files, fold=fold, meta=pd.Series([], name="target", dtype=np.float64))

    def fit(client: "Client") -> Predict:
        held = cluster.load([X, y])
        return cast(DistributedLearner, learner).fit_dask(params, *held, seed=SEED, client=client)

    fitted = cluster.run_fit(fit)
    learner.save(fitted, kept)
    write_mark(kept / "fit.json", made_from, [path for path in kept.iterdir() if path.name != "fit.json"])
    return fitted


def _write(name: str, spread: Spread, score: Floats) -> None:
    """Write the scores in the layout in which other networks' predictions are brought."""
    scored = spread.table.labels[["image_name", "fold"]].assign(pred=score)
    known = spread.table.labels["target"].notna()
    tables = {"oof": scored[known].astype({"fold": "int8"}), "test": scored[~known].drop(columns="fold")}
    for file, rows in ((file, rows) for file, rows in tables.items() if len(rows)):
        with replacing(spread.scores(name) / f"{file}.csv") as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
