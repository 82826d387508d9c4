"""The AUC of a finished stack on the true labels, where they exist: the synthetic clinic, or test labels kept aside."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from features.folder.table_file import id_column, read_user_table
from level2_stack.evaluation.auc import auc, patient_bootstrap
from runtime.files import read_json
from runtime.progress import detail, say
from runtime.run_folder import Run
from runtime.tables import read_table

TRUTH = "truth.csv"  # image_name, target and, in the clinic, the true risk; only this module reads it
LABELS = {"train": "out of fold", "test": "on the hidden test labels"}


def report_known_truth(run: Run, folder: Path, cases: pd.DataFrame, role: str) -> None:
    """Print the AUC of the finished stack in ``folder`` on the rows of ``role``, if the data have a truth.csv.

    The submitted model is compared with the rank mean and with the network that is best out of fold.
    """
    models = read_table(folder / "learners.parquet")
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    submitted_model = read_json(folder / "decisions.json")["submitted"]
    best_network = str(board.index[board["kind"] == "network"][0])
    names = dict.fromkeys([submitted_model, *({"rank_mean"} & set(models.columns))])
    probability = read_table(run.level1 / best_network / "predictions.parquet")["probability"]
    scores = {name: models[name] for name in names} | {best_network: probability}
    show = say if role == "test" else detail  # the out-of-fold AUC is at the end of every command
    for sentence in truth_sentences(Path(run.facts()["data"]), cases, scores, submitted_model, role):
        show(f"  {sentence}")


def truth_sentences(
    data: Path, cases: pd.DataFrame, scores: Mapping[str, pd.Series], submitted_model: str, role: str
) -> list[str]:
    """Return sentences with the AUC of ``scores`` (name -> probability per case) on the rows of ``role``.

    Every other score is compared with the score of ``submitted_model``. The list is empty if the folder ``data`` has no
    truth.csv, or if its rows of ``role`` have one class only. The AUC of a column ``risk`` is the best attainable one.
    """
    path = data / TRUTH
    if not path.is_file():
        return []
    truth = read_user_table(path, "image_name")
    truth = truth.set_index(id_column(truth.columns))
    rows = cases.index[cases["role"] == role].intersection(truth.index)
    if truth.loc[rows, "target"].nunique() < 2:
        return []
    table = pd.DataFrame({name: score.reindex(rows) for name, score in scores.items()})
    return _sentences(truth.loc[rows], cases.loc[rows, "patient_id"], table, submitted_model, LABELS[role])


def _sentences(
    truth: pd.DataFrame, patients: pd.Series, scores: pd.DataFrame, submitted_model: str, label: str
) -> list[str]:
    target = truth["target"].to_numpy(dtype=np.float64)
    intervals = patient_bootstrap(target, scores, patients.to_numpy(dtype=object), reference=submitted_model)
    own = intervals.loc[submitted_model]
    sentence = f"{label}: AUC of {submitted_model} {own['auc']:.4f} [{own['low']:.4f}, {own['high']:.4f}]"
    if "risk" in truth:
        best = auc(target, truth["risk"].to_numpy(dtype=np.float64))
        sentence += f"; best attainable {best:.4f}, the AUC of the true risk"
    sentences = [sentence]
    for name, row in intervals.drop(index=submitted_model).iterrows():
        gain = f"{row['gain']:+.4f} [{row['gain_low']:.4f}, {row['gain_high']:.4f}]"
        sentences.append(f"{label}: AUC of {name} {row['auc']:.4f}; gain of {submitted_model} {gain}")
    return sentences
