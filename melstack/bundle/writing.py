"""From a finished run to its bundle: networks, stack, reference and card, and the manifest last of all."""

import math
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api import types

from features import blocks
from features.blocks import LABELS
from features.blocks.metadata import NOT_METADATA
from features.ugly_ducklings import duckling_distance, ugly_limit
from level2_stack.crossval.cluster import open_workers
from level2_stack.explain.explanations import StackDecisions, read_decisions
from level2_stack.portable.export import write_portable_stack
from level2_stack.recipe import read_recipe
from level2_stack.recipe_files import recipe_file as file_of
from level2_stack.stacking import rebuild_design, with_prevalence
from melstack.bundle.manifest import (
    CARD,
    FORMAT,
    NAME,
    NETWORKS,
    STACK,
    Manifest,
    MetadataColumn,
    NetworkEntry,
    write_manifest,
)
from melstack.bundle.novelty import learn_novelty, write_novelty
from melstack.report.model_card.writing import card
from runtime.errors import InputFault
from runtime.files import read_json, write_text
from runtime.progress import say
from runtime.provenance import check_outputs, digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table

VERSIONS = ("melstack", "onnxruntime", "lightgbm", "xgboost-cpu", "xgboost", "numpy", "pandas", "scikit-learn")


def make_bundle(run: Path, recipe: str, folder: Path, cluster: str | None = None) -> None:
    """Write the bundle of ``run`` to ``folder``, unless the one there was made from the same stack by the same code.

    Where no picture network and no stack changed, nothing is done.
    """
    place, file = Run(run), file_of(recipe)
    mark = folder.with_suffix(".json")
    stack = place.level2 / file.stem / "run.json"
    if not stack.is_file():
        raise InputFault(f"{stack.parent}: no finished stack; `make stack` makes it")
    made_from = bundle_ingredients(stack)
    if is_fresh(mark, made_from, [folder / NAME]):
        say(f"bundle: fresh, {folder}")
        return
    place.check_networks()
    check_outputs(stack, "`make stack` makes it again")
    write_bundle(place, file, folder, cluster)
    write_mark(mark, made_from, [path for path in folder.rglob("*") if path.is_file()], recipe=recipe)


def bundle_ingredients(stack: Path) -> dict[str, Any]:
    """Return what a bundle is made from: the mark of the finished stack, and the code."""
    return {"stack": digest_of_file(stack), "code": digest_of_code(Path(__file__).parent.glob("*.py"))}


def write_bundle(run: Run, recipe_file: Path, folder: Path, cluster: str | None = None) -> None:
    """Write the bundle of the finished stack of ``recipe_file`` over ``run`` to ``folder``, which is made anew.

    It is written beside its place and moved there when it is whole. Raises InputFault when the stack is not finished
    or cannot be made again as it was.
    """
    level2 = run.level2 / recipe_file.stem
    making = folder.with_name(f".{folder.name}-writing")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    decided = read_decisions(read_json(level2 / "decisions.json"))
    entries = _networks(run, decided)
    own = [entry.name for entry in entries if not entry.foreign]
    _write_parts(run, recipe_file, decided, own, making, cluster)
    write_text(making / CARD, card(run, level2))
    reference = _write_reference(run, own, making)
    write_manifest(making, _manifest(run, recipe_file, decided, entries, reference))
    shutil.rmtree(folder, ignore_errors=True)
    making.replace(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"bundle: {folder}, {size / 1e6:.0f} MB")


def _networks(run: Run, decided: StackDecisions) -> tuple[NetworkEntry, ...]:
    names = [column.removeprefix("logit.") for column in decided.columns if column.startswith("logit.")]
    marks = {name: read_json(run.level1 / name / "run.json") for name in names}
    return tuple(NetworkEntry(name=name, foreign="settings" not in marks[name]["made_from"]) for name in names)


def _write_parts(
    run: Run, recipe_file: Path, decided: StackDecisions, own: Sequence[str], folder: Path, cluster: str | None
) -> None:
    recipe = with_prevalence(read_recipe(recipe_file), decided.prevalence)
    design = rebuild_design(run, recipe, decided.columns)
    probability = read_table(run.level2 / recipe_file.stem / "predictions.parquet")["probability"]
    with open_workers(cluster, run.folder) as processes:
        write_portable_stack(design, recipe, decided, probability, folder / STACK, processes=processes)
    if own:
        # TensorFlow is needed to write the networks, and to predict no more.
        from level1_cnn.hardware.import_tensorflow import import_tensorflow

        import_tensorflow()
        from level1_cnn.portable.export import export_networks

        export_networks(run, own, folder / NETWORKS)


def _write_reference(run: Run, own: Sequence[str], folder: Path) -> str | None:
    """Write where the training pictures lie for the network that is best out of fold; return its name."""
    if not own:
        return None
    auc = {name: float(read_json(run.level1 / name / "run.json")["auc"]["overall"]) for name in own}
    best = max(own, key=lambda name: auc[name])
    cases = run.read_cases()
    train = cases[cases["role"] == "train"]
    embeddings = read_table(run.level1 / best / "embeddings.parquet").loc[train.index]
    frozen = read_json(run.level1 / best / "run.json")["made_from"]["settings"]["training"]["method"] == "frozen"
    write_novelty(learn_novelty(embeddings, train["patient_id"], None if frozen else train["fold"]), folder)
    return best


def _manifest(
    run: Run, recipe_file: Path, decided: StackDecisions, entries: tuple[NetworkEntry, ...], reference: str | None
) -> Manifest:
    recipe = with_prevalence(read_recipe(recipe_file), decided.prevalence)
    used = {column.split(".")[0] for column in decided.columns}
    return Manifest(
        format=FORMAT,
        run=run.folder.resolve().name,
        recipe=recipe_file.stem,
        networks=entries,
        blocks=tuple(name for name in recipe.blocks if name in used and name in blocks.names()),
        contrasts=tuple(recipe.contrasts),
        metadata=_metadata(run.read_cases()),
        reference=reference,
        ugly_limit=_ugly_limit(run),
        facts=_facts(run, recipe_file, decided),
        versions={name: found for name in VERSIONS if (found := _version(name)) is not None},
        files={},
    )


def _ugly_limit(run: Run) -> float | None:
    block = run.blocks / "ugly_duckling.parquet"
    if not block.is_file():
        return None
    distance = duckling_distance(read_table(block))
    limit = ugly_limit(distance, run.read_cases()["patient_id"])
    return None if math.isnan(limit) else limit


def _metadata(cases: pd.DataFrame) -> dict[str, MetadataColumn]:
    """Return what the training cases hold in every column that the feature block metadata reads."""
    train = cases[cases["role"] == "train"].drop(columns=[*LABELS, *NOT_METADATA], errors="ignore")
    return {str(name): _metadata_column(values) for name, values in train.items()}


def _metadata_column(values: pd.Series) -> MetadataColumn:
    if not types.is_numeric_dtype(values):
        return MetadataColumn(kind="text", values=tuple(sorted(set(values.dropna().astype(str)))))
    known = values.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (None, None)
    return MetadataColumn(kind="number", low=low, high=high)


def _facts(run: Run, recipe_file: Path, decided: StackDecisions) -> dict[str, Any]:
    board = pd.read_csv(run.level2 / recipe_file.stem / "leaderboard.csv", index_col="name")
    headline = read_json(run.level2 / recipe_file.stem / "decisions.json")["headline"]
    row, cases = board.loc[headline], run.read_cases()
    train = cases[cases["role"] == "train"]
    return {
        "auc": float(row["auc"]),
        "auc_low": float(row["low"]),
        "auc_high": float(row["high"]),
        "submitted": decided.submitted,
        "prevalence": decided.prevalence if decided.prevalence is not None else float(train["target"].mean()),
        "training_pictures": len(train),
        "training_patients": int(train["patient_id"].nunique()),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
