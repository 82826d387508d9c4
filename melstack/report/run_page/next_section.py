"""The section "What to try next" of the run page: the tables that the command `next` wrote for this stack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melstack.report.charts import Axis, Bar, Chart, Line, Scale, scale_over
from melstack.report.run_page.inputs import StackResults
from melstack.report.stack_parts import NEXT_MARK, OlderPart, older_part
from runtime.files import read_json
from runtime.invocation import command

TABLES = ("learning_curve", "networks", "views", "metadata", "label_errors", "ranking")
SHOWN_CANDIDATES = 24


@dataclass(frozen=True)
class NextSection:
    """What the section shows: sentences, tables, charts of learning curves, and the folder of the pictures."""

    folder: Path
    summary: list[str]
    tables: dict[str, list[dict[str, Any]]]
    charts: list[Chart]
    scale: Scale
    candidates: int


def read_next(stack: StackResults) -> tuple[NextSection | None, OlderPart | None]:
    """Return the section of ``stack``, or what the page says instead if its tables are of another stack."""
    mark = stack.run.folder / NEXT_MARK
    paths = {name: mark.parent / f"{name}.csv" for name in TABLES}
    if not mark.is_file() or not all(path.is_file() for path in paths.values()):
        return None, None
    content = read_json(mark)
    older = older_part(
        "measurements of what to try next",
        content["made_from"]["stack"],
        stack.digest,
        command("next", run=stack.run.folder).strip("`"),
    )
    if older is not None:
        return None, older
    tables = {name: pd.read_csv(path, keep_default_na=True) for name, path in paths.items()}
    ranking, labels = tables["ranking"], tables["label_errors"]
    labels["picture"] = labels["picture"].fillna("")
    rows_of = {name: table.to_dict("records") for name, table in tables.items()}
    rows_of["label_errors"] = labels.head(SHOWN_CANDIDATES).to_dict("records")
    section = NextSection(
        mark.parent,
        list(content.get("summary", [])),
        {name: [{str(key): value for key, value in row.items()} for row in rows] for name, rows in rows_of.items()},
        [_chart(str(what), rows) for what, rows in tables["learning_curve"].groupby("what", sort=False)],
        scale_over(ranking["low"].to_numpy(np.float64), ranking["high"].to_numpy(np.float64), zero=0.0),
        len(labels),
    )
    return section, None


def _chart(what: str, rows: pd.DataFrame) -> Chart:
    """Return the learning curve of ``what``: AUC over patients, as measured, and predicted for twice as many."""
    now, y = rows[rows["kind"] == "measured"], scale_over(rows["low"].to_numpy(), rows["high"].to_numpy())
    points = rows[["patients", "auc"]].to_numpy(np.float64)
    bars = [
        Bar(row["patients"], row["auc"], row["low"], row["high"], f"{row['auc']:.4f}, {row['kind']}")
        for _, row in rows.iterrows()
    ]
    lines = [
        Line("measured", "fold0", points[: len(now)]),
        Line("predicted", "fold1", points[len(now) - 1 :]),
    ]
    x = Axis("patients a fit is trained on", 0.0, float(rows["patients"].max()) * 1.03)
    return Chart(what, x, Axis("AUC, out of fold", y.low, y.high), lines, bars)
