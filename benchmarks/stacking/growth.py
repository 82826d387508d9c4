"""The growth study: how time and memory of level two grow with the table; each size runs in a separate process."""

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
from runtime.machine.cores import allowed_cores
from runtime.machine.pool import open_pool
from runtime.progress import say
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

NOISE = 0.1  # on the logits, so that no two rows are identical
FEATURES = ("blocks", "design")
STAGES = (*FEATURES, "fitting", "ablation", "decisions", "leaderboard", "findings")


def grow_tables(
    cases: pd.DataFrame, predictions: dict[str, pd.DataFrame], rows: int, seed: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a case table with ``rows`` train cases and test cases in proportion, and its level-one predictions.

    Patients are drawn with replacement and get new names. They keep their fold, so that no fold is trained on copies of
    its own cases.
    """
    random = np.random.default_rng(seed)
    factor = rows / int((cases["role"] == "train").sum())
    row_parts, patients = [], []
    for role in ("train", "test"):
        of_role = np.flatnonzero(cases["role"] == role)
        draws, numbers = _draw_patients(cases["patient_id"].to_numpy()[of_role], round(factor * len(of_role)), random)
        row_parts.append(of_role[draws])
        patients.append([f"{role}_{number}" for number in numbers])
    sources = np.concatenate(row_parts)
    index = pd.Index([f"GROWN_{number:08d}" for number in range(len(sources))], name=cases.index.name)
    table = cases.iloc[sources].drop(columns="picture", errors="ignore").set_axis(index)
    table["patient_id"] = np.concatenate(patients)
    old_index = cases.index[sources]
    return table, {
        network: _add_noise(predicted_rows.loc[old_index].set_axis(index), random)
        for network, predicted_rows in predictions.items()
    }


def _draw_patients(
    patients: NDArray[np.object_], rows: int, random: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return ``rows`` row numbers and, for each, the number of its draw; only the last patient may lack rows."""
    rows_of = list(pd.Series(range(len(patients))).groupby(patients, sort=True).indices.values())
    draws: list[NDArray[np.intp]] = []
    while sum(map(len, draws)) < rows:
        batch = random.integers(len(rows_of), size=max(1, len(rows_of) // 10))
        draws += [rows_of[patient] for patient in batch]
    number = np.repeat(np.arange(len(draws)), [len(draw) for draw in draws])
    return np.concatenate(draws)[:rows], number[:rows]


def _add_noise(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    log_odds = logit(table["probability"].clip(CLIP, 1 - CLIP)) + random.normal(0, NOISE, len(table))
    return table.assign(probability=expit(log_odds))


def growth_study(run: Path, recipe_file: Path, sizes: Sequence[int]) -> Study:
    """Return time and peak memory of level two for each of ``sizes`` (train rows), drawn from the tables of ``run``.

    Times are wall-clock seconds. ``gb`` is the peak resident memory of the process, ``gb_worker`` that of its largest
    worker process; both include shared pages. The exponent of time over rows is the slope of the least-squares line
    through their logarithms. Raises InputFault for fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise InputFault(f"--rows {list(sizes)}: growth needs at least two sizes; repeat --rows")
    read_recipe(recipe_file), read_predictions(Run(run))  # raises their errors here instead of in a worker
    measurements = []
    for rows in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            measurements.append(process.submit(_measure, run, recipe_file, rows).result())
        say(f"growth: {rows} rows: {measurements[-1]['total']:.1f} s, {measurements[-1]['gb']:.2f} GB")
    table = pd.DataFrame(measurements)
    columns = ["features", "stack", "total", *STAGES]
    exponents = {f"exponent_{name}": _exponent(table["rows"], table[name]) for name in columns}
    powers = ", ".join(f"{name} {exponents[f'exponent_{name}']:.2f}" for name in ("total", "features", "stack"))
    sentences = [f"exponent of time over rows, on {allowed_cores()} cores: {powers}"]
    summary = table[["rows", "patients", "test_rows", "columns", "features", "stack", "total", "gb", "gb_worker"]]
    tables = {"growth": summary, "growth: seconds of each stage": table[["rows", *STAGES]]}
    return Study(tables, exponents, sentences)


def _exponent(rows: pd.Series, seconds: pd.Series) -> float:
    return float(np.polyfit(np.log(rows), np.log(seconds), 1)[0])


def _measure(source: Path, recipe_file: Path, rows: int) -> dict[str, float]:
    """Return time and memory of level two for one size; call it in a new process, for a peak memory of its own."""
    recipe, clock = read_recipe(recipe_file), _Clock()
    with _workers(), tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        _write_tables(Run(source), run, rows)
        counts = _run_level_two(run, recipe, clock)
    seconds = clock.seconds
    features = sum(seconds[name] for name in FEATURES)
    total = sum(seconds.values())
    return {
        "rows": rows,
        **counts,
        "features": features,
        "stack": total - features,
        "total": total,
        **_peaks(),
        **seconds,
    }


def _write_tables(source: Run, run: Run, rows: int) -> None:
    cases, predictions = grow_tables(source.read_cases(), read_predictions(source), rows, seed=0)
    write_table(run.cases, cases)
    write_mark(run.cases_mark, {"grown_to": rows})
    for name, table in predictions.items():
        write_table(run.level1 / name / "predictions.parquet", table)
        write_mark(run.level1 / name / "run.json", {"grown_to": rows})


def _run_level_two(run: Run, recipe: Recipe, clock: "_Clock") -> dict[str, float]:
    """Run the stages of the command `stack` one by one; return the numbers of patients, test rows and columns."""
    with clock("blocks"):
        compute_blocks(run)
    cases, predictions = run.read_cases(), read_predictions(run)
    with clock("design"):
        design, shift_table = design_of_run(run, recipe, cases, predictions)
    with clock("fitting"):
        cross_validation = cross_validate(design, recipe)
    with clock("ablation"):
        ablation_table = ablation.ablate(design, recipe, cross_validation)
    with clock("decisions"):
        result = decide(design, recipe, cross_validation)
    with clock("leaderboard"):
        board = leaderboard(design, predictions, result)
    with clock("findings"):
        findings = Findings(design, recipe, cross_validation, result, board, shift_table, ablation_table, {}, None)
        write_findings(run.level2 / "grown", findings, cases, predictions)
    patients = len(np.unique(design.groups.astype(str)))
    return {"patients": patients, "test_rows": len(design.test), "columns": design.X.shape[1]}


class _Clock:
    """A stopwatch: wall-clock seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


@contextmanager
def _workers() -> Iterator[None]:
    """Start the worker processes for the fits now, and end them when the block ends.

    The kernel counts the peak memory of the parent for a new process, so workers must start while this process is
    small. It counts children only after they have ended.
    """
    from joblib import delayed
    from joblib.externals.loky import get_reusable_executor

    open_pool()(delayed(os.getpid)() for _ in range(allowed_cores()))
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
