"""Write the data page: counts and distributions of the pictures and the case table, in one self-contained file."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from level2_stack.evaluation.subgroups import too_few_for_auc
from melstack.report.charts import Chart, Distribution, Scale, distributions, rate_scale
from melstack.report.column_words import bare_words
from melstack.report.data_page import tables
from melstack.report.data_page.acquisition import acquisition_quantities
from melstack.report.data_page.distances import distances, separations
from melstack.report.data_page.sheet import contact_tiles
from melstack.report.data_page.summary import summary_sentences
from melstack.report.formats import limits, number
from melstack.report.rendering import render
from runtime.files import write_text
from runtime.progress import say, track
from runtime.run_folder import Run
from runtime.tables import read_table

PAGE, TEMPLATE = "eda.html", "exploration.html"
CHANNELS = ("red_mean", "green_mean", "blue_mean")
MORE_STATISTICS = 5  # besides the channels: those that separate the classes best
MAX_SHIFT_CHARTS = 4  # of the numeric columns that shift most
SAMPLE = {"malignant": 300, "benign": 400, "test": 250}  # pictures to measure if the run has no statistics yet


def explore(run: Run) -> Path:
    """Write eda.html in the run's folder from its case table, picture statistics and pictures, and return its path.

    If the run has no picture statistics yet, a sample is measured for this page only. The page says in a sentence what
    the run does not have (pictures, test cases, a column). Raises InputFault if the run has no case table.
    """
    start = time.perf_counter()
    cases, facts = run.read_cases(), run.facts()
    data = Path(facts["data"])
    statistics, sample_size = _statistics(run, cases, data)
    context = _context(cases, statistics, data, run.folder.resolve().name) | {"sample_size": sample_size}
    page = render(TEMPLATE, context, Path(__file__).parent)
    out = run.folder / PAGE
    write_text(out, page)
    seconds = time.perf_counter() - start
    say(f"data page: {out}, {len(page.encode()) / 1e6:.2f} MB in {seconds:.1f} s")
    return out


def _statistics(run: Run, cases: pd.DataFrame, data: Path) -> tuple[pd.DataFrame | None, int]:
    """Return the picture statistics, and the number of pictures if they are of a sample only (else 0)."""
    if run.statistics.is_file():
        return read_table(run.statistics), 0
    if not _has_pictures(cases):
        return None, 0
    from features.pictures.scan import scan, statistics_table  # slow to import, and only needed to measure

    sample = _sample(cases[cases["picture"].notna()])
    paths = {str(name): data / picture for name, picture in sample["picture"].items()}
    scans = track(scan(paths), "measuring a sample of the pictures", len(paths))
    table = statistics_table(each for each in scans if each.fault is None)
    return (table, len(table)) if len(table) else (None, 0)


def _has_pictures(cases: pd.DataFrame) -> bool:
    return "picture" in cases and bool(cases["picture"].notna().any())


def _sample(cases: pd.DataFrame) -> pd.DataFrame:
    train = cases["role"] == "train"
    parts = {
        "malignant": cases[train & (cases["target"] == 1)],
        "benign": cases[train & (cases["target"] == 0)],
        "test": cases[cases["role"] == "test"],
    }
    return pd.concat([part.sample(min(len(part), SAMPLE[name]), random_state=0) for name, part in parts.items()])


def _context(cases: pd.DataFrame, statistics: pd.DataFrame | None, data: Path, name: str) -> dict[str, Any]:
    numbers = _numbers(cases, statistics)
    groups, sizes = tables.group_tables(cases), tables.sizes(cases)
    shifts = _shifts(cases, numbers)
    patients, quantities = tables.patients(cases), acquisition_quantities(cases, data)
    sheet, unreadable = contact_tiles(cases, data) if _has_pictures(cases) else ({}, [])
    return {
        "title": f"{name}: the data",
        "data": data.name,
        "totals": tables.totals(cases),
        "summary": summary_sentences(cases, groups, sizes, shifts.get("test", []), quantities),
        "groups": groups,
        "patients": patients,
        "sizes": sizes,
        "quantities": quantities,
        **_scales([*(group["rows"] for group in groups if group["title"] != "Diagnosis"), patients["rows"], sizes]),
        "missing": tables.missing(cases),
        "folds": tables.folds(cases),
        "shifts": shifts,
        "shift_charts": _shift_charts(cases, numbers, shifts.get("test", [])),
        "statistics": _statistic_charts(cases, statistics),
        "sheet": sheet,
        "unreadable": unreadable,
    }


def _numbers(cases: pd.DataFrame, statistics: pd.DataFrame | None) -> pd.DataFrame:
    """Return all numeric columns of the cases: metadata, sizes, pictures per patient, and the picture statistics."""
    own = cases.drop(columns=["target", "fold", "fold_group"], errors="ignore").select_dtypes("number")
    if {"width", "height"} <= set(own.columns):
        own = own.assign(megapixels=own["width"] * own["height"] / 1e6)
    counts = cases.groupby(["role", "patient_id"])["role"].transform("size")
    own = own.assign(pictures_of_patient=counts.astype("float64"))
    return own if statistics is None else own.join(statistics.reindex(own.index))


def _shifts(cases: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the distances of every column from the training cases, for the test cases and each external source."""
    texts = [name for name in tables.GROUPS if name in cases and name != "diagnosis" and name not in numbers]
    table = cases[["patient_id", *texts]].join(numbers)
    train = table[cases["role"] == "train"]
    extra = cases["role"] == "extra"
    parts = {"test": table[cases["role"] == "test"]}
    parts |= (
        {str(source): table[extra & (cases["source"] == source)] for source in cases.loc[extra, "source"].unique()}
        if extra.any()
        else {}
    )
    return {name: distances(train, part, texts) for name, part in parts.items() if len(part)}


def _scales(rate_tables: Sequence[tables.Rows]) -> dict[str, Scale]:
    """Return the scales that the bars of the page share: shares, malignant rates, and distances of distributions."""
    return {
        "whole": Scale(0.0, 1.0, label="share", percent=True),
        "rates": rate_scale(max((tables.scale(rows) for rows in rate_tables if rows), default=1.0), "malignant"),
        "distance_scale": Scale(0.0, 1.0, label="distance"),
    }


def _shift_charts(cases: pd.DataFrame, numbers: pd.DataFrame, shifts: list[dict[str, Any]]) -> list[Chart]:
    beyond = [row for row in shifts if row["kind"] == "KS" and row["distance"] > row["chance"]]
    parts = {role: numbers[cases["role"] == role] for role in ("train", "test")}
    return distributions([_shift_chart(row, parts) for row in beyond[:MAX_SHIFT_CHARTS]])


def _shift_chart(row: dict[str, Any], parts: dict[str, pd.DataFrame]) -> Distribution:
    name, note = row["name"], f"KS distance {row['distance']:.3f}"
    return Distribution(bare_words(name), name, {role: part[name] for role, part in parts.items()}, note)


def _statistic_charts(cases: pd.DataFrame, statistics: pd.DataFrame | None) -> list[Chart]:
    """Return distributions, benign against malignant, of the channels and of the statistics that separate them best."""
    if statistics is None:
        return []
    train = cases[cases["role"] == "train"]
    values = statistics.reindex(train.index).dropna(how="all")
    target = train.loc[values.index, "target"]
    rows_of = {row["name"]: row for row in separations(values, target, train.loc[values.index, "patient_id"])}
    channels = [name for name in CHANNELS if name in rows_of]
    others = [name for name in rows_of if name not in channels][:MORE_STATISTICS]
    parts = {"benign": values[target == 0], "malignant": values[target == 1]}
    return distributions([_statistic_chart(name, parts, rows_of[name]) for name in [*channels, *others]])


def _statistic_chart(name: str, parts: dict[str, pd.DataFrame], row: dict[str, Any]) -> Distribution:
    malignant, benign = (int(parts[part][name].notna().sum()) for part in ("malignant", "benign"))
    note = too_few_for_auc(malignant, malignant + benign) or f"AUC {number(row['auc'], 3)} {limits(row, '')}"
    return Distribution(bare_words(name), name, {part: rows[name] for part, rows in parts.items()}, note)
