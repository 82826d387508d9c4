"""The methods text of a paper: the facts that the run records, filled into a template; nothing else."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from features.leaks.findings import BLOCKING, WARNING
from melstack.report.column_words import FAMILIES, group_words, model_words
from melstack.report.formats import SHORT, count, number, percent
from melstack.report.model_card.data import data_facts
from melstack.report.model_card.writing import input_warnings, made_by, markdown_environment
from melstack.report.paper.flow import left_out_notes
from melstack.report.paper.text_tables import interval, rows_by_name
from melstack.report.run_page.attachments import read_audit
from melstack.report.run_page.headline import headline_auc
from melstack.report.run_page.inputs import StackResults
from melstack.report.run_page.modes import FOREIGN, mode_of, modes
from melstack.report.run_page.origins import now, versions
from runtime.command_record import command_uses, read_commands
from runtime.files import read_json

TEMPLATE = "methods.md.j2"
CONTRASTS = "contrasts within the patient"
COLUMN_KINDS = {"logit": "log odds of networks", "spread": "spreads of a network's views"}


def methods_text(stack: StackResults) -> str:
    """Return the methods of ``stack`` as Markdown, with every fact from a file of the run."""
    environment = markdown_environment(Path(__file__).parent)
    environment.filters.update(number=number, percent=percent, count=count)
    facts = {**_data(stack), **_networks(stack), **_recipe(stack), **_results(stack), **_software(stack)}
    return environment.get_template(TEMPLATE).render(facts)


def _data(stack: StackResults) -> dict[str, Any]:
    facts, made_from = stack.run.facts(), stack.run.facts()["made_from"]
    data = data_facts(stack.cases, facts)
    return {
        "run": stack.run.folder.resolve().name,
        "stack": stack.digest[:SHORT],
        "recipe": stack.recipe,
        "cases": stack.cases,
        "data_name": data["folder"],
        "groups": [{**group, "pictures": group["cases"]} for group in data["groups"]],
        "pictures": data["pictures"],
        "simulated": data["is_simulated"],
        "left_out": left_out_notes(stack),
        "columns": made_from.get("layout", {}).get("columns", {}),
        "positive": data["positive"],
        "folds": int(stack.train["fold"].nunique()),
        "official": data["official"],
        "partition": _partition(made_from),
        "audit": _audit(stack),
    }


def _partition(made_from: Mapping[str, Any]) -> str:
    """Return by what the folds were made, other than by patients alone, or ""."""
    words = {"by": "the values of the column {}", "by_time": "blocks of time, from the column {}"}
    return next((text.format(made_from[name]) for name, text in words.items() if made_from.get(name)), "")


def _audit(stack: StackResults) -> dict[str, Any] | None:
    """Return what the leak audit checked, the number of its findings, and its warnings in words."""
    audit = read_audit(stack.run, stack.recipe)
    if audit is None:
        return None
    grave = [each for each in audit.findings if each.severity.lower() in (WARNING, BLOCKING)]
    return {
        "checks": ", ".join(f"{what} {many:,}" for what, many in audit.looked_at.items() if many) or "the cases",
        "findings": len(audit.findings),
        "warnings": [f"{each.what} ({', '.join(each.name_texts()[:5]) or each.count})" for each in grave],
    }


def _networks(stack: StackResults) -> dict[str, Any]:
    names = [str(name) for name in stack.board.index[stack.board["kind"] == "network"]]
    marks = {name: stack.run.level1 / name / "run.json" for name in names}
    return {
        "networks": [
            {
                "name": name,
                "text": network_text(mark),
                "auc": _auc(stack, name),
            }
            for name, mark in marks.items()
        ],
        "has_own_networks": any(mode_of(mark) != FOREIGN for mark in marks.values()),
    }


def network_text(mark: Path) -> str:
    """Return how a network was trained, from its run.json ``mark``: words, weights, views, seed and training."""
    made_from: Mapping[str, Any] = read_json(mark)["made_from"] if mark.is_file() else {}
    settings = made_from.get("settings", {})
    parts = [made_by(mark)]
    parts += [f"{len(settings['views'])} test-time views"] if "views" in settings else []
    parts += [f"seed {settings['seed']}"] if "seed" in settings else []
    return "; ".join(parts)


def _recipe(stack: StackResults) -> dict[str, Any]:
    decisions, recipe = stack.decisions, stack.decisions["recipe"]
    families = [str(name).partition(".")[0] for name in decisions.get("columns", ())]
    calibration = recipe.get("calibration", {})
    return {
        "predictor_count": len(families),
        "families": Counter(map(_column_kind, families)),
        "unused_blocks": [name for name in recipe.get("blocks", ()) if name not in families],
        "learners": [_with_name(name) for name in recipe.get("learners", ())],
        "blend": [model_words(name) for name in recipe.get("blend", ())],
        "blend_weights": {"fitted": "weighted"}.get(recipe.get("blend_weights", ""), "equally weighted"),
        "choose_rounds": recipe.get("choose_rounds", False),
        "seeds": recipe.get("seeds", 1),
        "trials": recipe.get("tuning", {}).get("trials", 0),
        "choices": _tally(each["chosen"] for each in decisions.get("chosen_by_fold", ())),
        "methods": calibration.get("methods", []),
        "rank_preserving": calibration.get("rank_preserving", False),
        "calibrators": _tally(each["name"] for each in decisions.get("calibrators", {}).get(stack.submission, ())),
        "requested_prevalence": stack.deployment_prevalence,
        "prevalence": stack.prevalence,
        "sampling": recipe.get("negatives_per_positive"),
        "operating_points": [point.model_dump() for point in stack.operating_points],
    }


def _column_kind(family: str) -> str:
    if family in FAMILIES or family == "disagreement":
        return COLUMN_KINDS.get(family, CONTRASTS)
    return group_words(family)


def _with_name(name: str) -> str:
    return f"{model_words(name)} ({name})"


def _tally(names: Iterable[str]) -> str:
    """Return how often each name occurs: "blend in 4 of 5 outer folds, lgbm in 1 of 5 outer folds"."""
    counts = Counter(names)
    return ", ".join(f"{name} in {many} of {counts.total()} outer folds" for name, many in counts.most_common())


def _results(stack: StackResults) -> dict[str, Any]:
    metrics = stack.tables["metrics"]
    best = stack.best_network
    smaller = stack.smaller
    return {
        "rows": len(stack.y),
        "draws": int(metrics["replicates"].max()),
        "subgroups": [str(kind) for kind in stack.tables["subgroups"]["kind"].unique() if kind != "all"],
        "headline": stack.headline,
        "headline_words": model_words(stack.headline),
        "submitted": stack.submission,
        "submitted_words": model_words(stack.submission),
        "auc": _auc(stack, stack.headline),
        "rank_mean": _gain(stack, "rank_mean"),
        "best_network": {"name": best, "gain": _gain(stack, best)},
        "calibration": stack.tables["calibration"].set_index("model").loc[stack.headline].to_dict(),
        "smaller": smaller and {"networks": list(smaller["networks"]), "text": interval(*headline_auc(stack))},
        "warnings": [line.rstrip(".") for line in input_warnings(stack.run)],
    }


def _gain(stack: StackResults, name: str) -> str:
    if name not in stack.board.index or name == stack.headline:
        return ""
    row = rows_by_name(stack.board)[name]
    return interval(row["gain"], row["gain_low"], row["gain_high"], sign=True)


def _auc(stack: StackResults, name: str) -> str:
    row = rows_by_name(stack.board)[name]
    return interval(row["auc"], row["low"], row["high"])


def _software(stack: StackResults) -> dict[str, Any]:
    names = sorted(map(str, stack.networks))
    packages = dict(versions())
    return {
        "melstack": packages.pop("melstack", "not installed"),
        "versions": list(packages.items()),
        "time": now(),
        "command_uses": command_uses(read_commands(stack.run.folder)),
        "modes": modes(stack.run, stack.recipe, names),
    }
