"""Test of README.md: its Python is run as it stands, on drawn scores and on a finished bundle."""

import re

import numpy as np
import pandas as pd
import pytest

from tests.sources import ROOT
from tests.tiny_project import FinishedRun

pytestmark = pytest.mark.full  # a stack with every learner takes over ten seconds


def drawn_scores() -> dict[str, object]:
    """Return what the README takes as given for the estimator: X, y and patients."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 4)
    y = (random.random(240) < 0.3).astype(int)
    X = pd.DataFrame({name: 1 / (1 + np.exp(2 - 2 * y - random.normal(size=240))) for name in ("cnn_a", "cnn_b")})
    return {"X": X, "y": y, "patients": patients}


def test_the_python_of_the_readme_runs(finished_run: FinishedRun, tmp_path, monkeypatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "runs/mydata").mkdir(parents=True)
    (tmp_path / "runs/mydata/bundle").symlink_to(finished_run.bundle)
    monkeypatch.chdir(tmp_path)
    data = finished_run.project.data
    cases = pd.read_csv(data / "test.csv", index_col="image_name").head(2)
    pictures = {name: data / "jpeg/test" / f"{name}.jpg" for name in cases.index}
    names = {**drawn_scores(), "cases": cases, "pictures": pictures}
    exec(compile(code, "README.md", "exec"), names)
    assert names["stack"].leaderboard_.loc["blend", "auc"] > 0.8
    assert names["predicted"].table["probability"].between(0, 1).all()
    assert len(names["predicted"].table) == 2
