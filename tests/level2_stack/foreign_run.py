"""A run without pictures, with predictions of two foreign networks, one good and one poor."""

from pathlib import Path

import numpy as np

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from runtime.run_folder import Run

RECIPE = """
seeds = 2
learners = ["lgbm", "xgb", "ridge", "logistic", "rank_mean"]
blend = ["lgbm", "xgb", "ridge"]
[lgbm]
rounds = 60
[xgb]
rounds = 60
[tuning]
trials = 3
"""
COLUMNS = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"


def make_run(folder: Path) -> Run:
    """Return a run of 600 cases without pictures, with the predictions of a good and a poor foreign network."""
    random = np.random.default_rng(2)
    lines, files = {"train": [f"{COLUMNS},target"], "test": [COLUMNS]}, {"train": "oof", "test": "test"}
    scores = {(role, name): ["image_name,pred"] for role in lines for name in ("good", "poor")}
    for number in range(600):
        role, malignant = ("train" if number < 480 else "test"), number % 3 == 0
        case, truth = f"c{number:03d}", f",{int(malignant)}" if role == "train" else ""
        sex, age = random.choice(["male", "female"]), 20 + 5 * random.integers(12)
        lines[role].append(f"{case},p{number // 4},{sex},{age},torso{truth}")
        for name, signal in (("good", 1.5), ("poor", 0.3)):
            scores[role, name].append(f"{case},{1 / (1 + np.exp(-random.normal() - signal * malignant)):.6f}")
    folder.mkdir()
    for role, table in lines.items():
        (folder / f"{role}.csv").write_text("\n".join(table) + "\n")
    for (role, name), table in scores.items():
        (folder / "foreign" / name).mkdir(parents=True, exist_ok=True)
        (folder / "foreign" / name / f"{files[role]}.csv").write_text("\n".join(table) + "\n")
    (folder / "quick.toml").write_text(RECIPE)
    run = Run(folder / "run")
    freeze_cases(run, Request(folder, folds=4))
    return run
