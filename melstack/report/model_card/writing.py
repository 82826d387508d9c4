"""Write the model card of a finished stack: read its tables, fill the template, escape what comes from data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.folder.notes import WARNING
from level2_stack.design.fold_checks import foreign_fold_warnings
from level2_stack.evaluation.partitions import describe_repeats
from level2_stack.finished import networks_of_stack, stack_digest
from level2_stack.foreign.messages import import_warnings
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
from level2_stack.thresholds.operating_point import Measure, point_of_subgroups, read_operating_points
from melstack.report.column_words import bare_words, group_words, network_words, with_raw_name
from melstack.report.formats import metric_label, moment, short_commit
from melstack.report.model_card.data import data_facts
from melstack.report.model_card.limits import limits
from melstack.report.run_page.attachments import read_audit
from melstack.report.run_page.modes import mode_of
from melstack.report.stack_parts import other_stacks
from runtime.command_record import command_uses, read_commands
from runtime.errors import InputFault, list_names
from runtime.files import read_json, write_text
from runtime.invocation import command
from runtime.plural import number_of
from runtime.run_folder import Run

if TYPE_CHECKING:
    from jinja2 import Environment

NAME = "model_card.md"
TEMPLATE = "model_card.md.j2"
REQUIRED_TABLES = ("leaderboard", "metrics", "subgroups", "calibration", "paired")
OPTIONAL_TABLES = ("shift", "ablation", "reliability", "repeats")


def write_card(run: Run, folder: Path) -> Path:
    """Write ``run``/model_card.md of the finished stack in ``folder`` (level2/<recipe>) and return its path.

    Every figure comes from a file of the run; what the files do not have is "not available". Each section names the
    items of TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378) and the groups of CLEAR Derm (Daneshjou et al. 2022, JAMA
    Dermatology 158:90) that it reports. Raises InputFault if the stack is not finished or a table is missing.
    """
    path = run.folder / NAME
    write_text(path, card(run, folder, origins=True))
    return path


def card(run: Run, folder: Path, *, origins: bool = False) -> str:
    """Return the model card of the finished stack in ``folder`` as Markdown; raise InputFault like `write_card`.

    With ``origins`` it lists the commands on the run, and what else the run has of other stacks. A bundle's card does
    not: it has the same bytes whenever it is made from the same stack.
    """
    tables, decisions = _tables(folder), read_json(folder / "decisions.json")
    cases, facts, points = run.read_cases(), run.facts(), read_operating_points(folder / THRESHOLDS)
    context = {
        "run": run.folder.resolve().name,
        "recipe": folder.name,
        "stack": stack_digest(folder),
        "command_uses": command_uses(read_commands(run.folder)) if origins else None,
        "other_stacks": other_stacks(run, folder.name) if origins else [],
        "decisions": decisions,
        "requested_prevalence": decisions["recipe"].get("calibration", {}).get("prevalence"),
        "networks": _networks(run, tables["leaderboard"]),
        "calibrators": _calibrators(decisions),
        "metrics": _metrics(tables["metrics"], decisions["headline"]),
        "baselines": _against(tables, decisions),
        "repeats": _repeats(tables, (decisions["headline"], decisions["submitted"])),
        "points": points,
        "subgroup_point": point_of_subgroups(points) if points else None,
        "subgroups": records(tables["subgroups"]),
        "calibration": _calibration(tables["calibration"], decisions["submitted"]),
        "shift": records(tables.get("shift")),
        "ablation": records(tables.get("ablation")),
        "digests": read_json(folder / "run.json")["made_from"],
        "audit": audit.model_dump() if (audit := read_audit(run, folder.name)) else None,
        "data": data_facts(cases, facts),
        "limits": [
            *limits(cases, tables, decisions),
            *input_warnings(run),
            *foreign_fold_warnings(run, networks_of_stack(folder)),
        ],
    }
    return _render(context)


def input_warnings(run: Run) -> list[str]:
    """Return what may have been read as it was not meant, of the cases and of the networks of others."""
    lines = [line.removeprefix(WARNING) for line in run.facts()["summary"] if line.startswith(WARNING)]
    return [*lines, *import_warnings(run.folder)]


def _render(context: Mapping[str, Any]) -> str:
    return markdown_environment(Path(__file__).parent).get_template(TEMPLATE).render(context)


def markdown_environment(folder: Path) -> Environment:
    """Return the environment of the Markdown templates in ``folder``: values are escaped, and the filters of pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # autoescape is for HTML; for Markdown, `finalize` escapes the value of each expression.
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=escape_markdown,
    )
    environment.filters.update(number=_number, share=_share, limits=_limits, shares=_shares, counts=_counts)
    environment.filters.update(bare=_bare, group=_group, number_of=number_of)
    environment.filters.update(interval=_interval)
    environment.filters.update(moment=moment, short_commit=short_commit, code=_code)
    return environment


class MarkdownText(str):
    """Text that is already Markdown and must not be escaped again."""


def escape_markdown(value: object) -> object:
    """Return ``value``; in a text, Markdown and HTML markup is escaped and line breaks become spaces.

    Underscores within a word, and brackets that do not start a link, are not markup and stay unchanged.
    """
    if not isinstance(value, str) or isinstance(value, MarkdownText):
        return value
    text = "".join(f"\\{sign}" if sign in "\\|*`" else sign for sign in " ".join(value.split()))
    text = text.replace("](", "]\\(").replace("][", "]\\[")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    paths = [folder / f"{name}.csv" for name in REQUIRED_TABLES] + [folder / "decisions.json", folder / "run.json"]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputFault(
            f"{folder}: the stack is not finished, missing {list_names(missing)}; {command('stack')} makes it"
        )
    names = [*REQUIRED_TABLES, *(name for name in OPTIONAL_TABLES if (folder / f"{name}.csv").is_file())]
    return {
        name: pd.read_csv(folder / f"{name}.csv", keep_default_na=name != "subgroups", na_values=[""]) for name in names
    }


def _networks(run: Run, board: pd.DataFrame) -> list[dict[str, Any]]:
    rows = records(board[board["kind"] == "network"])
    marks = [run.level1 / str(row["name"]) / "run.json" for row in rows]
    return [{**row, "made_by": made_by(mark), "mode": mode_of(mark)} for row, mark in zip(rows, marks, strict=True)]


def made_by(mark: Path) -> str:
    """Return in a few words how a network was trained, from its run.json ``mark``."""
    made_from = read_json(mark)["made_from"] if mark.is_file() else {}
    settings = made_from.get("settings")
    if settings is None:
        return "foreign network; the run does not record how it was trained"
    return f"{network_words(settings) or 'not recorded'}; initial weights: {settings.get('weights', 'not recorded')}"


def _repeats(tables: Mapping[str, pd.DataFrame], models: Sequence[str]) -> str:
    """Return the sentence on the partitions of the patients; "" without them."""
    if "repeats" not in tables:
        return ""
    return describe_repeats(tables["repeats"], models, tables["leaderboard"].set_index("name")["auc_seed_std"])


def _calibrators(decisions: Mapping[str, Any]) -> list[str]:
    calibrators = decisions.get("calibrators", {}).get(decisions["submitted"], [])
    return sorted({each["name"] for each in calibrators})


def _metrics(table: pd.DataFrame, headline: str) -> list[dict[str, Any]]:
    own = records(table[table["model"] == headline])
    return [{**row, "label": metric_label(row)} for row in own]


def _against(tables: Mapping[str, pd.DataFrame], decisions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the paired gains of the headline over the rank mean and over the network with the best AUC out of fold."""
    board, headline = tables["leaderboard"], decisions["headline"]
    networks = board.loc[board["kind"] == "network", "name"].tolist()
    rivals = [name for name in ("rank_mean", *networks[:1]) if name != headline]
    rows = records(board[board["name"].isin(rivals)])
    return [{**row, "kind": "the best network" if row["kind"] == "network" else row["kind"]} for row in rows]


def _calibration(table: pd.DataFrame, submission: str) -> list[dict[str, Any]]:
    return records(table[table["model"].isin([submission, f"{submission}, uncalibrated"])])


def records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows of ``table``, none without a table, as dictionaries with texts as keys."""
    rows = [] if table is None else table.to_dict(orient="records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _number(value: float | None, digits: int = 4) -> str:
    return "unknown" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "unknown" if value is None or pd.isna(value) else f"{100 * value:.2f} %"


def _limits(row: Mapping[str, Any], name: str, digits: int = 4) -> MarkdownText:
    """Return ``value [low, high]`` from the columns <name>, <name>_low and <name>_high, or only the value."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    value = _number(row.get(name), digits)
    return MarkdownText(value if pd.isna(low) or pd.isna(high) else f"{value} [{low:.{digits}f}, {high:.{digits}f}]")


def _interval(measure: Measure) -> MarkdownText:
    return _limits({"_": measure.value, "__low": measure.low, "__high": measure.high}, "_", 3)


def _code(text: str) -> MarkdownText:
    return MarkdownText("`{}`".format(text.replace("`", "'")))


def _bare(name: str) -> str:
    return with_raw_name(bare_words(name), name)


def _group(name: str) -> str:
    return with_raw_name(group_words(name), name)


def _shares(shares: Mapping[str, float]) -> MarkdownText:
    return MarkdownText("; ".join(f"{escape_markdown(name)} {_share(value)}" for name, value in shares.items()))


def _counts(counts: Mapping[str, int]) -> MarkdownText:
    return MarkdownText(", ".join(f"{escape_markdown(name)} {count}" for name, count in counts.items()))
