"""Write the bundle of a finished run: networks, stack, reference space, model card, and last the manifest."""

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
from level2_stack.finished import stack_digest
from level2_stack.portable.export import write_portable_stack
from level2_stack.recipe import Recipe, recipe_of_stack
from level2_stack.recipe_files import recipe_file as file_of
from level2_stack.stacking import rebuild_design
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
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
from melstack.bundle.parts_list import write_parts_list
from melstack.bundle.reference import write_training_reference
from melstack.report.column_words import network_words
from melstack.report.model_card.writing import card
from runtime.errors import InputFault
from runtime.files import read_json, write_text
from runtime.invocation import command
from runtime.progress import say
from runtime.provenance import check_outputs, digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table

VERSIONS = ("melstack", "onnxruntime", "lightgbm", "xgboost-cpu", "xgboost", "numpy", "pandas", "scikit-learn")


def make_bundle(run: Path, recipe: str, folder: Path, cluster: str | None = None) -> None:
    """Write the bundle of a run to ``folder``, unless it exists already, made from the same stack by the same code.

    Raises InputFault when the stack of ``recipe`` is not finished or its files are damaged.
    """
    run_folder, file = Run(run), file_of(recipe)
    mark = folder.with_suffix(".json")
    stack = run_folder.level2 / file.stem / "run.json"
    if not stack.is_file():
        raise InputFault(f"{stack.parent}: no finished stack; {command('stack')} makes it")
    made_from = bundle_ingredients(stack)
    if is_fresh(mark, made_from, [folder / NAME]):
        say(f"bundle: fresh, {folder}")
        return
    run_folder.check_networks()
    check_outputs(stack, f"{command('stack')} makes it again")
    write_bundle(run_folder, file, folder, cluster)
    write_mark(mark, made_from, [path for path in folder.rglob("*") if path.is_file()], recipe=recipe)


def bundle_ingredients(stack: Path) -> dict[str, Any]:
    """Return what a bundle is made from: the mark of the finished stack, and the code."""
    return {"stack": digest_of_file(stack), "code": digest_of_code(Path(__file__).parent.glob("*.py"))}


def write_bundle(run: Run, recipe_file: Path, folder: Path, cluster: str | None = None) -> None:
    """Write the bundle of the finished stack of ``recipe_file`` to ``folder``; an older one is replaced.

    The files are written into a temporary folder beside ``folder``, which is renamed when it is complete. Raises
    InputFault when the stack is not finished or the refitted models give other test probabilities.
    """
    level2 = run.level2 / recipe_file.stem
    partial_folder = folder.with_name(f".{folder.name}-writing")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    content = read_json(level2 / "decisions.json")
    decisions, recipe = read_decisions(content), recipe_of_stack(content)
    entries = _networks(run, decisions)
    own = [entry.name for entry in entries if not entry.foreign]
    _write_parts(run, level2, recipe, decisions, own, partial_folder, cluster)
    write_text(partial_folder / CARD, card(run, level2))
    if (level2 / THRESHOLDS).is_file():  # a stack of an older version has none
        shutil.copyfile(level2 / THRESHOLDS, partial_folder / THRESHOLDS)
    reference = _write_reference(run, own, partial_folder)
    write_parts_list(partial_folder, run.folder.resolve().name)
    write_manifest(partial_folder, _manifest(run, level2, recipe, decisions, entries, reference))
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.replace(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"bundle: {folder}, {size / 1e6:.{1 if size < 1e7 else 0}f} MB")


def _networks(run: Run, decisions: StackDecisions) -> tuple[NetworkEntry, ...]:
    names = [column.removeprefix("logit.") for column in decisions.columns if column.startswith("logit.")]
    settings_of = {name: read_json(run.level1 / name / "run.json")["made_from"].get("settings") for name in names}
    return tuple(
        NetworkEntry(name=name, foreign=settings is None, words=network_words(settings or {}))
        for name, settings in settings_of.items()
    )


def _write_parts(
    run: Run,
    level2: Path,
    recipe: Recipe,
    decisions: StackDecisions,
    own: Sequence[str],
    folder: Path,
    cluster: str | None,
) -> None:
    design = rebuild_design(run, recipe, decisions.columns)
    probability = read_table(level2 / "predictions.parquet")["probability"]
    with open_workers(cluster, run.folder) as processes:
        write_portable_stack(design, recipe, decisions, probability, folder / STACK, processes=processes)
    write_training_reference(folder, design, probability, decisions.prevalence, run.read_cases())
    if own:
        # Only the export of the networks needs TensorFlow; a bundle predicts without it.
        from level1_cnn.hardware.import_tensorflow import import_tensorflow

        import_tensorflow()
        from level1_cnn.portable.export import export_networks

        export_networks(run, own, folder / NETWORKS)


def _write_reference(run: Run, own: Sequence[str], folder: Path) -> str | None:
    """Write the training pictures' space of the network with the highest out-of-fold AUC; return its name."""
    if not own:
        return None
    auc = {name: float(read_json(run.level1 / name / "run.json")["auc"]["overall"]) for name in own}
    best = max(own, key=lambda name: auc[name])
    cases = run.read_cases()
    train = cases[cases["role"] == "train"]
    embeddings = read_table(run.level1 / best / "embeddings.parquet").loc[train.index]
    settings = read_json(run.level1 / best / "run.json")["made_from"]["settings"]
    is_shared = settings["training"]["method"] == "frozen"  # a frozen backbone is the same network in every fold
    write_novelty(learn_novelty(embeddings, train["patient_id"], None if is_shared else train["fold"]), folder)
    return best


def _manifest(
    run: Run,
    level2: Path,
    recipe: Recipe,
    decisions: StackDecisions,
    entries: tuple[NetworkEntry, ...],
    reference: str | None,
) -> Manifest:
    prefixes = {column.split(".")[0] for column in decisions.columns}
    versions = {name: _version(name) for name in VERSIONS}
    return Manifest(
        format=FORMAT,
        run=run.folder.resolve().name,
        recipe=level2.name,
        networks=entries,
        blocks=tuple(name for name in recipe.blocks if name in prefixes and name in blocks.names()),
        contrasts=tuple(recipe.contrasts),
        metadata=_metadata(run.read_cases()),
        reference=reference,
        ugly_limit=_ugly_limit(run),
        facts=_facts(run, level2, decisions),
        versions={name: text for name, text in versions.items() if text is not None},
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
    """Return the training cases' values of every column that the feature block ``metadata`` reads."""
    train = cases[cases["role"] == "train"].drop(columns=[*LABELS, *NOT_METADATA], errors="ignore")
    return {str(name): _metadata_column(values) for name, values in train.items()}


def _metadata_column(values: pd.Series) -> MetadataColumn:
    present = values.dropna()
    if not types.is_numeric_dtype(values):
        return MetadataColumn(kind="text", values=tuple(sorted(set(present.astype(str)))))
    low, high = (float(present.min()), float(present.max())) if len(present) else (None, None)
    return MetadataColumn(kind="number", low=low, high=high)


def _facts(run: Run, level2: Path, decisions: StackDecisions) -> dict[str, Any]:
    board = pd.read_csv(level2 / "leaderboard.csv", index_col="name")
    content = read_json(level2 / "decisions.json")
    smaller = content["without_shift"] or {"auc": None}
    # The AUC to quote: without the networks that shift, if any other is left.
    row = board.loc[content["headline"]] if smaller["auc"] is None else smaller
    cases = run.read_cases()
    train = cases[cases["role"] == "train"]
    prevalence = decisions.prevalence if decisions.prevalence is not None else float(train["target"].mean())
    return {
        "stack": stack_digest(level2),
        "auc": float(row["auc"]),
        "auc_low": float(row["low"]),
        "auc_high": float(row["high"]),
        "submitted": decisions.submitted,
        "prevalence": prevalence,
        "training_pictures": len(train),
        "training_patients": int(train["patient_id"].nunique()),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
