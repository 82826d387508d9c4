"""The tables of results of a paper, from the tables of the stack: leaderboard, paired tests, measures, subgroups."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from level2_stack.thresholds.operating_point import point_of_subgroups
from melstack.report.column_words import model_words, with_raw_name
from melstack.report.formats import is_known, metric_label, number, percent, too_few
from melstack.report.model_card.writing import records
from melstack.report.paper.text_tables import PaperTable, count_and_share, figures, interval, p_value, rows_by_name
from melstack.report.run_page.headline import headline_auc
from melstack.report.run_page.inputs import StackResults

GAINS = ("gain", "low", "high")
PATIENTS = "95 % intervals: percentiles over resampled patients."


def result_tables(stack: StackResults) -> list[PaperTable]:
    """Return the leaderboard, the paired tests, the measures, the calibration and the subgroups of a stack."""
    return [
        leaderboard_table(stack),
        paired_table(stack),
        measures_table(stack),
        calibration_table(stack),
        subgroups_table(stack),
    ]


def model_name(stack: StackResults, name: str) -> str:
    """Return a model of the leaderboard in words with its raw name."""
    return with_raw_name(model_words(stack.words.network(name)), name)


def leaderboard_table(stack: StackResults) -> PaperTable:
    """Return the AUC of every model, best first, and what the headline gains over it."""
    board = stack.board
    rows = [
        [
            model_name(stack, name),
            interval(row["auc"], row["low"], row["high"]),
            "reference"
            if name == stack.headline
            else interval(row["gain"], row["gain_low"], row["gain_high"], sign=True),
            f"{number(row['auc_fold_mean'])} ({number(low, 3)} to {number(high, 3)})",
            f"{int(row['rows']):,}",
        ]
        for (name, row), (low, high) in zip(rows_by_name(board).items(), _fold_ranges(board), strict=True)
    ]
    head = ["Model", "AUC (95 %)", f"Gain of {stack.headline} (95 %)", "Mean of folds (range)", "Pictures"]
    note = (
        f"Out of fold, patients kept together. {PATIENTS} Gain: AUC of {stack.headline} minus that of the row, on the "
        "same pictures and the same resampled patients. Models of level two are evaluated by nested cross-validation."
        f"{without_shift_words(stack)}"
    )
    return PaperTable("leaderboard", "Discrimination of all models.", head, rows, board.reset_index(), note)


def without_shift_words(stack: StackResults) -> str:
    """Return a sentence with the AUC of the stack without the networks that shift, which is the one to quote, or ""."""
    if stack.smaller is None:
        return ""
    names = ", ".join(stack.smaller["networks"])
    return f" Scores of {names} shift from training to test; without them the AUC is {interval(*headline_auc(stack))}."


def _fold_ranges(board: pd.DataFrame) -> Iterator[tuple[float, float]]:
    folds = board.filter(regex=r"^auc_fold_\d+$")
    return zip(folds.min(axis=1), folds.max(axis=1), strict=True)


def paired_table(stack: StackResults) -> PaperTable:
    """Return the paired tests of the headline against every other model, in the order of the leaderboard."""
    tests = headline_tests(stack.tables["paired"], stack.headline).set_index("against", drop=False)
    order = [name for name in stack.board.index if name in tests.index]
    values = tests.loc[order].reset_index(drop=True)
    rows = [
        [
            model_name(stack, row["against"]),
            number(row["auc_against"]),
            interval(row["gain"], row["low"], row["high"], sign=True),
            p_value(row["p_bootstrap"]),
            figures(row["z_delong"], 2),
            p_value(row["p_delong"]),
            f"{int(row['rows']):,}",
        ]
        for row in records(values)
    ]
    head = ["Against", "AUC", "Difference (95 %)", "p, bootstrap", "z, DeLong", "p, DeLong", "Pictures"]
    note = (
        f"Difference: AUC of {stack.headline} minus that of the row, on the pictures that both have. Bootstrap: "
        "patients resampled; its p is never below 2 / (number of draws + 1). DeLong et al. 1988: treats the pictures "
        f"of a patient as independent. Two-sided, not corrected for {len(rows)} comparisons. All pairs of models: "
        f"level2/{stack.recipe}/paired.csv of the run."
    )
    caption = f"Paired tests of {model_name(stack, stack.headline)} against every other model."
    return PaperTable("paired_tests", caption, head, rows, values, note)


def headline_tests(tests: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Return the rows of ``tests`` with ``headline``, which becomes the first model of each: signs are exchanged."""
    first, second = tests[tests["model"] == headline], tests[tests["against"] == headline]
    exchange = second.assign(
        model=second["against"],
        against=second["model"],
        auc=second["auc_against"],
        auc_against=second["auc"],
        gain=0.0 - second["gain"],  # 0 stays 0, not -0
        low=0.0 - second["high"],
        high=0.0 - second["low"],
        z_delong=0.0 - second["z_delong"],
    )
    return pd.concat([first, exchange], ignore_index=True)


def measures_table(stack: StackResults) -> PaperTable:
    """Return the clinical measures of the headline, of the submitted model, the rank mean and the best network."""
    table = stack.tables["metrics"]
    models = list(dict.fromkeys(table["model"]))
    of_metric: dict[str, dict[str, dict[str, Any]]] = {}
    for row in records(table):
        of_metric.setdefault(metric_label(row), {})[row["model"]] = row
    rows = [
        [label, *(_measure(by_model[name]) if name in by_model else number(None) for name in models)]
        for label, by_model in of_metric.items()
    ]
    head = ["Measure", *(model_name(stack, str(name)) for name in models)]
    note = f"Out of fold. {PATIENTS} Values in brackets are these limits."
    return PaperTable("measures", "Performance measures of the main models.", head, rows, table, note)


def _measure(row: dict[str, Any]) -> str:
    return interval(row["value"], row["low"], row["high"], 0 if str(row["metric"]).endswith("hits") else 3)


def calibration_table(stack: StackResults) -> PaperTable:
    """Return the calibration of every model of level two, before and after calibration."""
    table = stack.tables["calibration"]
    columns = {"log_loss": 5, "brier": 5, "ece": 4, "slope": 3, "intercept": 3, "in_the_large": 3}
    rows = [
        [
            model_name(stack, str(row["model"])),
            *(figures(row.get(name), digits) for name, digits in columns.items()),
            percent(row["mean_probability"]),
            percent(row["observed"]),
        ]
        for row in records(table)
    ]
    head = ["Model", "Log loss", "Brier score", "ECE", "Slope", "Intercept", "In the large", "Predicted", "Observed"]
    note = (
        f"Out of fold, at a prevalence of {percent(stack.prevalence)}. ECE: expected calibration error, 15 bins of "
        "equal count. Slope 1, intercept 0 and calibration in the large 0 are ideal (Cox 1958)."
    )
    return PaperTable("calibration", "Calibration of the probabilities.", head, rows, table, note)


def subgroups_table(stack: StackResults) -> PaperTable:
    """Return the performance of the headline in every subgroup."""
    table = stack.tables["subgroups"]
    rows = [
        [
            subgroup_name(row),
            f"{int(row['rows']):,}",
            count_and_share(row["positives"], row["rows"]),
            f"{int(row['patients']):,}",
            too_few(row) or interval(row["auc"], row["auc_low"], row["auc_high"], 3),
            *(
                interval(row[name], row[f"{name}_low"], row[f"{name}_high"], 3)
                for name in ("sensitivity", "specificity")
            ),
            interval(row["excess"], row["excess_low"], row["excess_high"], 4, sign=True),
        ]
        for row in records(table)
    ]
    head = ["Subgroup", "Pictures", "Malignant", "Patients", "AUC", "Sensitivity", "Specificity", "Excess"]
    note = (
        f"Model {model_name(stack, stack.headline)}, out of fold. {PATIENTS} No interval where fewer than ten patients "
        f"have a malignant, or a benign, picture. {common_threshold_words(stack)} Excess: mean probability minus "
        f"observed share, at a prevalence of {percent(prevalence_of_subgroups(stack))}."
    )
    return PaperTable("subgroups", "Subgroups.", head, rows, table, note)


def common_threshold_words(stack: StackResults) -> str:
    """Return a sentence on the threshold at which all subgroups are compared."""
    threshold = f"({figures(float(stack.tables['subgroups']['threshold'].iloc[0]))})"
    if not stack.operating_points:
        return f"One threshold {threshold} for all, at which 90 % of the malignant pictures are predicted malignant."
    name = point_of_subgroups(stack.operating_points).name
    return f"One operating point for all, {name} {threshold}; each fold is at the threshold that its inner folds chose."


def prevalence_of_subgroups(stack: StackResults) -> float:
    """Return the prevalence for which the subgroups' probabilities hold: in older stacks that of the training rows."""
    return stack.prevalence if stack.operating_points else float(stack.y.mean())


def subgroup_name(row: dict[str, Any]) -> str:
    """Return a subgroup in words: "sex: female"; "all pictures"."""
    value = row["value"] if is_known(row["value"]) else "missing"
    return "all pictures" if row["kind"] == "all" else f"{row['kind']}: {value}"
