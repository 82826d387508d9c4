"""Tests of the end of a command: its lines come from the files of a run, and its ideas from the numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from melstack.all_findings import refuse_stack
from melstack.closing.finished_stack import FinishedStack
from melstack.closing.ideas import correlations, ideas, late_rise
from melstack.closing.stack_end import end_lines
from melstack.closing.warnings_of_run import warnings_of
from runtime.errors import InputFault
from runtime.files import read_json, write_json, write_text
from runtime.progress import forget_warnings
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level2_stack.foreign_run import make_run

ROWS = [
    ("choice", "choice", 0.90, 0.88, 0.92, 0.0, 0.0, 0.0, 480, True),
    ("good", "network", 0.87, 0.85, 0.89, 0.03, 0.01, 0.05, 480, True),
    ("rank_mean", "baseline", 0.86, 0.84, 0.88, 0.04, -0.01, 0.06, 480, True),
    ("poor", "network", 0.60, 0.55, 0.65, 0.3, 0.2, 0.4, 450, False),
]
BOARD = ["name", "kind", "auc", "low", "high", "gain", "gain_low", "gain_high", "rows", "complete"]
DOUBT = (
    "test.csv: values outside [0, 1]: 2 (c1, c2), and its row order is not confirmed; if you know that the network is "
    "right, accept it with --trust name"
)
LEAK = {"what": "byte-identical pairs, across folds", "count": 2, "severity": "resolved", "done": "", "names": []}
LEAKY_BLOCK = {"what": "block that may leak the target", "count": 1, "severity": "warning", "done": "check it"}
LEAKY_BLOCK |= {"names": ["patient"], "name": "leaky-block"}
SHIFT = {"networks": {"poor": "why"}, "auc": 0.88, "low": 0.85, "high": 0.91, "gain": 0.02, "gain_low": 0.01}


@dataclass
class Example:
    """A run with a finished stack, whose tables a test may change."""

    run: Run
    prevalence: float | None = None

    def __post_init__(self) -> None:
        folder = self.run.level2 / "default"
        self.table("leaderboard", pd.DataFrame(ROWS, columns=BOARD))
        recipe = {"calibration": {"prevalence": self.prevalence}, "acquisition": "auto", "shift_threshold": 0.6}
        content = {"headline": "choice", "submitted": "blend", "preferred": {"preferred": "blend"}, "recipe": recipe}
        write_json(folder / "decisions.json", content)
        cases, random = self.run.read_cases(), np.random.default_rng(0)
        for name in ("good", "poor"):
            table = pd.DataFrame({"probability": random.random(len(cases)), "fold": cases["fold"]}, index=cases.index)
            self.network(name, table)

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV table of the stack."""
        write_text(self.run.level2 / "default" / f"{name}.csv", table.to_csv(index=False))

    def network(self, name: str, table: pd.DataFrame) -> None:
        """Write the predictions of a network."""
        write_table(self.run.level1 / name / "predictions.parquet", table)
        write_mark(self.run.level1 / name / "run.json", {}, [])

    def ablation(self, loss: float, low: float) -> None:
        """Write an ablation in which the block ``patient`` adds most."""
        rows = [("all networks", "lgbm", 3, 0.5, 0.4, 0.3, 0.5, "logit.good", 0.87, 0.85)]
        rows += [("patient", "lgbm", 9, 0.9 - loss, loss, low, 2 * loss, "patient.age_min", 0.6, 0.5)]
        columns = ["part", "learner", "columns", "auc_without", "loss", "low", "high", "strongest", "strongest_auc"]
        self.table("ablation", pd.DataFrame(rows, columns=[*columns, "strongest_low"]))

    def lines(self) -> list[str]:
        """Return the end of a command."""
        return list(end_lines(FinishedStack(self.run, "default"), (self.run.submission,)))

    def stack(self) -> FinishedStack:
        """Return the stack as the end of a command reads it."""
        return FinishedStack(self.run, "default")


@pytest.fixture
def example(tmp_path: Path) -> Example:
    forget_warnings()
    return Example(make_run(tmp_path / "data"))


def test_the_end_tells_what_is_predicted_how_well_and_where_it_is(example: Example) -> None:
    lines = example.lines()
    what = "predicted: 120 cases of 30 patients, by the blend of the learners (blend) of 2 networks"
    assert lines[0] == f"{what}, expected to be best"
    assert lines[1].startswith("AUC to quote: out of fold, the choice within each fold (choice): ")
    assert "0.9000 [0.8800, 0.9200] (95 %), over 480 cases of 120 patients, 33.3 % malignant" in lines[1]
    assert lines[2] == "gain over the rank mean: +0.0400 [-0.0100, +0.0600], not beyond chance"
    assert lines[3] == "gain over good, the best network: +0.0300 [+0.0100, +0.0500], beyond chance"
    assert lines[4] == "probabilities: at the prevalence of the training cases, 0.3333"
    assert any(line.startswith("files: ") and str(example.run.folder / "log.txt") in line for line in lines)
    assert len(lines) <= 12


def test_another_prevalence_stands_beside_that_of_the_training_cases(example: Example) -> None:
    lines = Example(example.run, 0.0176).lines()
    assert "probabilities: at a prevalence of 0.0176; 0.3333 of the training cases are malignant" in lines


def test_a_refused_network_is_named_with_its_reason_and_the_option_that_admits_it(example: Example) -> None:
    networks = {"third": {"notes": [], "refusal": [DOUBT]}, "leaky": {"notes": [], "refusal": ["oof.csv: a leak"]}}
    write_json(example.run.folder / "foreign.json", {"networks": networks})
    write_text(example.run.folder / "run.toml", 'data = "data"\nforeign = "predictions"\ntrust = ["second"]\n')
    lines = example.lines()
    assert "refused: third: test.csv: values outside [0, 1]: 2, and its row order is not confirmed" in lines
    assert "refused: leaky: oof.csv: a leak" in lines
    (remedy,) = [line for line in lines if "--trust" in line]
    assert "--trust 'second third'`" in remedy


def test_a_network_that_the_stack_does_not_use_is_named(example: Example) -> None:
    example.table("leaderboard", pd.DataFrame(ROWS[:3], columns=BOARD))
    assert any(line.startswith("not used: poor is left out") for line in example.lines())


def test_warnings_come_from_the_files(example: Example) -> None:
    write_json(example.run.folder / "leaks.json", {"looked_at": {}, "findings": [LEAK], "pairs": []})
    networks = {"good": {"notes": ["WARNING: rows doubtful; accepted because", "a note"], "refusal": []}}
    write_json(example.run.folder / "foreign.json", {"networks": networks})
    shift = [("networks", 0.5, 0.9), ("pictures (acquisition)", 0.7, 0.8), ("patient (acquisition)", 0.5, 0.6)]
    example.table("shift", pd.DataFrame(shift, columns=["columns", "auc", "high"]))
    write_json(example.run.level2 / "default" / "findings.json", {"findings": [LEAKY_BLOCK]})
    warnings = list(warnings_of(example.stack()))
    beginnings = [
        "leaks that were found and resolved: 2 byte-identical pairs, across folds",
        "good: rows doubtful",
        "poor: a score for only 450 training cases",
        "acquisition columns of pictures are left out",
        "1 block that may leak the target (patient): check it",
    ]
    assert len(warnings) == len(beginnings)
    for warning, beginning in zip(warnings, beginnings, strict=True):
        assert warning.startswith(beginning), warning


def test_ideas_follow_from_the_ablation(example: Example) -> None:
    example.ablation(0.01, 0.005)
    (idea, *_) = ideas(example.stack())
    assert "(patient) add most (AUC +0.0100); more such columns in the data's CSV" in idea
    example.ablation(0.01, -0.005)
    (idea, *_) = ideas(example.stack())
    assert idea.startswith("no block of columns adds AUC beyond chance (most: patient +0.0100)")


def test_networks_that_rank_alike_are_named_first(example: Example) -> None:
    assert abs(correlations(example.stack())["good", "poor"]) < 0.2
    table = pd.read_parquet(example.run.level1 / "good" / "predictions.parquet")
    example.network("poor", table.assign(probability=table["probability"] ** 2))
    assert ideas(example.stack())[0].startswith("good and poor rank the cases nearly alike (correlation 1.00)")


def test_a_network_that_still_rises_at_the_end_is_named(example: Example) -> None:
    for fold in range(2):
        curve = pd.DataFrame({"epoch": range(1, 11), "validation_auc": np.linspace(0.7, 0.79, 10)})
        write_text(example.run.level1 / "good" / f"fold_{fold}" / "history.csv", curve.to_csv(index=False))
    rise = late_rise(example.run, "good")
    assert rise == pytest.approx(0.02)
    assert late_rise(example.run, "poor") is None
    assert "the validation AUC of good still rises (+0.0200" in ideas(example.stack())[0]


def test_an_explanation_is_suggested_until_there_is_one(example: Example) -> None:
    assert any("explain" in idea for idea in ideas(example.stack()))
    write_json(example.run.level2 / "default" / "explained.json", {})
    assert not any("explain" in idea for idea in ideas(example.stack()))
    assert read_json(example.run.level2 / "default" / "explained.json") == {}


def test_without_networks_that_shift_another_auc_is_to_be_quoted(example: Example) -> None:
    decisions = example.run.level2 / "default" / "decisions.json"
    write_json(decisions, read_json(decisions) | {"without_shift": SHIFT | {"gain_high": 0.03}})
    lines = example.lines()
    assert lines[1] == (
        "AUC to quote: out of fold, without poor, which shift from out of fold to test: 0.8800 [0.8500, 0.9100]"
    )
    assert lines[2].startswith("AUC with poor: out of fold, the choice within each fold (choice): 0.9000")
    assert "their gain of +0.0200 [+0.0100, +0.0300] may not hold on the test cases" in lines[2]
    assert lines[3].endswith("--models good`")


def test_where_every_network_shifts_no_auc_is_to_be_quoted(example: Example) -> None:
    decisions = example.run.level2 / "default" / "decisions.json"
    shift = {"networks": {"good": "why", "poor": "why"}, "auc": None}
    write_json(decisions, read_json(decisions) | {"without_shift": shift})
    assert example.lines()[1].startswith("AUC, not to be quoted: out of fold")


def test_an_accepted_finding_of_the_stack_is_a_warning_and_an_unknown_name_another(example: Example) -> None:
    finding = {"what": "stacked AUC that is too good", "count": 1, "severity": "blocking", "names": ["choice: 0.9990"]}
    finding |= {"done": "look for a leak; the run stops", "name": "stacked-auc"}
    write_json(example.run.level2 / "default" / "findings.json", {"findings": [finding]})
    with pytest.raises(InputFault, match="--accept-finding stacked-auc"):
        refuse_stack(example.run, "default")
    write_text(example.run.folder / "run.toml", 'data = "data"\naccept_finding = ["stacked-auc", "other"]\n')
    refuse_stack(example.run, "default")
    warnings = list(warnings_of(example.stack()))
    assert any("look for a leak; accepted by the user" in warning for warning in warnings)
    assert any(warning.startswith("--accept-finding other") for warning in warnings)
