"""Score a run against the truth where somebody knows it: the synthetic clinic, or test labels kept aside."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from features.folder.csv_file import id_column, read_csv
from level2_stack.evaluation.auc import auc, patient_bootstrap
from runtime.files import read_json
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

TRUTH = "truth.csv"  # image_name, target and, in the clinic, the true risk; nothing but this module reads it
CALLED = {"train": "out of fold", "test": "on the hidden test truth"}


def report_known_truth(run: Run, folder: Path, cases: pd.DataFrame, role: str) -> None:
    """Say how far the finished stack in ``folder`` gets on the rows of ``role``, where somebody knows the truth.

    Beside what is submitted stand the rank mean and the network that is best out of fold.
    """
    models = read_table(folder / "learners.parquet")
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    submitted = read_json(folder / "decisions.json")["submitted"]
    best = str(board.index[board["kind"] == "network"][0])
    named = dict.fromkeys([submitted, *({"rank_mean"} & set(models.columns))])
    network = read_table(run.level1 / best / "predictions.parquet")["probability"]
    scores = {name: models[name] for name in named} | {best: network}
    for sentence in reached(Path(run.facts()["data"]), cases, scores, submitted, role):
        say(f"  {sentence}")


def reached(data: Path, cases: pd.DataFrame, scores: Mapping[str, pd.Series], submitted: str, role: str) -> list[str]:
    """Return sentences on how far ``scores`` (name -> probability per case) get on the rows of ``role``.

    ``submitted`` names the score that the others are compared with. Empty where ``data`` has no truth.csv. With a
    column ``risk`` its AUC is the best attainable: `reached X of Y`.
    """
    path = data / TRUTH
    if not path.is_file():
        return []
    truth = read_csv(path, "image_name")
    truth = truth.set_index(id_column(truth.columns))
    rows = cases.index[cases["role"] == role].intersection(truth.index)
    if truth.loc[rows, "target"].nunique() < 2:
        return []
    table = pd.DataFrame({name: score.reindex(rows) for name, score in scores.items()})
    return _sentences(truth.loc[rows], cases.loc[rows, "patient_id"], table, submitted, CALLED[role])


def _sentences(
    truth: pd.DataFrame, patients: pd.Series, scores: pd.DataFrame, submitted: str, called: str
) -> list[str]:
    target = truth["target"].to_numpy(dtype=np.float64)
    drawn = patient_bootstrap(target, scores, patients.to_numpy(dtype=object), reference=submitted)
    own = drawn.loc[submitted]
    sentence = f"{called}: reached {own['auc']:.4f}"
    if "risk" in truth:
        sentence += f" of {auc(target, truth['risk'].to_numpy(dtype=np.float64)):.4f}, the AUC of the true risk"
    sentences = [f"{sentence} (95 %: {own['low']:.4f}-{own['high']:.4f})"]
    for name, row in drawn.drop(index=submitted).iterrows():
        gain = f"{row['gain']:+.4f} [{row['gain_low']:.4f}, {row['gain_high']:.4f}]"
        sentences.append(f"{called}: {name} {row['auc']:.4f}, {submitted} against it {gain}")
    return sentences
