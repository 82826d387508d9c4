"""Tests for the model card: its figures are those of the run's tables, and missing information is "not available"."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from level2_stack.calibration.reliability import calibration_report
from level2_stack.evaluation.metrics import clinical_metrics
from level2_stack.evaluation.paired import compare
from level2_stack.evaluation.subgroups import subgroup_table
from level2_stack.finished import stack_digest
from level2_stack.thresholds.operating_point import write_operating_points
from melstack.report.model_card.writing import card, escape_markdown, write_card
from runtime.command_record import NAME as COMMANDS
from runtime.errors import InputFault
from runtime.files import read_json, write_json, write_text
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level2_stack.thresholds.points import operating_point
from tests.melstack.report.written_runs import ROWS, write_experiment


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run whose tables are written by the same functions as those of a stack."""
    write_experiment(tmp_path / "run", learners=["ridge"], blocks=["metadata"], blend=["ridge"], blend_weights="equal")
    run = Run(tmp_path / "run")
    cases = pd.read_parquet(run.cases)
    columns = {
        "sex": ["female", "male", None] * (ROWS // 3),
        "age_approx": np.arange(ROWS) % 90.0,
        "diagnosis": "unknown",
    }
    cases = cases.assign(**columns)
    write_table(run.cases, cases)
    folder = run.level2 / "default"
    score = pd.read_parquet(folder / "learners.parquet")
    y, patients = cases["target"].to_numpy(), cases["patient_id"].to_numpy(dtype=object)
    probabilities = {"choice": score["choice"].to_numpy(), "choice, uncalibrated": score["choice"].to_numpy() ** 2}
    tables = {
        "metrics": clinical_metrics(y, score, patients, replicates=50),
        "subgroups": subgroup_table(y, probabilities["choice"], patients, cases, replicates=50),
        "paired": compare(y, score.assign(b0=0.5), patients, replicates=50),
        "calibration": calibration_report(y, probabilities).rename_axis("model").reset_index(),
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    board = pd.read_csv(folder / "leaderboard.csv").assign(gain=0.1, gain_low=[0, 0.05, -0.02], gain_high=0.2)
    write_text(folder / "leaderboard.csv", board.to_csv(index=False))
    write_json(folder / "run.json", {"made_from": {"cases": "ca5e5", "code": "c0de"}})
    write_table(folder / "predictions.parquet", score)
    return run


def card_of(run: Run) -> str:
    return card(run, run.level2 / "default")


def test_metrics_of_the_headline_are_listed_with_their_intervals(run: Run) -> None:
    text = card_of(run)
    metrics = pd.read_csv(run.level2 / "default" / "metrics.csv").set_index("metric")
    for metric, label in {
        "auc": "AUC, patients resampled",
        "sensitivity_at_90_specificity": "at 90 % specificity",
    }.items():
        row = metrics.loc[metric]
        assert f"{label} | {row['value']:.4f} | {row['low']:.4f} to {row['high']:.4f} |" in text


def test_every_subgroup_has_a_row_and_small_subgroups_are_listed_as_a_limit(run: Run) -> None:
    text = card_of(run)
    table = pd.read_csv(run.level2 / "default" / "subgroups.csv")
    assert sum(f"| {row.kind} | {row.value} | {row.rows} |" in text for row in table.itertuples()) == len(table)
    small = table.loc[table["auc_low"].isna(), ["kind", "value"]].agg(" ".join, axis=1)
    assert len(small)
    assert f"Too few patients of a class for an interval of the AUC: {', '.join(small)}." in text


def test_skin_tone_is_not_available_without_a_column_for_it(run: Run) -> None:
    assert "Skin tone: `not available`" in card_of(run)
    assert "differences by skin tone are unknown" in card_of(run)
    cases = pd.read_parquet(run.cases).assign(fitzpatrick=["II"] * 90 + ["V"] * 30)
    write_table(run.cases, cases)
    text = card_of(run)
    assert "Skin tone, column fitzpatrick: II 75.00 %; V 25.00 %." in text
    assert "differences by skin tone" not in text


def test_the_card_states_the_prevalence_of_the_training_cases_and_the_requested_one(run: Run) -> None:
    in_training = pd.read_parquet(run.cases)["target"].mean()
    text = card_of(run)
    assert f"{100 * in_training:.2f} % of the training pictures are malignant" in text
    assert "The probabilities are for this prevalence." in text
    path = run.level2 / "default" / "decisions.json"
    path.write_text(path.read_text().replace('"seeds": 3', '"seeds": 3, "calibration": {"prevalence": 0.0176}'))
    text = card_of(run)
    assert "the option --prevalence sets, 1.76 %." in text
    assert "converted to a prevalence of 0.0176 by a formula" in text


def test_a_gain_that_may_be_chance_is_a_limit_and_a_larger_gain_is_not(run: Run) -> None:
    assert "The stack may be better than rank_mean by chance only:" in card_of(run)


@pytest.mark.parametrize(("low", "is_limit"), [(0.55, True), (0.45, False)])
def test_a_shift_beyond_chance_is_a_limit(run: Run, low: float, is_limit: bool) -> None:
    table = pd.DataFrame({"columns": ["patient"], "auc": [0.7], "low": [low], "high": [0.8]})
    write_text(run.level2 / "default" / "shift.csv", table.to_csv(index=False))
    assert (
        "distinguish test cases from training cases by: the patient's age, sites and number of pictures (patient) 0.70"
        in card_of(run)
    ) is is_limit


def test_missing_values_are_counted_by_column(run: Run) -> None:
    assert f"- sex: training {ROWS // 3}\n" in card_of(run)


def test_only_data_with_a_known_true_risk_are_called_simulated(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "data" / "small" / "truth.csv", "image_name,target\nx,1\n")
    assert "These data are simulated" not in card_of(run)
    write_text(tmp_path / "data" / "small" / "truth.csv", "image_name,target,risk\nx,1,0.5\n")
    assert "These data are simulated" in card_of(run)


def test_markup_in_the_data_is_escaped(run: Run) -> None:
    cases = pd.read_parquet(run.cases).assign(diagnosis="a|b <script>x</script>\n# c [d](http://e)")
    write_table(run.cases, cases)
    text = card_of(run)
    assert r"a\|b &lt;script&gt;x&lt;/script&gt; # c [d]\(http://e) 120." in text
    assert escape_markdown("lite0_96_frozen [0.1, 0.2]") == "lite0_96_frozen [0.1, 0.2]"


def test_every_section_names_its_reporting_items_and_the_card_states_that_this_is_not_a_medical_device(
    run: Run,
) -> None:
    text = write_card(run, run.level2 / "default").read_text()
    sections = text.split("\n## ")[1:-1]
    assert len(sections) == 9
    assert all("*TRIPOD+AI" in section.split("\n\n")[1] for section in sections)
    assert "Not a medical device" in text.splitlines()[2]


def test_the_card_lists_the_frozen_thresholds_with_the_measures_of_the_outer_folds(run: Run) -> None:
    point = operating_point(threshold=0.1234, note="too few cases")
    write_operating_points(run.level2 / "default" / "thresholds.json", [point])
    text = card_of(run)
    assert "| 90 % sensitivity | 0.1234 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | too few cases |" in text
    assert "that for 90 % sensitivity (0.1234)" in text
    (run.level2 / "default" / "thresholds.json").unlink()
    assert "Not available: the stack is of a version that froze no thresholds." in card_of(run)


def test_the_card_has_the_digest_of_its_stack_and_names_a_submission_of_another(run: Run) -> None:
    digest = stack_digest(run.level2 / "default")
    assert f"- Stack: digest {digest} of recipe default" in card_of(run)
    run.submission.write_text("image_name,target\n")
    write_mark(run.submission.with_suffix(".json"), {"recipe": "rare|", "predictions": "0123456789abcdef"})
    sentence = r"The file submission.csv of this run is from another stack, 01234567 of recipe rare\|."
    text = write_card(run, run.level2 / "default").read_text()
    assert f"- {sentence} `melstack submission --run {run.folder}` makes it from this one." in text
    assert sentence not in card_of(run)


def test_the_card_of_the_run_lists_the_commands_and_that_of_a_bundle_does_not(run: Run) -> None:
    values = {"melstack": "1", "commit": "ab" * 20, "python": "3.12", "command": "melstack stack --models 'a|b'"}
    lines = [json.dumps(values | {"time": f"2026-11-{day}T09:30:05Z"}) for day in (28, 29)]
    (run.folder / COMMANDS).write_text("\n".join(lines))
    line = (
        "- 2026-11-28 09:30 to 2026-11-29 09:30, 2 times: `melstack stack --models 'a|b'`; melstack 1, "
        "commit abababab, Python 3.12."
    )
    assert line in write_card(run, run.level2 / "default").read_text()
    assert "melstack stack" not in card_of(run)


def test_average_precision_stands_beside_its_prevalence(run: Run) -> None:
    share = pd.read_parquet(run.cases)["target"].mean()
    assert f"| average precision at a prevalence of {100 * share:.1f} % |" in card_of(run)
    assert f"at the prevalence of the training pictures, {100 * share:.2f} %" in card_of(run)


def test_numbers_of_one_are_singular(run: Run) -> None:
    assert "Level one: 1 network, listed below." in card_of(run)


def test_an_unfinished_stack_has_no_card(run: Run) -> None:
    (run.level2 / "default" / "metrics.csv").unlink()
    with pytest.raises(InputFault, match=r"metrics\.csv.*melstack stack"):
        write_card(run, run.level2 / "default")
    assert not (run.folder / "model_card.md").exists()


def test_what_may_have_been_read_as_it_was_not_meant_is_a_limit(run: Run) -> None:
    mark = read_json(run.cases_mark)
    mark["summary"] = [*mark.get("summary", []), "warning: train.csv: no patients", "train.csv: a repair"]
    write_json(run.cases_mark, mark)
    networks = {"b5": {"notes": ["WARNING: the row order cannot be confirmed", "5 folds"], "refusal": []}}
    write_json(run.folder / "foreign.json", {"networks": networks})
    text = card_of(run)
    assert "- train.csv: no patients\n" in text
    assert "- b5: the row order cannot be confirmed\n" in text
    assert "a repair" not in text
