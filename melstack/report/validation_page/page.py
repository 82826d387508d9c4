"""Write the page of a validation: one file with tables, charts and the hardest errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.auc import Floats
from level2_stack.thresholds.operating_point import point_of_subgroups
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import bundle_digest
from melstack.report.charts import Axis, Band, Bar, Chart, Line, auc_scale
from melstack.report.column_words import HARDEST_BENIGN, HARDEST_MALIGNANT, ColumnWords, metric_words
from melstack.report.data_page.sheet import describe_case, tile_source
from melstack.report.rendering import render
from melstack.report.run_page.origins import now
from melstack.report.run_page.thresholds import RARE, precision_line, roc_line, round_up
from melstack.validation.drift import unusual_share
from melstack.validation.measures import Validation
from melstack.validation.skin_tone import KIND as TONE
from melstack.validation.summary import update_sentence
from runtime.files import write_text
from runtime.plural import number_of

PAGE = "validation.html"
Row = Mapping[Any, Any]  # of a table
MAX_DRIFT = 25  # columns that are shown before a click
DOMAINS = {  # of performance -> metrics
    "Discrimination": ("auc", "auc_delong", "partial_auc_above_80_sensitivity", "average_precision"),
    "Calibration": ("slope", "intercept", "in_the_large", "observed_expected", "ece"),
    "Overall performance": ("brier", "scaled_brier", "log_loss"),
}


def write_page(validation: Validation, bundle: Bundle, data: Path, out: Path) -> Path:
    """Write validation.html into ``out`` and return its path; ``data`` is the folder of the labelled cases."""
    path = out / PAGE
    write_text(path, render("validation.html", page_values(validation, bundle, data), Path(__file__).parent))
    return path


def page_values(validation: Validation, bundle: Bundle, data: Path) -> dict[str, Any]:
    """Return everything that the page shows, by the names that its template uses."""
    cases, rows = validation.cases, {row["metric"]: row for row in validation.measures.to_dict("records")}
    subgroups = validation.subgroups
    return {
        "title": f"{bundle.name} on {data.resolve().name}",
        "bundle": bundle.name,
        "digest": bundle_digest(bundle.folder),
        "data": data.resolve().name,
        "auc": rows["auc"],
        "verdict": verdict(rows["auc"]),
        "counts": _counts(validation),
        "prevalences": {"bundle": bundle.facts.get("prevalence"), "here": float(cases.y.mean())},
        "notes": cases.notes,
        "cautions": validation.cautions,
        "flow": cases.flow.to_dict("records"),
        "domains": _domains(rows),
        "has_reference": validation.reference is not None,
        "charts": charts(validation),
        "curve": validation.calibration,
        "thresholds": validation.thresholds.to_dict("records"),
        "subgroups": subgroups.to_dict("records"),
        "subgroup_point": point_of_subgroups(bundle.operating_points) if bundle.operating_points else None,
        "auc_scale": auc_scale(subgroups["auc_low"].to_numpy(), subgroups["auc_high"].to_numpy()),
        "has_tone_estimate": bool((subgroups["kind"] == TONE).any()),
        "drift": _drift(validation, bundle.words),
        "max_drift": MAX_DRIFT,
        "unusual_share": unusual_share(cases.predictions.table["unusual"]),
        "errors": _errors(validation, data),
        "precision": validation.precision.to_dict("records"),
        "update": update_sentence(validation),
        "update_kind": None if validation.update is None else validation.update.kind,
        "build_time": now(),
    }


def verdict(auc: Row) -> dict[str, str]:
    """Return tone, title and sentence on whether the AUC of the training run holds for these cases."""
    difference, low, high = (auc[f"difference{end}"] for end in ("", "_low", "_high"))
    if difference != difference:
        text = "The bundle does not remember the figures of its run: an earlier version wrote it."
        return {"tone": "unclear", "title": "No figures to compare with", "sentence": text}
    sentence = f"The difference from the AUC out of fold in training is {difference:+.3f}"
    if low != low:
        return {"tone": "unclear", "title": "Too few patients to tell", "sentence": f"{sentence}, without limits."}
    sentence += f" [{low:+.3f}, {high:+.3f}]."
    if high < 0:
        return {"tone": "bad", "title": "The AUC is lower here than in training", "sentence": sentence}
    if low > 0:
        return {"tone": "good", "title": "The AUC is higher here than in training", "sentence": sentence}
    title = "No difference from training beyond chance"
    return {"tone": "unclear", "title": title, "sentence": f"{sentence} An interval this wide may hide one."}


def _counts(validation: Validation) -> str:
    cases = validation.cases
    positives = int(cases.y.sum())
    patients = number_of(len(set(cases.groups)), "patient") if cases.has_patients else "an unknown number of patients"
    return (
        f"{number_of(len(cases.table), 'picture')} of {patients}, {positives:,} malignant "
        f"({100 * cases.y.mean():.1f} %), none of them a training case of the bundle."
    )


def _domains(rows: Mapping[str, Row]) -> dict[str, list[Row]]:
    """Return domain -> rows of measures with their words; the domains are those of Van Calster et al. 2025."""
    return {
        domain: [{**rows[name], "words": metric_words(name)} for name in names if name in rows]
        for domain, names in DOMAINS.items()
    }


def charts(validation: Validation) -> list[Chart]:
    """Return the charts of the page: ROC, precision and recall, calibration, decision curve."""
    y, p = validation.cases.y, validation.cases.probability
    return [_roc(y, p), _precision(y, p), _calibration(validation), _decision(validation)]


def _roc(y: Floats, p: Floats) -> Chart:
    chance = Line("chance", "guide", np.array([[0.0, 0.0], [1.0, 1.0]]))
    line = Line("bundle", "first", roc_line(y, p))
    return Chart("ROC", Axis("1 − specificity", 0, 1), Axis("sensitivity", 0, 1), [chance, line])


def _precision(y: Floats, p: Floats) -> Chart:
    share = float(y.mean())
    prevalence = Line("prevalence", "guide", np.array([[0.0, share], [1.0, share]]))
    line = Line("bundle", "first", precision_line(y, p, np.ones_like(y)))
    x, axis = Axis("sensitivity (recall)", 0, 1), Axis("PPV (precision)", 0, 1)
    return Chart("Precision and recall", x, axis, [prevalence, line])


def _calibration(validation: Validation) -> Chart:
    table, smooth = validation.reliability, validation.calibration
    values = [float(table[["mean_probability", "observed"]].max().max())]
    if smooth is not None:
        values.append(float(smooth.curve[["probability", "observed"]].max().max()))
    high = round_up(min(1.0, max(values)))
    rare = float(table["mean_probability"].median()) < RARE
    x = Axis("predicted probability", 0, high, is_square_root=rare, percent=True)
    axis = Axis("observed share", 0, high, is_square_root=rare, percent=True)
    lines = [Line("perfectly calibrated", "guide", np.array([[0.0, 0.0], [high, high]]))]
    bands = []
    if smooth is not None:
        lines.append(Line("smooth curve", "first", smooth.curve[["probability", "observed"]].to_numpy()))
        bands = _bands(smooth.curve[["probability", "low", "high"]])
    bars = [
        Bar(
            row["mean_probability"],
            row["observed"],
            row["observed_low"],
            row["observed_high"],
            f"{number_of(row['rows'], 'picture')}: predicted {100 * row['mean_probability']:.2f} %, observed "
            f"{100 * row['observed']:.2f} %",
        )
        for row in table.to_dict("records")
    ]
    note = "Points: tenths of the pictures. Line and band: restricted cubic spline, patients resampled."
    return Chart("Calibration", x, axis, lines, bars, note=note, bands=bands)


def _decision(validation: Validation) -> Chart:
    curve, share = validation.decision_curve, float(validation.cases.y.mean())
    high = float(curve["threshold"].max())
    x = Axis("threshold probability", 0, high, percent=True)
    cases = 1 if share > RARE else 1000
    label = "net benefit per case" if cases == 1 else f"net benefit per {number_of(cases, 'case')}"
    axis = Axis(label, -0.25 * share, 1.1 * share, label_factor=cases)
    lines = [
        Line("none predicted malignant", "axis", np.array([[0.0, 0.0], [high, 0.0]])),
        Line("all predicted malignant", "guide", curve[["threshold", "all"]].to_numpy()),
        Line("bundle", "first", curve[["threshold", "net_benefit"]].to_numpy()),
    ]
    bands = _bands(curve[["threshold", "net_benefit_low", "net_benefit_high"]])
    note = "Blue: the bundle; grey: all predicted malignant; axis: none. Band: patients resampled."
    return Chart("Decision curve", x, axis, lines, note=note, bands=bands)


def _bands(table: pd.DataFrame) -> list[Band]:
    """Return the band of a table (x, low, high), none without limits."""
    return [] if table.iloc[:, 1:].isna().all(axis=None) else [Band("95 %", "first", table.to_numpy())]


def _drift(validation: Validation, words: ColumnWords) -> list[Row]:
    rows = validation.drift.to_dict("records")
    names = [f"{row['block']}.{row['column']}" if row["column"] else str(row["block"]) for row in rows]
    return [{**row, "name": name, "words": words.column(name)} for row, name in zip(rows, names, strict=True)]


def _errors(validation: Validation, data: Path) -> dict[str, list[Row]]:
    """Return title -> hardest cases, each with its picture as a data URI (None without one)."""
    table = validation.cases.table
    titles = {1.0: HARDEST_MALIGNANT, 0.0: HARDEST_BENIGN}
    groups: dict[str, list[Row]] = {title: [] for title in titles.values()}
    for row in validation.errors.to_dict("records"):
        picture = table["picture"].get(row["image_name"]) if "picture" in table else None
        source = None if pd.isna(picture) else tile_source(data / str(picture))
        groups[titles[row["target"]]].append(
            {**row, "source": source, "about": describe_case(table.loc[row["image_name"]])}
        )
    return groups
