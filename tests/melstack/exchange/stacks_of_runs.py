"""Runs over the same 600 cases, each with a finished stack whose scores are drawn, not fitted."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level2_stack.finished import stack_ingredients
from level2_stack.recipe_files import recipe_file
from runtime.files import write_json
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table


def add_stack(run: Run, recipe: str, seed: int, prevalence: float | None = None, shift: float = 0.0) -> pd.DataFrame:
    """Add a finished stack whose headline (choice) and submitted model (lgbm) differ; return both probabilities."""
    cases, random, folder = run.read_cases(), np.random.default_rng(seed), run.level2 / recipe
    malignant = np.array([int(name[1:]) % 3 == 0 for name in cases.index])
    logits = {name: random.normal(size=len(cases)) + 1.5 * malignant - 1.5 + shift for name in ("choice", "lgbm")}
    learners = pd.DataFrame({name: expit(values) for name, values in logits.items()}, index=cases.index)
    submitted = pd.DataFrame({"probability": learners["lgbm"], "spread": 0.0, "fold": cases["fold"]})
    write_table(folder / "learners.parquet", learners)
    write_table(folder / "predictions.parquet", submitted)
    settings = {"calibration": {"prevalence": prevalence}}
    write_json(folder / "decisions.json", {"headline": "choice", "submitted": "lgbm", "recipe": settings})
    files = [folder / name for name in ("learners.parquet", "predictions.parquet", "decisions.json")]
    write_mark(folder / "run.json", stack_ingredients(run, recipe_file(recipe)), files)
    return learners


def add_run(data: Path, name: str, seed: int, *, folds: int = 4) -> Run:
    """Return a run over the cases in ``data`` with one finished stack."""
    run = Run(data / name)
    freeze_cases(run, Request(data, folds=folds))
    add_stack(run, "default", seed)
    return run
