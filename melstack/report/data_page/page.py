"""The data's own page: what is in the pictures and the table, on one self-contained HTML file."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melstack.report.charts import distribution
from melstack.report.data_page import tables
from melstack.report.data_page.distances import distances, separations
from melstack.report.data_page.sheet import contact_tiles
from melstack.report.data_page.summary import standing_out
from runtime.files import write_text
from runtime.progress import say, track
from runtime.run_folder import Run
from runtime.tables import read_table

PAGE, TEMPLATE = "eda.html", "exploration.html.j2"
CHANNELS = ("red_mean", "green_mean", "blue_mean")
MORE_STATISTICS = 5  # beside the channels: those that part the classes best
MOST_SHIFTED = 4  # numeric columns that are drawn
SAMPLE = {"malignant": 300, "benign": 400, "test": 250}  # pictures measured for the page where none are measured yet


def explore(run: Run) -> Path:
    """Write eda.html in the run's folder from its case table, picture statistics and pictures, and return its path.

    Statistics that are not measured yet are measured of a sample, for this page alone. What the run does not have
    (pictures, test cases, a column) is left out with a sentence. Raises InputFault when the run has no case table.
    """
    started = time.perf_counter()
    cases, facts = run.read_cases(), run.facts()
    data = Path(facts["data"])
    statistics, sampled = _statistics(run, cases, data)
    page = _rendered(_context(cases, statistics, data, run.folder.resolve().name) | {"sampled": sampled})
    out = run.folder / PAGE
    write_text(out, page)
    seconds = time.perf_counter() - started
    say(f"exploration: {out}, {len(page.encode()) / 1e6:.2f} MB in {seconds:.1f} s")
    return out


def _statistics(run: Run, cases: pd.DataFrame, data: Path) -> tuple[pd.DataFrame | None, int]:
    """Return the picture statistics, and of how many pictures they are where only a sample was measured."""
    if run.statistics.is_file():
        return read_table(run.statistics), 0
    if not _has_pictures(cases):
        return None, 0
    from features.pictures.scan import scan, statistics_table  # slow to import, and not needed where all is measured

    chosen = _sample(cases[cases["picture"].notna()])
    paths = {str(name): data / picture for name, picture in chosen["picture"].items()}
    scanned = track(scan(paths), "measuring a sample of the pictures", len(paths))
    measured = statistics_table(item for item in scanned if item.fault is None)
    return (measured, len(measured)) if len(measured) else (None, 0)


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
    sheet, unreadable = contact_tiles(cases, data) if _has_pictures(cases) else ({}, [])
    return {
        "name": name,
        "data": data.name,
        "totals": tables.totals(cases),
        "standing_out": standing_out(cases, groups, sizes, shifts.get("test", [])),
        "groups": groups,
        "patients": tables.patients(cases),
        "sizes": sizes,
        "sizes_top": tables.scale(sizes),
        "missing": tables.missing(cases),
        "folds": tables.folds(cases),
        "shifts": shifts,
        "shifted": _shifted_charts(cases, numbers, shifts.get("test", [])),
        "statistics": _statistic_charts(cases, statistics),
        "sheet": sheet,
        "unreadable": unreadable,
    }


def _numbers(cases: pd.DataFrame, statistics: pd.DataFrame | None) -> pd.DataFrame:
    """Return every number that is known of the cases, a column each."""
    own = cases.drop(columns=["target", "fold", "fold_group"], errors="ignore").select_dtypes("number")
    if {"width", "height"} <= set(own.columns):
        own = own.assign(megapixels=own["width"] * own["height"] / 1e6)
    counts = cases.groupby(["role", "patient_id"])["role"].transform("size")
    own = own.assign(pictures_of_patient=counts.astype("float64"))
    return own if statistics is None else own.join(statistics.reindex(own.index))


def _shifts(cases: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return, for the test cases and each external source, how far every column lies from the training cases."""
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


def _shifted_charts(cases: pd.DataFrame, numbers: pd.DataFrame, shifts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    beyond = [row for row in shifts if row["kind"] == "KS" and row["distance"] > row["chance"]]
    parts = {role: numbers[cases["role"] == role] for role in ("train", "test")}
    return [
        distribution(row["name"], {role: part[row["name"]] for role, part in parts.items()}, distance=row["distance"])
        for row in beyond[:MOST_SHIFTED]
    ]


def _statistic_charts(cases: pd.DataFrame, statistics: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the distributions of the channels, and of what else parts the classes best, benign against malignant."""
    if statistics is None:
        return []
    train = cases[cases["role"] == "train"]
    known = statistics.reindex(train.index).dropna(how="all")
    target = train.loc[known.index, "target"]
    found = {row["name"]: row for row in separations(known, target, train.loc[known.index, "patient_id"])}
    channels = [name for name in CHANNELS if name in found]
    others = [name for name in found if name not in channels][:MORE_STATISTICS]
    parts = {"benign": known[target == 0], "malignant": known[target == 1]}
    return [
        distribution(name, {part: rows[name] for part, rows in parts.items()}, **_area(found[name]))
        for name in [*channels, *others]
    ]


def _area(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(np.round(row[name], 4)) for name in ("auc", "low", "high")}


def _rendered(context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader([Path(__file__).parent, Path(__file__).parents[1]])
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE).render(context)
