"""Train networks with several seeds, and compare their mean AUCs: a single run of fine-tuning varies by 0.01."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.stacking.study import Study
from level1_cnn.experiment import find_files, read_experiment
from level2_stack.evaluation.auc import auc_replicates, percentile_interval
from level2_stack.evaluation.paired import bootstrap_p
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import read_table


def run_seeds(run: Run, models: Sequence[str], seeds: Sequence[int], words: Sequence[str]) -> Study:
    """Train a copy of every model with every seed by ``melstack oof`` with ``words``, and return their comparison.

    The copies are TOML files in the folder ``seeds`` of the run. Raises InputFault for an unknown model, or if a
    training fails.
    """
    sources = find_files("laptop", models)
    groups = {name: write_copies(file, seeds, run.folder / "seeds") for name, file in sources.items()}
    files = [str(file) for copies in groups.values() for file in copies]
    command = [sys.executable, "-m", "melstack", "oof", "--run", str(run.folder), "--models", shlex.join(files), *words]
    if code := subprocess.run(command, check=False).returncode:
        raise InputFault(f"melstack oof ended with exit code {code}; its last line says why")
    return compare_seeds(run, {name: [file.stem for file in copies] for name, copies in groups.items()})


def write_copies(file: Path, seeds: Sequence[int], folder: Path) -> list[Path]:
    """Write a copy of a model's TOML file with each of ``seeds`` into ``folder``, and return their paths.

    Raises InputFault if the file is missing or invalid.
    """
    read_experiment(file)
    folder.mkdir(parents=True, exist_ok=True)
    other_lines = re.sub(r"(?m)^seed\s*=.*\n", "", file.read_text(encoding="utf-8"), count=1)
    copies = []
    for seed in seeds:
        copies.append(folder / f"{file.stem}_s{seed}.toml")
        copies[-1].write_text(f"seed = {seed}\n{other_lines}", encoding="utf-8")
    return copies


def compare_seeds(run: Run, groups: Mapping[str, Sequence[str]]) -> Study:
    """Return a table with a row per group of networks, which differ in their seed only, on the training cases of a run.

    Columns: AUC of every seed, their mean and standard deviation, and the AUC of the mean of their probabilities;
    ``gain``, the mean minus that of the first group, with ``low, high`` (95 % percentile interval, patients resampled,
    paired) and ``p``. The interval is of these trained networks; how far other seeds are from them says ``deviation``.
    """
    cases = run.read_cases()
    train = cases[cases["role"] == "train"]
    scores = pd.DataFrame({name: _probabilities(run, name, train.index) for names in groups.values() for name in names})
    for group, names in groups.items():
        scores[f"mean of {group}"] = scores[list(names)].mean(axis=1)
    target, patients = train["target"].to_numpy(float), train["patient_id"].to_numpy()
    pairs = [(name, name) for name in scores]
    aucs = {
        name: values
        for (name, _), values in auc_replicates(target, scores, patients, pairs, replicates=1000, seed=0).items()
    }
    means = {group: np.mean([aucs[name] for name in names], axis=0) for group, names in groups.items()}
    first = next(iter(means.values()))
    rows = []
    for group, names in groups.items():
        each = np.array([aucs[name][0] for name in names])
        gain = means[group] - first
        summary = {"mean": each.mean(), "deviation": each.std(ddof=1), "auc_of_mean": aucs[f"mean of {group}"][0]}
        difference = {
            **dict(zip(("gain", "low", "high"), percentile_interval(gain), strict=True)),
            "p": bootstrap_p(gain[1:]),
        }
        rows.append({"network": group, "aucs": ", ".join(f"{auc:.4f}" for auc in each), **summary, **difference})
    return Study({"networks with several seeds": pd.DataFrame(rows)}, {row["network"]: row["mean"] for row in rows})


def _probabilities(run: Run, name: str, cases: pd.Index) -> pd.Series:
    return read_table(run.level1 / name / "predictions.parquet")["probability"].loc[cases]
