"""Write the report: read the stack, fill the templates, write one page."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.cases.fold_design.record import FoldRecord
from features.leaks.findings import BLOCKING, RESOLVED_LEAK, WARNING
from level2_stack.crossval.ablation import COLUMNS, MIN_LEAK_LOSS, NETWORK_PARTS
from level2_stack.evaluation.auc import Floats
from level2_stack.evaluation.partitions import describe_repeats
from level2_stack.foreign.messages import import_warnings
from level2_stack.thresholds.operating_point import point_of_subgroups
from melstack.report.charts import Scale, auc_scale, rate_scale, scale_over
from melstack.report.column_words import sentence_words
from melstack.report.rendering import render
from melstack.report.run_page import headline, origins
from melstack.report.run_page.attachments import Explanations, read_audit, read_explanations
from melstack.report.run_page.gallery_section import PictureSources, Sheet, read_galleries
from melstack.report.run_page.inputs import StackResults, read_stack
from melstack.report.run_page.learning import learning_section
from melstack.report.run_page.modes import modes
from melstack.report.run_page.next_section import read_next
from melstack.report.run_page.slider import slider_of
from melstack.report.run_page.thresholds import line_styles, referral_chart, threshold_charts
from melstack.report.stack_parts import older_part, other_stacks, page_commands
from runtime.command_record import command_uses, read_commands
from runtime.files import write_text
from runtime.run_folder import Run

TEMPLATES = Path(__file__).parent / "templates"
FOLD_COLUMN = r"^auc_fold_\d+$"
SEVERITY_TONES = {
    BLOCKING: "bad",
    WARNING: "bad",
    RESOLVED_LEAK: "good",
}  # severity of a leak -> class in the style sheet
MAX_COLUMNS = 20  # shown of the SHAP summary


def make_report(run: Run, recipe: str, changes: Sequence[str] = ()) -> Path:
    """Write report.html of ``run`` from its stack ``recipe``, and return its path.

    ``changes`` are sentences on what has changed since the stack was made; the page shows them. Raises InputFault that
    lists all missing files of the stack.
    """
    stack = read_stack(run, recipe)
    path = run.folder / "report.html"
    write_text(path, render("page.html", page_values(stack, changes), TEMPLATES))
    return path


def page_values(stack: StackResults, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Return everything that the page shows of a stack, by the names that the templates use."""
    run, networks = stack.run, sorted(map(str, stack.networks))
    curves, without_curves = learning_section(run, networks)
    next_steps, older_next = read_next(stack)
    return {
        "title": run.folder.resolve().name,
        "stack": stack,
        "changes": list(changes),
        "other_stacks": other_stacks(run, stack.recipe),
        "prediction": headline.prediction_sentence(stack),
        "auc": headline.headline_auc(stack),
        "verdict": headline.verdict(stack.board, stack.headline, stack.submission, stack.decisions.get("preferred")),
        "cards": headline.cards(stack),
        "slider": slider_of(stack),
        "threshold_charts": threshold_charts(stack),
        "referral_chart": referral_chart(stack),
        "conformal": _conformal(stack),
        "line_styles": line_styles(stack),
        "max_columns": MAX_COLUMNS,
        "picture_sources": PictureSources(run),
        "has_pictures": bool(run.facts().get("pictures")),
        "audit": read_audit(run, stack.recipe),
        "severity_tones": SEVERITY_TONES,
        "audit_sheet": _sheet(run.folder / "leaks.png", "The pairs, side by side"),
        "curves": curves,
        "without_curves": without_curves,
        "next_steps": next_steps,
        "older_next": older_next,
        **_explanations(stack),
        **_tables(stack),
        **_origins(stack, networks),
    }


def _explanations(stack: StackResults) -> dict[str, Any]:
    """Return the explanations and galleries, and what the page says instead of those of another stack."""
    explanations, index = read_explanations(stack.run, stack.recipe), read_galleries(stack.run)
    commands = page_commands(stack.run, stack.recipe)
    parts = {"explanations": explanations, "galleries": index}
    older = {
        name: None if part is None else older_part(name, part.stack, stack.digest, commands["explain"])
        for name, part in parts.items()
    }
    return {
        "explanations": None if older["explanations"] else explanations,
        **_share_scales(explanations),
        "galleries": [] if index is None or older["galleries"] else index.galleries,
        "older": older,
        "commands": commands,
    }


def _share_scales(explanations: Explanations | None) -> dict[str, Scale]:
    families, columns = (explanations.families, explanations.columns) if explanations else ([], [])
    largest = max((column.mean_abs for column in columns), default=0.0) or 1.0
    return {
        "family_scale": rate_scale(max((family.share for family in families), default=1.0), "share of all families"),
        "column_scale": Scale(0.0, largest, label="mean absolute SHAP value in log odds"),
    }


def _auc_scale(stack: StackResults) -> Scale:
    """Return the scale that the AUCs of models and of subgroups share."""
    board, groups = stack.tables["leaderboard"], stack.tables["subgroups"]
    columns = [board["low"], board["high"], groups["auc_low"], groups["auc_high"]]
    return auc_scale(*(column.to_numpy(dtype=np.float64) for column in columns))


def _shift_scale(shift: pd.DataFrame) -> Scale:
    """Return the scale of the AUC of training rows against test rows; chance (0.5) is always on it."""
    limits = [shift[name].to_numpy(dtype=np.float64) for name in ("low", "high") if name in shift]
    return replace(auc_scale(np.array([0.5]), *limits), label="AUC, training against test")


def _weight_scale(stack: StackResults) -> Scale:
    weights = [
        weight for weight_of in stack.decisions.get("network_weights", {}).values() for weight in weight_of.values()
    ]
    return Scale(0.0, max([abs(weight) for weight in weights] or [1.0]) or 1.0, label="weight")


def _sheet(path: Path, title: str) -> Sheet | None:
    return Sheet(title, path) if path.is_file() else None


def _tables(stack: StackResults) -> dict[str, Any]:
    board, groups = stack.tables["leaderboard"], stack.tables["subgroups"]
    folds = board.filter(regex=FOLD_COLUMN)
    names = [name for name in stack.board.index if name in stack.networks]
    scores = pd.DataFrame({name: stack.score(name) for name in names})
    correlation = correlation_of(scores, stack.y)
    return {
        "board": board.assign(lowest=folds.min(axis=1), highest=folds.max(axis=1)).to_dict("records"),
        "repeats": _repeats(stack),
        "folds_meaning": record.meaning if (record := FoldRecord.of(stack.run.facts())).column else "",
        "auc_scale": _auc_scale(stack),
        "shift_scale": _shift_scale(stack.tables["shift"]),
        "weight_scale": _weight_scale(stack),
        "metrics": _metrics(stack.tables["metrics"]),
        "correlation": correlation,
        "heat_scale": heat_scale(correlation),
        "ablation": _ablation(stack),
        "shift": stack.tables["shift"].to_dict("records"),
        "shift_threshold": stack.decisions["recipe"].get("shift_threshold", 0.6),
        "subgroups": groups.to_dict("records"),
        "subgroup_point": point_of_subgroups(stack.operating_points) if stack.operating_points else None,
        "calibration": stack.tables["calibration"].to_dict("records"),
    }


def _repeats(stack: StackResults) -> str:
    """Return the sentence on the AUC over partitions of the patients; "" if the stack has only one."""
    if "repeats" not in stack.tables:
        return ""
    models = (stack.headline, stack.submission)
    return describe_repeats(stack.tables["repeats"], models, stack.board["auc_seed_std"])


def _metrics(table: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Return metric -> model -> row, both in the order of ``table``."""
    metrics: dict[str, dict[str, dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        metrics.setdefault(str(row["metric"]), {})[str(row["model"])] = {str(key): value for key, value in row.items()}
    return metrics


def _conformal(stack: StackResults) -> list[dict[Hashable, Any]]:
    return stack.tables.get("conformal", pd.DataFrame()).to_dict("records")


def _ablation(stack: StackResults) -> dict[str, Any] | None:
    if "ablation" not in stack.tables:
        return None
    table = stack.tables["ablation"].reindex(columns=["part", *COLUMNS])  # a stack of an older version may lack some
    best = float(stack.board["auc"][stack.best_network])
    beside_networks = ~table["part"].isin(NETWORK_PARTS)
    suspect = beside_networks & ((table["strongest_low"] > best) | (table["low"] > MIN_LEAK_LOSS))
    scale = scale_over(table["low"].to_numpy(), table["high"].to_numpy(), zero=0.0, label="loss of AUC")
    return {"rows": table.assign(suspect=suspect).to_dict("records"), "scale": scale}


def _origins(stack: StackResults, networks: Sequence[str]) -> dict[str, Any]:
    return {
        "summary": [
            *map(sentence_words, stack.run.facts()["summary"]),
            *(f"warning: {text}" for text in import_warnings(stack.run.folder)),
        ],
        "data": stack.run.facts().get("data", ""),
        "origins": origins.origins(stack.run, stack.recipe, networks),
        "modes": modes(stack.run, stack.recipe, networks),
        "command_uses": command_uses(read_commands(stack.run.folder)),
        "settings": list(origins.flatten(stack.decisions["recipe"])),
        "versions": origins.versions(),
        "machine": origins.machine(),
        "build_time": origins.now(),
    }


def correlation_of(scores: pd.DataFrame, y: Floats, min_rows: int = 3) -> pd.DataFrame:
    """Return Spearman's correlation of every two columns of ``scores`` (n x models) among the negatives of ``y`` (n,).

    Over all rows two good models correlate because both predict the target. Among the negatives the correlation shows
    how similar their errors are; the less similar, the more a stack can gain. NaN with fewer than ``min_rows`` rows in
    common.
    """
    table: pd.DataFrame = scores[y == 0].corr(method="spearman", min_periods=min_rows)
    return table


def heat_scale(correlation: pd.DataFrame) -> Scale:
    """Return the scale of the heat map: from a tenth below the lowest correlation of two networks up to 1."""
    values = correlation.to_numpy(dtype=np.float64)
    pairs = values[~np.eye(len(values), dtype=bool) & ~np.isnan(values)]
    return Scale(np.floor(10 * float(pairs.min())) / 10 - 0.1 if len(pairs) else 0.0, 1.0)
