"""Write the files of finished runs for tests of pages and histories, without training; metrics are computed."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.calibration.reliability import calibration_report, reliability_curve
from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.evaluation.metrics import clinical_metrics
from level2_stack.evaluation.paired import compare
from level2_stack.thresholds.freeze import NestedRows, freeze_threshold
from level2_stack.thresholds.operating_point import write_operating_points
from level2_stack.thresholds.tables import threshold_tables
from runtime.files import write_json, write_text
from runtime.run_folder import Run
from runtime.tables import write_table

EVIL = "<script>alert('x')</script>"
ROWS, PATIENTS = 120, 30


def write_run(folder: Path, *, pictures: bool = False, site: str = "torso") -> Run:
    """Write a finished run of 120 cases, 100 of them train, with two networks; its tables fit its scores."""
    run = Run(folder)
    cases = _cases(site)
    write_table(run.cases, cases)
    facts = {"data": "data/x", "cases": ROWS, "pictures": ROWS if pictures else 0, "summary": [f"site {site}"]}
    write_json(run.cases_mark, {"made_from": {"folds": 5, "official": False}, **facts})
    learners, networks = _scores(cases)
    for name, column in networks.items():
        write_table(run.level1 / str(name) / "predictions.parquet", column.to_frame("probability"))
        write_json(
            run.level1 / str(name) / "run.json", {"made_from": {"settings": {"seed": 0}}, "auc": {"overall": 0.7}}
        )
    _write_stack(run.level2 / "default", cases, learners, networks)
    return run


def _cases(site: str) -> pd.DataFrame:
    random = np.random.default_rng(0)
    row = np.arange(ROWS)
    train = row < 100
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{number % PATIENTS}" for number in row],
            "target": np.where(train, (random.random(ROWS) < 0.4).astype(float), np.nan),
            "sex": np.where(row % 3 == 0, "female", "male"),
            "age_approx": 20.0 + row % 60,
            "anatom_site_general_challenge": site,
            "role": np.where(train, "train", "test"),
            "fold": (row % PATIENTS % 5).astype("int8"),
        },
        index=pd.Index([f"ISIC_{number:04d}" for number in row], name="image_name"),
    )
    return frame


def _scores(cases: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(1)
    target = cases["target"].fillna(0.5).to_numpy()
    columns = ("blend", "rank_mean", "net_a", "net_b")
    scores = {
        name: 1 / (1 + np.exp(-random.normal(2 * target - 1, 1 + number / 2))) for number, name in enumerate(columns)
    }
    table = pd.DataFrame(scores, index=cases.index)
    return table[["blend", "rank_mean"]].assign(choice=table["blend"]), table[["net_a", "net_b"]]


def _write_stack(folder: Path, cases: pd.DataFrame, learners: pd.DataFrame, networks: pd.DataFrame) -> None:
    train = cases[cases["role"] == "train"]
    y, groups = train["target"].to_numpy(), train["patient_id"].to_numpy(dtype=object)
    scores = pd.concat([learners, networks], axis=1).loc[train.index]
    own = scores["choice"].to_numpy()
    board = patient_bootstrap(y, scores, groups, reference="choice", replicates=30).rename_axis("name").reset_index()
    kinds = {"net_a": "network", "net_b": "network", "rank_mean": "baseline", "blend": "blend", "choice": "choice"}
    board = board.assign(kind=board["name"].map(kinds), auc_fold_0=0.7, auc_fold_1=0.8, auc_fold_mean=0.75, rows=100)
    columns = ["auc", "low", "high", "n_columns", "leaned_on"]
    folds = train["fold"].to_numpy(dtype=np.int64)
    rows = NestedRows(y, groups, folds, [own[folds != fold] for fold in range(5)], own, own)
    points = [freeze_threshold(rows, "sensitivity", 0.9), freeze_threshold(rows, "npv", 0.8)]
    write_operating_points(folder / "thresholds.json", points)
    tables = {
        "leaderboard": board.assign(complete=True).sort_values("auc", ascending=False),
        "metrics": clinical_metrics(y, scores[["choice", "rank_mean"]], groups, replicates=20),
        **threshold_tables(rows, points, train, 0.9),
        "paired": compare(y, scores, groups, replicates=20),
        "reliability": reliability_curve(y, own),
        "calibration": calibration_report(y, {str(name): c.to_numpy() for name, c in scores.items()})
        .rename_axis("model")
        .reset_index(),
        "shift": pd.DataFrame([[0.7, 0.65, 0.75, 3, "a, b"]], columns=columns, index=["networks"])
        .rename_axis("columns")
        .reset_index(),
    }
    write_table(folder / "learners.parquet", learners)
    write_table(folder / "predictions.parquet", learners["blend"].to_frame("probability"))
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    recipe = {"shift_threshold": 0.6, "calibration": {"prevalence": None}}
    weights = {"logistic": {"logit.net_a": 0.9, "logit.net_b": 0.0}}
    decisions = {"submitted": "blend", "headline": "choice", "recipe": recipe, "network_weights": weights}
    write_json(folder / "decisions.json", decisions)
    write_json(folder / "run.json", {"made_from": {"recipe": recipe, "code": "0123456789abcdef"}})


def write_experiment(
    run: Path,
    recipe: str = "default",
    *,
    strength: float = 1.5,
    seed: int = 0,
    seed_of_target: int = 0,
    **settings: object,
) -> Path:
    """Write the files of a finished stack; ``seed_of_target`` decides the targets, ``strength`` the scores."""
    random = np.random.default_rng(seed_of_target)
    index = pd.Index([f"case_{i:03d}" for i in range(ROWS)], name="image_name")
    target = (random.random(ROWS) < 0.3).astype(float)
    cases = pd.DataFrame(
        {"patient_id": [f"p{i // 3}" for i in range(ROWS)], "target": target, "role": "train"}, index=index
    )
    write_table(run / "cases.parquet", cases)
    made_from = {"folds": 5, "official": False, "seed": seed}
    write_json(run / "cases.json", {"made_from": made_from, "data": "data/small", "cases": ROWS, "summary": []})
    score = strength * target + np.random.default_rng(7).normal(size=ROWS)
    folder = run / "level2" / recipe
    write_table(folder / "learners.parquet", pd.DataFrame({"choice": 1 / (1 + np.exp(-score))}, index=index))
    write_json(
        run / "level1" / "b0" / "run.json", {"made_from": {"settings": {"image_size": settings.pop("size", 96)}}}
    )
    value = auc(target, score)
    board = pd.DataFrame(
        {"name": ["choice", "b0", "rank_mean"], "kind": ["choice", "network", "baseline"], "auc": [value, 0.6, 0.61]}
    ).assign(low=value - 0.05, high=value + 0.05, auc_fold_mean=value)
    write_text(folder / "leaderboard.csv", board.to_csv(index=False))
    write_text(folder / "calibration.csv", "model,log_loss,brier,ece\nchoice,0.4,0.1,0.02\n")
    decisions = {"headline": "choice", "submitted": "choice", "recipe": {"seeds": 3, "learners": ["lgbm"], **settings}}
    write_json(folder / "decisions.json", decisions)
    write_json(folder / "run.json", {"made_from": {"code": "c0de"}})
    return run


def cases_of(train: int, test: int, **columns: object) -> pd.DataFrame:
    """Return a case table of ``train`` + ``test`` rows, two pictures per patient."""
    rows = train + test
    names = pd.Index([f"c{i:04d}" for i in range(rows)], name="image_name")
    columns_of_all = {"patient_id": [f"p{i // 2}" for i in range(rows)], "role": ["train"] * train + ["test"] * test}
    target = [float(i % 4 == 0) for i in range(train)] + [np.nan] * test
    return pd.DataFrame({**columns_of_all, "target": target, "fold": 0, **columns}, index=names)
