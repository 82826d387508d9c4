"""Tests for seeds.py: copies differ in the seed alone, and the means of equal networks have no difference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.seeds import compare_seeds, run_seeds, write_copies
from level1_cnn.experiment import find_files, read_experiment
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level1_cnn.drawn_run import FROZEN_TOML, draw_data, make_run


def test_a_copy_differs_in_its_seed_alone(tmp_path: Path) -> None:
    files = find_files("laptop", ["lite0_128", "lite0_96_frozen"])
    with pytest.raises(InputFault, match=r"missing\.toml"):
        write_copies(tmp_path / "missing.toml", (0, 1), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for file in files.values():
        original = read_experiment(file)
        for seed, copy in zip((0, 7), write_copies(file, (0, 7), tmp_path), strict=True):
            assert copy.stem == f"{file.stem}_s{seed}"
            assert read_experiment(copy) == original.model_copy(update={"seed": seed})


def test_the_gain_is_that_of_the_means_and_its_interval_is_paired(tmp_path: Path) -> None:
    run, rng = make_run(tmp_path, patients=60), np.random.default_rng(3)
    cases = run.read_cases()
    noise = {group: rng.normal(size=(2, len(cases))) for group in ("weak", "strong")}

    def write(name: str, score: np.ndarray) -> None:
        (run.level1 / name).mkdir(parents=True)
        write_table(run.level1 / name / "predictions.parquet", pd.DataFrame({"probability": score}, index=cases.index))

    target = cases["target"].fillna(0).to_numpy(float)
    for number in range(2):
        write(f"weak_s{number}", 0.5 * target + noise["weak"][number])
        write(f"strong_s{number}", 3 * target + noise["strong"][number])
    names = {group: [f"{group}_s0", f"{group}_s1"] for group in noise}
    study = compare_seeds(run, names)
    weak, strong = study.tables["networks with several seeds"].to_dict("records")
    assert weak["gain"] == weak["low"] == weak["high"] == 0
    assert strong["gain"] == pytest.approx(strong["mean"] - weak["mean"])
    assert 0 < strong["low"] < strong["gain"] < strong["high"]
    assert strong["p"] < 0.01
    assert strong["deviation"] == pytest.approx(
        np.ptp([float(auc) for auc in strong["aucs"].split(", ")]) / np.sqrt(2), abs=1e-4
    )
    assert weak["auc_of_mean"] > weak["mean"]  # independent noise
    assert study.figures == {"weak": weak["mean"], "strong": strong["mean"]}
    same = compare_seeds(run, {"strong": names["strong"], "again": names["strong"]})
    again = same.tables["networks with several seeds"].iloc[1]
    assert again["gain"] == again["low"] == again["high"] == 0
    assert again["p"] == 1


def test_networks_are_trained_with_every_seed_and_compared(tmp_path: Path) -> None:
    data, model = draw_data(tmp_path / "my data"), tmp_path / "my models" / "plain.toml"
    model.parent.mkdir()
    model.write_text(FROZEN_TOML)
    run = Run(tmp_path / "run with blank")
    table = run_seeds(run, [str(model)], [0, 1], ["--data", str(data), "--folds", "3"]).tables[
        "networks with several seeds"
    ]
    assert run.networks() == ["plain_s0", "plain_s1"]
    assert table["mean"].between(0.5, 1).all()
    with pytest.raises(InputFault, match="melstack oof ended with exit code 2"):
        run_seeds(run, [str(model)], [0, 1], ["--data", str(data), "--folds", "4"])
