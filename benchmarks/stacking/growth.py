"""The growth study: how time and memory of level two grow with the table, each size in a process of its own."""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchmarks.stacking.study import Study
from features.compute_blocks import compute_blocks
from level2_stack.crossval import ablation
from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import CLIP
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.results.findings import Findings, write_findings
from level2_stack.results.leaderboard import leaderboard
from level2_stack.stacking import design_of_run, read_predictions
from runtime.errors import InputFault
from runtime.progress import say
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

NOISE = 0.1  # on the logits, so that no two rows are identical
FEATURES = ("blocks", "design")
STAGES = (*FEATURES, "fitting", "ablation", "decisions", "leaderboard", "findings")


def grown(
    cases: pd.DataFrame, predictions: dict[str, pd.DataFrame], rows: int, seed: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return tables like those given with ``rows`` train cases and test cases in proportion, from patients drawn anew.

    Patients are drawn with replacement under new names and keep their fold, so no fold learns from a twin in another.
    """
    random = np.random.default_rng(seed)
    factor = rows / int((cases["role"] == "train").sum())
    taken, patients = [], []
    for role in ("train", "test"):
        of_role = np.flatnonzero(cases["role"] == role)
        chosen, names = _drawn(cases["patient_id"].to_numpy()[of_role], round(factor * len(of_role)), random)
        taken.append(of_role[chosen])
        patients.append([f"{role}_{name}" for name in names])
    picked = np.concatenate(taken)
    index = pd.Index([f"GROWN_{number:08d}" for number in range(len(picked))], name=cases.index.name)
    table = cases.iloc[picked].drop(columns="picture", errors="ignore").set_axis(index)
    table["patient_id"] = np.concatenate(patients)
    old = cases.index[picked]
    return table, {name: _shaken(each.loc[old].set_axis(index), random) for name, each in predictions.items()}


def _drawn(
    patients: NDArray[np.object_], rows: int, random: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return ``rows`` row numbers, whole patients but for the last, and how many patients were drawn before each."""
    rows_of = list(pd.Series(range(len(patients))).groupby(patients, sort=True).indices.values())
    taken: list[NDArray[np.intp]] = []
    while sum(map(len, taken)) < rows:
        batch = random.integers(len(rows_of), size=max(1, len(rows_of) // 10))
        taken += [rows_of[patient] for patient in batch]
    number = np.repeat(np.arange(len(taken)), [len(each) for each in taken])
    return np.concatenate(taken)[:rows], number[:rows]


def _shaken(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    log_odds = logit(table["probability"].clip(CLIP, 1 - CLIP)) + random.normal(0, NOISE, len(table))
    return table.assign(probability=expit(log_odds))


def growth_study(run: Path, recipe_file: Path, sizes: Sequence[int]) -> Study:
    """Return time and peak memory of level two at each of ``sizes`` (train rows), made from the tables of ``run``.

    Times are wall-clock seconds. ``gb`` is the peak resident memory of the process, ``gb_worker`` of its largest
    worker process, pages that all of them share included. The exponent of time over rows is the slope of a
    least-squares line through their logarithms. Raises InputFault for fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise InputFault(f"--rows {list(sizes)}: growth needs at least two sizes")
    read_recipe(recipe_file), read_predictions(Run(run))  # their faults are told here and not by the first worker
    measured = []
    for rows in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            measured.append(process.submit(_measured, run, recipe_file, rows).result())
        say(f"growth: {rows} rows: {measured[-1]['total']:.1f} s, {measured[-1]['gb']:.2f} GB")
    table = pd.DataFrame(measured)
    timed = ["features", "stack", "total", *STAGES]
    exponents = {f"exponent_{name}": _exponent(table["rows"], table[name]) for name in timed}
    powers = ", ".join(f"{name} {exponents[f'exponent_{name}']:.2f}" for name in ("total", "features", "stack"))
    sentences = [f"exponent of time over rows, on {os.cpu_count()} cores: {powers}"]
    summary = table[["rows", "patients", "test_rows", "columns", "features", "stack", "total", "gb", "gb_worker"]]
    tables = {"growth": summary, "growth: seconds of each stage": table[["rows", *STAGES]]}
    return Study(tables, exponents, sentences)


def _exponent(rows: pd.Series, seconds: pd.Series) -> float:
    return float(np.polyfit(np.log(rows), np.log(seconds), 1)[0])


def _measured(source: Path, recipe_file: Path, rows: int) -> dict[str, float]:
    """Return what level two costs at one size; call it in a fresh process, whose peak memory is then its own."""
    recipe, clock = read_recipe(recipe_file), _Clock()
    with _workers(), tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        _write_grown(Run(source), run, rows)
        found = _timed(run, recipe, clock)
    seconds = clock.seconds
    features = sum(seconds[name] for name in FEATURES)
    total = sum(seconds.values())
    return {
        "rows": rows,
        **found,
        "features": features,
        "stack": total - features,
        "total": total,
        **_peaks(),
        **seconds,
    }


def _write_grown(source: Run, run: Run, rows: int) -> None:
    cases, predictions = grown(source.read_cases(), read_predictions(source), rows, seed=0)
    write_table(run.cases, cases)
    write_mark(run.cases_mark, {"grown_to": rows})
    for name, table in predictions.items():
        write_table(run.level1 / name / "predictions.parquet", table)
        write_mark(run.level1 / name / "run.json", {"grown_to": rows})


def _timed(run: Run, recipe: Recipe, clock: "_Clock") -> dict[str, float]:
    """Go through what the command `stack` does, stage by stage."""
    with clock("blocks"):
        compute_blocks(run)
    cases, predictions = run.read_cases(), read_predictions(run)
    with clock("design"):
        design, shifted = design_of_run(run, recipe, cases, predictions)
    with clock("fitting"):
        found = cross_validate(design, recipe)
    with clock("ablation"):
        ablated = ablation.ablate(design, recipe, found)
    with clock("decisions"):
        result = decide(design, recipe, found)
    with clock("leaderboard"):
        board = leaderboard(design, predictions, result)
    with clock("findings"):
        findings = Findings(design, recipe, found, result, board, shifted, ablated, {})
        write_findings(run.level2 / "grown", findings, cases, predictions)
    patients = len(np.unique(design.groups.astype(str)))
    return {"patients": patients, "test_rows": len(design.test), "columns": design.X.shape[1]}


class _Clock:
    """Seconds of wall-clock time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started


@contextmanager
def _workers() -> Iterator[None]:
    """Start the processes that fits will run in, and end them with the block.

    The kernel books to a new process the peak of the one that starts it, so they are started while this one is small;
    and it counts as children only those that have ended.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    count = os.cpu_count() or 1
    Parallel(n_jobs=count)(delayed(os.getpid)() for _ in range(count))
    try:
        yield
    finally:
        get_reusable_executor().shutdown(wait=True)


def _peaks() -> dict[str, float]:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    own, worker = (
        resource.getrusage(who).ru_maxrss * unit / 1e9 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"gb": own, "gb_worker": worker}
