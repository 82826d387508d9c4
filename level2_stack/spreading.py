"""The boosters over a stored table: every fit spread over workers that read their own files, scored out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.crossval.cluster import parts_at
from level2_stack.evaluation.auc import delong_interval
from level2_stack.learner_contract import Predict
from level2_stack.partitions import Spreading, partitions
from level2_stack.recipe import Recipe
from level2_stack.stored_labels import read_names
from level2_stack.stored_rows import Shape, StoredPart, predicted, texts_in
from level2_stack.stored_table import TEXT, StoredTable, digests
from runtime.errors import Faults
from runtime.files import replacing
from runtime.progress import say
from runtime.provenance import digest_of_code, finish, is_fresh
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster

SEED = 0
MOST_TEXTS = 1000  # different ones in a column: more are names, not categories
CODE = ("spreading.py", "stored_*.py", "partitions.py", "learners/__init__.py", "learners/lgbm.py", "learners/xgb.py")


@dataclass(frozen=True)
class Spread:
    """What is evaluated: a ``table`` with a learner's ``params`` each, and the folder that gets its scores."""

    table: StoredTable
    learners: Mapping[str, Settings]
    out: Path

    def made_from(self) -> dict[str, Any]:
        """Return what the scores are made from."""
        here = Path(__file__).parent
        return {
            "table": digests(self.table.files),
            "learners": {name: params.model_dump() for name, params in self.learners.items()},
            "code": digest_of_code(path for pattern in CODE for path in here.glob(pattern)),
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
    found = {name: recipe.parameters(name) for name in recipe.learners if isinstance(learners.find(name), Spreading)}
    faults = Faults()
    if not found:
        faults.add(f"learners = {recipe.learners}: none of them can spread a fit; lgbm and xgb can")
    if recipe.negatives_per_positive is not None:
        faults.add(f"negatives_per_positive = {recipe.negatives_per_positive} has no effect: all rows are learned from")
    if recipe.tuning.trials:
        faults.add(f"tuning.trials = {recipe.tuning.trials} has no effect: the parameters are the recipe's")
    faults.raise_if_any(where)
    return found


def make_spread(spread: Spread, address: str) -> None:
    """Write ``predictions/spread_<learner>/oof.csv`` and ``test.csv`` of every learner, and print their AUCs.

    ``address`` is that of a Dask scheduler whose workers see the table's folder under the same path. Every fit is kept
    in ``models`` as soon as it is made; after a halt the same command goes on from there. This process never reads a
    feature. Raises InputFault where there are fewer workers than parts.
    """
    with parts_at(address, spread.table.files[0].parent) as cluster:
        cluster.workers(_most_parts(spread))
        shape = _shape(spread.table, cluster)
        for name in spread.learners:
            _evaluate(name, spread, shape, cluster)


def _most_parts(spread: Spread) -> int:
    counts = [partitions(params) for params in spread.learners.values()]
    return max(len(spread.table.parts_without(fold, count)) for fold in spread.table.folds for count in counts)


def _shape(table: StoredTable, cluster: "Cluster") -> Shape:
    """Return the features with the categories of text, which the workers find in all files."""
    texts = [name for name, kind in table.kinds.items() if kind == TEXT]
    found: dict[str, set[str]] = {name: set() for name in texts}
    for of_file in cluster.results([(texts_in, (path, texts)) for path in table.files if texts]):
        for name in texts:
            found[name] |= of_file[name]
    faults = Faults()
    for name, values in found.items():
        if not 0 < len(values) <= MOST_TEXTS:
            faults.add(f"column {name!r} has {len(values)} different texts; a category has 1 to {MOST_TEXTS}")
    faults.raise_if_any(str(table.files[0].parent))
    return Shape({name: tuple(sorted(found[name])) if name in found else None for name in table.kinds})


def _evaluate(name: str, spread: Spread, shape: Shape, cluster: "Cluster") -> None:
    """Fit one learner without each fold in turn, and write and print what it says of that fold and of test rows."""
    labels, table = spread.table.labels, spread.table
    known = labels["target"].notna().to_numpy()
    score = np.zeros(len(labels))
    for fold in table.folds:
        model = cluster.hold(_fitted(name, fold, spread, shape, cluster))
        tasks = [(predicted, (path, shape, fold, model)) for path in table.files]
        said = list(cluster.results(tasks, ordered=True))
        score[known & (labels["fold"] == fold).to_numpy()] = np.concatenate([held_out for held_out, _ in said])
        score[~known] += np.concatenate([test for _, test in said]) / len(table.folds)
    _write(name, spread, score)
    auc, low, high = delong_interval(labels.loc[known, "target"].to_numpy(), score[known])
    say(f"spread: {name}: AUC {auc:.4f} out of fold (95 % by DeLong {low:.4f} to {high:.4f}), {known.sum():,} rows")


def _fitted(name: str, fold: int, spread: Spread, shape: Shape, cluster: "Cluster") -> Predict:
    """Return the learner fitted to all rows outside ``fold``, kept from an earlier attempt or made now."""
    params, learner = spread.learners[name], learners.find(name)
    kept = spread.out / "models" / name / f"fold_{fold}"
    made_from = spread.made_from() | {"learners": {name: params.model_dump()}, "fold": fold}
    if is_fresh(kept / "fit.json", made_from):
        say(f"spread: {name}: without fold {fold}: kept, {kept}")
        return learner.load(kept)
    parts = [StoredPart(files, shape, fold) for files in spread.table.parts_without(fold, partitions(params))]
    say(f"spread: {name}: fitting without fold {fold}, in {len(parts)} parts")
    fitted = cast(Spreading, learner).fit_parts(params, parts, seed=SEED, cluster=cluster)
    learner.save(fitted, kept)
    finish(kept / "fit.json", made_from, [path for path in kept.iterdir() if path.name != "fit.json"])
    return fitted


def _write(name: str, spread: Spread, score: NDArray[np.float64]) -> None:
    """Write the scores in the layout in which other networks' predictions are brought."""
    scored = spread.table.labels[["file", "fold"]].assign(pred=score)
    known = spread.table.labels["target"].notna()
    oof = scored[known].astype({"fold": "int8"})
    _write_csv(spread.scores(name) / "oof.csv", oof, spread.table)
    if not known.all():
        _write_csv(spread.scores(name) / "test.csv", scored[~known].drop(columns="fold"), spread.table)


def _write_csv(path: Path, scored: pd.DataFrame, table: StoredTable) -> None:
    """Write ``scored`` rows of ``table``, with their ids, file by file: all ids would take more than the scores."""
    starts = np.searchsorted(table.labels["file"].to_numpy(), np.arange(len(table.files)))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for number, file in enumerate(table.files):
            rows = scored[scored["file"] == number].drop(columns="file")
            rows.insert(0, "image_name", read_names(file)[rows.index - starts[number]])
            rows.to_csv(stream, index=False, header=not number, lineterminator="\n")
