"""The results of a stack: the tables that are written, and the lines that are printed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.leaks.findings import Finding
from level2_stack.calibration.reliability import calibration_report, class_weights, log_loss_gain, reliability_curve
from level2_stack.crossval import ablation
from level2_stack.crossval.choose import Preference
from level2_stack.crossval.decide import StackResult
from level2_stack.crossval.nested import CrossValidation, TunedParams
from level2_stack.design.assemble import Design
from level2_stack.evaluation.metrics import clinical_metrics
from level2_stack.evaluation.paired import compare
from level2_stack.evaluation.partitions import describe_repeats
from level2_stack.recipe import CHOICE, Recipe
from level2_stack.results.leaderboard import print_leaderboard
from level2_stack.results.smaller_stack import SmallerStack
from level2_stack.results.stack_leaks import stack_leaks
from level2_stack.thresholds.freeze import freeze_thresholds, nested_rows
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
from level2_stack.thresholds.operating_point import write_operating_points
from level2_stack.thresholds.tables import threshold_tables
from runtime.files import write_json, write_text
from runtime.progress import detail, say
from runtime.tables import write_table


@dataclass(frozen=True)
class Findings:
    """All results of one recipe over one run; ``ablation`` is None where the recipe switches it off."""

    design: Design
    recipe: Recipe
    cross_validation: CrossValidation
    result: StackResult
    board: pd.DataFrame
    shift: pd.DataFrame
    ablation: pd.DataFrame | None
    tuned_params: TunedParams
    smaller: SmallerStack | None  # without the networks that shift; None if no network does
    repeats: pd.DataFrame | None = None  # the AUCs over other partitions of the patients, if the recipe asks for them

    @property
    def leaks(self) -> list[Finding]:
        """The findings of the leak audit that only this stack shows."""
        best = float(self.board["auc"][self.best_network])
        leaky_blocks = {} if self.ablation is None else ablation.leak_sentences(self.ablation, best)
        return stack_leaks(self.board, self.result.headline, self.smaller, leaky_blocks)

    @property
    def best_network(self) -> str:
        """Return the network with the highest out-of-fold AUC."""
        return str(self.board.index[self.board["kind"] == "network"][0])


def write_findings(
    folder: Path, findings: Findings, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]
) -> None:
    """Write the results of a stack into ``folder``:

    * predictions.parquet, with the columns of a level-one table: probability of the submitted model, spread (standard
      deviation over the blended learners), fold;
    * learners.parquet: the calibrated probability of every learner, the blend and the choice; uncalibrated.parquet;
    * leaderboard, metrics, paired, subgroups, risk_coverage, conformal, calibration, reliability, shift, ablation and
      repeats, all .csv;
    * decisions.json: what was chosen for every outer fold, and why;
    * findings.json: the findings of the leak audit that only a stack shows;
    * thresholds.json: the operating points, chosen on inner folds and measured on outer ones.
    """
    result, design = findings.result, findings.design
    write_table(folder / "learners.parquet", result.probability)
    write_table(folder / "uncalibrated.parquet", result.raw_probability)
    write_table(folder / "predictions.parquet", _predictions(findings, cases))
    rows = design.train.index
    networks = {name: predictions[name]["probability"].loc[rows] for name in design.networks}
    train = pd.concat([result.probability.loc[rows], pd.DataFrame(networks)], axis=1)
    models = dict.fromkeys([result.headline, result.submitted_model, "rank_mean", findings.best_network])
    rows_of_folds = nested_rows(design, findings.recipe, result, findings.cross_validation.folds)
    points = freeze_thresholds(rows_of_folds, findings.recipe)
    tables = {
        "leaderboard": findings.board,
        "metrics": clinical_metrics(
            design.y,
            train[[name for name in models if name in train]],
            design.groups,
            prevalence=findings.recipe.calibration.prevalence,
        ),
        "paired": compare(design.y, train, design.groups, replicates=500),
        **threshold_tables(rows_of_folds, points, cases.loc[rows], findings.recipe.thresholds.conformal_coverage),
        "calibration": calibration_table(findings),
        "reliability": _reliability(findings),
        "shift": findings.shift,
    }
    optional = {"ablation": findings.ablation, "repeats": findings.repeats}
    tables |= {name: table for name, table in optional.items() if table is not None}
    for name in optional:  # an earlier recipe of this name may have written one
        (folder / f"{name}.csv").unlink(missing_ok=True)
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=table.index.name is not None))
    write_json(folder / "decisions.json", decisions(findings))
    write_json(folder / "findings.json", {"findings": [finding.facts() for finding in findings.leaks]})
    write_operating_points(folder / THRESHOLDS, points)


def print_findings(folder: Path, findings: Findings) -> None:
    """Print the leaderboard, the choices, the ablation, the calibration and the clinical metrics of a stack."""
    result = findings.result
    print_leaderboard(findings.board, result.headline)
    for line in _choice_lines(findings):
        detail(line)
    if findings.ablation is not None:
        best = float(findings.board["auc"][findings.best_network])
        for line in ablation.describe_losses(findings.ablation, best):
            detail(f"  {line}")
    if findings.repeats is not None:
        models = (result.headline, result.submitted_model)
        say(f"level two: {describe_repeats(findings.repeats, models, findings.board['auc_seed_std'])}")
    detail(_calibration_line(folder, findings))
    for line in _clinical_lines(folder, findings):
        detail(line)


def decisions(findings: Findings) -> dict[str, Any]:
    """Return the content of decisions.json: the submitted model, and the choices made for each outer fold."""
    result, cross_validation = findings.result, findings.cross_validation
    preference = result.preference
    return {
        "submitted": result.submitted_model,
        "headline": result.headline,
        "preferred": None if preference is None else _preference_to_json(preference),
        "chosen_by_fold": [_preference_to_json(each) for each in result.fold_preferences],
        "columns": list(findings.design.X.columns),
        "rounds": cross_validation.stage,
        "blend_weights": result.blend_weights,
        "network_weights": cross_validation.weights,
        "calibrators": {
            name: [{"name": each.name, "log_loss": each.log_loss, **each.calibrator.parameters()} for each in by_fold]
            for name, by_fold in result.calibrators.items()
        },
        "tuned": {
            f"{learner}, fold {fold}": params.model_dump() for (learner, fold), params in findings.tuned_params.items()
        },
        "recipe": findings.recipe.facts(),
        "without_shift": None if findings.smaller is None else findings.smaller.facts(),
    }


def _preference_to_json(preference: Preference) -> dict[str, Any]:
    """Return the fields of a preference and the model it chose; its gains are None without a rank mean."""
    values = asdict(preference) | {"chosen": preference.choice}
    return {key: None if value != value else value for key, value in values.items()}


def calibration_table(findings: Findings) -> pd.DataFrame:
    """Return the calibration measures of every model, calibrated and uncalibrated, at the deployment prevalence."""
    design, train = findings.design, findings.design.train.index
    probability, raw = findings.result.probability.loc[train], findings.result.raw_probability.loc[train]
    models = {str(name): column.to_numpy() for name, column in probability.items()}
    models |= {f"{name}, uncalibrated": column.to_numpy() for name, column in raw.items()}
    return calibration_report(design.y, models, _weights(findings)).rename_axis("model")


def _weights(findings: Findings) -> NDArray[np.float64] | None:
    prevalence = findings.recipe.calibration.prevalence
    return None if prevalence is None else class_weights(findings.design.y, prevalence)


def _predictions(findings: Findings, cases: pd.DataFrame) -> pd.DataFrame:
    probability = findings.result.probability
    columns = {
        "probability": probability[findings.result.submitted_model],
        "spread": probability[findings.recipe.blend].std(axis=1, ddof=0),
        "fold": cases["fold"].reindex(probability.index).astype("int8"),
    }
    return pd.DataFrame(columns)


def _reliability(findings: Findings) -> pd.DataFrame:
    score = findings.result.probability.loc[findings.design.train.index, findings.result.headline].to_numpy()
    return reliability_curve(findings.design.y, score, _weights(findings))


def _choice_lines(findings: Findings) -> Iterator[str]:
    result = findings.result
    if result.preference is None:
        yield f"submitted: {result.submitted_model}, as set in the recipe"
    else:
        by_fold = ", ".join(each.choice for each in result.fold_preferences)
        name, aucs = result.submitted_model, findings.board["auc"]
        yield f"submitted: {name}; {result.preference.sentence()}"
        yield f"AUC to quote: {aucs[CHOICE]:.4f}, row {CHOICE}: for each outer fold, its inner folds chose {by_fold}"
        if aucs[name] != aucs[CHOICE]:
            yield f"the row {name} has {aucs[name]:.4f}, which may be too high: the same cases chose {name}"
    for learner, weights in findings.cross_validation.weights.items():
        yield f"network weights of {learner}: " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    for learner, stages in findings.cross_validation.stage.items():
        shares = ", ".join(f"{share:.0%}" for share in stages)
        yield f"share of its rounds that {learner} uses in each outer fold: {shares}"


def _calibration_line(folder: Path, findings: Findings) -> str:
    result, design = findings.result, findings.design
    report = pd.read_csv(folder / "calibration.csv", index_col="model")
    name = result.submitted_model
    before, after = report.loc[f"{name}, uncalibrated"], report.loc[name]
    train, methods = design.train.index, {each.name for each in result.calibrators[name]}
    calibrated_p, raw_p = (table.loc[train, name].to_numpy() for table in (result.probability, result.raw_probability))
    gain = log_loss_gain(design.y, calibrated_p, raw_p, design.groups, _weights(findings))
    prevalence = findings.recipe.calibration.prevalence
    at = "" if prevalence is None else f" at a prevalence of {prevalence:.4f} (training rows: {design.y.mean():.4f})"
    return (
        f"calibration of {name} by {', '.join(sorted(methods))}{at}: log loss {after['log_loss']:.5f} "
        f"(uncalibrated {before['log_loss']:.5f}, improved by {gain.value:+.5f} [{gain.low:+.5f}, {gain.high:+.5f}]); "
        f"ECE {after['ece']:.4f} (uncalibrated {before['ece']:.4f}); Brier score {after['brier']:.5f}"
    )


def _clinical_lines(folder: Path, findings: Findings) -> Iterator[str]:
    table = pd.read_csv(folder / "metrics.csv")
    rows = table[table["model"] == findings.result.headline].set_index("metric")
    yield f"clinical metrics of {findings.result.headline}, with 95 % intervals (all models: metrics.csv):"
    for metric, row in rows.iterrows():
        digits = 0 if str(metric).endswith("hits") else 4
        yield f"  {metric} {row['value']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
