"""Put the report together: read a stack, fill the templates, write one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from level2_stack.crossval.ablation import COLUMNS, OF_NETWORKS, SURE_LOSS
from level2_stack.evaluation.auc import Floats
from melstack.report.charts import Scale, scale_over
from melstack.report.run_page import headline, origins
from melstack.report.run_page.attachments import read_audit, read_explanations
from melstack.report.run_page.formats import FILTERS
from melstack.report.run_page.gallery_section import Pictures, Sheet, read_galleries, read_sheets
from melstack.report.run_page.inputs import Artefacts, read_artefacts
from melstack.report.run_page.learning import learning_section
from melstack.report.run_page.repeatable import modes
from melstack.report.run_page.thresholds import compared, threshold_section
from runtime.files import write_text
from runtime.run_folder import Run

TEMPLATES = (Path(__file__).parent / "templates", Path(__file__).parents[1])  # parents[1]: the style sheet of all pages
FOLD_COLUMN = r"^auc_fold_\d+$"
MOST_COLUMNS = 20  # of the SHAP summary


def make_report(run: Run, recipe: str, changed: Sequence[str] = ()) -> Path:
    """Write report.html of ``run`` from its stack ``recipe``, and return where it is.

    ``changed`` are sentences on what became other since the stack was made; the page says them. Raises InputFault
    that lists whatever of the stack is not there.
    """
    found = read_artefacts(run, recipe)
    path = run.folder / "report.html"
    write_text(path, render(contents(found, changed)))
    return path


def render(values: dict[str, Any]) -> str:
    """Return the page for ``values``, the names that the templates use; every text among them is escaped."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    surroundings = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    surroundings.filters.update(FILTERS)
    return surroundings.get_template("page.html").render(values)


def contents(found: Artefacts, changed: Sequence[str] = ()) -> dict[str, Any]:
    """Return everything that the page shows of a stack, by the names that the templates use."""
    run = found.run
    learnt, without = learning_section(run)
    return {
        "title": run.folder.resolve().name,
        "found": found,
        "changed": list(changed),
        "predicted": headline.predicted(found),
        "auc": headline.headline_auc(found),
        "verdict": headline.verdict(found.board, found.headline, found.submitted, found.decisions.get("preferred")),
        "cards": headline.cards(found),
        "thresholds": threshold_section(found),
        "compared": compared(found),
        "explained": read_explanations(run, found.recipe),
        "most_columns": MOST_COLUMNS,
        "galleries": read_galleries(run),
        "sheets": read_sheets(run.folder / "galleries"),
        "drawings": Pictures(run),
        "pictures": bool(run.facts().get("pictures")),
        "audit": read_audit(run),
        "audit_sheet": _sheet(run.folder / "leaks.png", "The pairs, side by side"),
        "learnt": learnt,
        "unlearnt": without,
        **_tables(found),
        **_origins(found),
    }


def _sheet(path: Path, title: str) -> Sheet | None:
    return Sheet(title, path) if path.is_file() else None


def _tables(found: Artefacts) -> dict[str, Any]:
    board, groups = found.tables["leaderboard"], found.tables["subgroups"]
    folds = board.filter(regex=FOLD_COLUMN)
    names = [name for name in found.board.index if name in found.networks]
    scores = pd.DataFrame({name: found.score(name) for name in names})
    correlation = correlation_of(scores, found.y)
    return {
        "board": board.assign(lowest=folds.min(axis=1), highest=folds.max(axis=1)).to_dict("records"),
        "board_scale": scale_over(board["low"].to_numpy(), board["high"].to_numpy()),
        "metrics": _metrics(found.tables["metrics"]),
        "correlation": correlation,
        "heat_scale": heat_scale(correlation),
        "ablation": _ablation(found),
        "shift": found.tables["shift"].to_dict("records"),
        "shift_threshold": found.decisions["recipe"].get("shift_threshold", 0.6),
        "shift_scale": Scale(0.3, 1.0, 0.5),
        "subgroups": groups.to_dict("records"),
        "subgroup_scale": scale_over(groups["auc_low"].to_numpy(), groups["auc_high"].to_numpy()),
        "calibration": found.tables["calibration"].to_dict("records"),
    }


def _metrics(table: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Return metric -> model -> row, both in the order of ``table``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        found.setdefault(str(row["metric"]), {})[str(row["model"])] = {str(key): value for key, value in row.items()}
    return found


def _ablation(found: Artefacts) -> dict[str, Any] | None:
    if "ablation" not in found.tables:
        return None
    table = found.tables["ablation"].reindex(columns=["part", *COLUMNS])  # a stack of before may lack some
    best = float(found.board["auc"][found.best_network])
    outside = ~table["part"].isin(OF_NETWORKS)
    suspect = outside & ((table["strongest_low"] > best) | (table["low"] > SURE_LOSS))
    scale = scale_over(table["low"].to_numpy(), table["high"].to_numpy(), zero=0.0)
    return {"rows": table.assign(suspect=suspect).to_dict("records"), "scale": scale}


def _origins(found: Artefacts) -> dict[str, Any]:
    return {
        "summary": found.run.facts()["summary"],
        "data": found.run.facts().get("data", ""),
        "origins": origins.origins(found.run, found.recipe),
        "modes": modes(found.run, found.recipe),
        "settings": list(origins.flat(found.decisions["recipe"])),
        "versions": origins.versions(),
        "machine": origins.machine(),
        "built": origins.now(),
    }


def correlation_of(scores: pd.DataFrame, y: Floats, least: int = 3) -> pd.DataFrame:
    """Return Spearman's correlation of every two columns of ``scores`` (n x models) among the negatives of ``y`` (n,).

    Among all rows two good models agree because both know the target; what is left among the negatives is how alike
    they err, which is what a stack can gain from. NaN with fewer than ``least`` common rows.
    """
    table: pd.DataFrame = scores[y == 0].corr(method="spearman", min_periods=least)
    return table


def heat_scale(correlation: pd.DataFrame) -> Scale:
    """Return the scale of the heat map: from a tenth below the least correlation of two networks to 1."""
    values = correlation.to_numpy(dtype=np.float64)
    apart = values[~np.eye(len(values), dtype=bool) & ~np.isnan(values)]
    return Scale(np.floor(10 * float(apart.min())) / 10 - 0.1 if len(apart) else 0.0, 1.0)
