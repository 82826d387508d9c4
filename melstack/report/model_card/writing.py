"""The model card of a finished stack: what it is for, what it was measured to do, and what is not known of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from melstack.report.model_card.data import data_facts
from melstack.report.model_card.limits import limits
from melstack.report.run_page.attachments import read_audit
from melstack.report.run_page.modes import mode_of
from runtime.errors import InputFault, list_names
from runtime.files import read_json, write_text
from runtime.run_folder import Run

NAME = "model_card.md"
TEMPLATE = "model_card.md.j2"
NEEDED = ("leaderboard", "metrics", "subgroups", "calibration", "paired")
OPTIONAL = ("shift", "ablation", "reliability")
METRICS = {
    "auc": "AUC, patients resampled",
    "auc_delong": "AUC, DeLong (takes pictures as independent)",
    "partial_auc_above_80_sensitivity": "partial AUC above 80 % sensitivity (0 to 0.2)",
    "average_precision": "average precision",
    "top15_hits": "malignant pictures among the 15 highest of their patient",
    "top15_sensitivity": "their share of all malignant pictures",
    "top15_patient_sensitivity": "the same, mean over patients with one",
}


def write_card(run: Run, folder: Path) -> Path:
    """Write ``run``/model_card.md of the finished stack in ``folder`` (level2/<recipe>) and return its path.

    Every sentence comes from a file of the run or says that the run does not tell. Sections name the items of TRIPOD+AI
    (Collins et al. 2024, BMJ 385:e078378) and the groups of CLEAR Derm (Daneshjou et al. 2022, JAMA Dermatology 158:90)
    that they serve. Raises InputFault when the stack is not finished or lacks a table.
    """
    path = run.folder / NAME
    write_text(path, card(run, folder))
    return path


def card(run: Run, folder: Path) -> str:
    """Return the model card of the finished stack in ``folder`` as Markdown; raise InputFault as `write_card` does."""
    tables, decided = _tables(folder), read_json(folder / "decisions.json")
    cases, facts = run.read_cases(), run.facts()
    context = {
        "run": run.folder.resolve().name,
        "recipe": folder.name,
        "decided": decided,
        "prevalence_asked": decided["recipe"].get("calibration", {}).get("prevalence"),
        "networks": _networks(run, tables["leaderboard"]),
        "calibrators": _calibrators(decided),
        "metrics": _metrics(tables["metrics"], decided["headline"]),
        "baselines": _against(tables, decided),
        "subgroups": _records(tables["subgroups"]),
        "calibration": _calibration(tables["calibration"], decided["submitted"]),
        "shift": _records(tables.get("shift")),
        "ablation": _records(tables.get("ablation")),
        "digests": read_json(folder / "run.json")["made_from"],
        "audit": audit.model_dump() if (audit := read_audit(run)) else None,
        "data": data_facts(cases, facts),
        "limits": limits(cases, tables, decided),
    }
    return _rendered(context)


def _rendered(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown is no HTML: what comes from data is escaped by `markdown` as each expression ends.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=markdown,
    )
    environment.filters.update(number=_number, share=_share, limits=_limits, shares=_shares, counts=_counts)
    return environment.get_template(TEMPLATE).render(context)


class Marked(str):
    """Text that is Markdown already."""


def markdown(value: object) -> object:
    """Return ``value``; of a text, what Markdown or HTML would read as markup is escaped and lines are joined.

    An underscore within a word and a bracket that opens no link are no markup, and stay.
    """
    if not isinstance(value, str) or isinstance(value, Marked):
        return value
    escaped = "".join(f"\\{sign}" if sign in "\\|*`" else sign for sign in " ".join(value.split()))
    escaped = escaped.replace("](", "]\\(").replace("][", "]\\[")
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    needed = [folder / f"{name}.csv" for name in NEEDED] + [folder / "decisions.json", folder / "run.json"]
    lacking = [path.name for path in needed if not path.is_file()]
    if lacking:
        raise InputFault(f"{folder}: no finished stack, it lacks {list_names(lacking)}; `make stack` makes it")
    names = [*NEEDED, *(name for name in OPTIONAL if (folder / f"{name}.csv").is_file())]
    return {
        name: pd.read_csv(folder / f"{name}.csv", keep_default_na=name != "subgroups", na_values=[""]) for name in names
    }


def _networks(run: Run, board: pd.DataFrame) -> list[dict[str, Any]]:
    rows = _records(board[board["kind"] == "network"])
    marks = [run.level1 / str(row["name"]) / "run.json" for row in rows]
    return [{**row, "made": _made(mark), "mode": mode_of(mark)} for row, mark in zip(rows, marks, strict=True)]


def _made(mark: Path) -> str:
    """Return in a few words what made a network, as its mark tells."""
    made = read_json(mark)["made_from"] if mark.is_file() else {}
    settings = made.get("settings")
    if settings is None:
        return "brought from elsewhere; how it was trained is not known to the run"
    method = settings.get("training", {}).get("method", "not told")
    variant = settings.get("variant", settings.get("backbone", "not told"))
    return f"{variant} at {settings.get('image_size', '?')} px, {method}, weights {settings.get('weights', 'not told')}"


def _calibrators(decided: Mapping[str, Any]) -> list[str]:
    chosen = decided.get("calibrators", {}).get(decided["submitted"], [])
    return sorted({each["name"] for each in chosen})


def _metrics(table: pd.DataFrame, headline: str) -> list[dict[str, Any]]:
    own = _records(table[table["model"] == headline])
    return [{**row, "called": _called(str(row["metric"]))} for row in own]


def _called(metric: str) -> str:
    words = metric.split("_")
    if words[0] in ("sensitivity", "specificity") and len(words) == 4:
        return f"{words[0]} at {words[2]} % {words[3]}"
    return METRICS.get(metric, metric.replace("_", " "))


def _against(tables: Mapping[str, pd.DataFrame], decided: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the paired gains of the headline on the rank mean and on the network that is best out of fold."""
    board, headline = tables["leaderboard"], decided["headline"]
    networks = board.loc[board["kind"] == "network", "name"].tolist()
    wanted = [name for name in ("rank_mean", *networks[:1]) if name != headline]
    rows = _records(board[board["name"].isin(wanted)])
    return [{**row, "kind": "the best network" if row["kind"] == "network" else row["kind"]} for row in rows]


def _calibration(table: pd.DataFrame, submitted: str) -> list[dict[str, Any]]:
    return _records(table[table["model"].isin([submitted, f"{submitted}, uncalibrated"])])


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    rows = [] if table is None else table.to_dict(orient="records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _number(value: float | None, digits: int = 4) -> str:
    return "not known" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "not known" if value is None or pd.isna(value) else f"{100 * value:.2f} %"


def _limits(row: Mapping[str, Any], name: str, digits: int = 4) -> Marked:
    """Return ``value [low, high]`` of a measure with columns <name>, <name>_low, <name>_high, or the value alone."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    value = _number(row.get(name), digits)
    return Marked(value if pd.isna(low) or pd.isna(high) else f"{value} [{low:.{digits}f}, {high:.{digits}f}]")


def _shares(shares: Mapping[str, float]) -> Marked:
    return Marked("; ".join(f"{markdown(name)} {_share(value)}" for name, value in shares.items()))


def _counts(counts: Mapping[str, int]) -> Marked:
    return Marked(", ".join(f"{markdown(name)} {count}" for name, count in counts.items()))
