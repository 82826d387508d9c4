"""Verify a run: every file against the digest that was written with it, every artefact against what it is made from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.compute_blocks import block_marks
from features.folder.data_folder import CaseFolders
from features.folder.layout import Request
from features.freeze_cases import case_ingredients
from features.leaks.audit import REPORT, audit_ingredients
from level1_cnn.data.run_pictures import find_stores
from level1_cnn.experiment import CONFIGS, read_experiment
from level1_cnn.finished import model_inputs
from level1_cnn.job import part_marks
from level2_stack.finished import explanation_ingredients, stack_ingredients, submission_ingredients
from level2_stack.foreign.bring import import_ingredients
from level2_stack.recipe_files import recipe_file
from runtime.errors import InputFault, list_names
from runtime.files import read_json
from runtime.folder_lock import NAME as LOCK
from runtime.folder_lock import read_holder
from runtime.progress import say
from runtime.provenance import differences_of, examine_mark, find_damage, outputs_of
from runtime.run_folder import Run

INTACT, DAMAGE, STALE, NO_DIGEST, UNKNOWN = "intact", "damaged", "stale", "no digest", "unknown"
Now = Callable[[], Mapping[str, Any] | None]  # what an artefact would be made from now; None where nobody can tell


@dataclass(frozen=True)
class Verdict:
    """What is found of one artefact: its mark, a state, why, and its files with their bytes as written."""

    mark: Path
    state: str
    reasons: tuple[str, ...]
    files: Mapping[Path, int]


def verify_run(run: Run) -> list[Verdict]:
    """Return what is found of every artefact of ``run``, the decoded pictures it uses included, by digests alone.

    Damaged: a file is not as it was written. Stale: made from other things than are there now. Unmarked: no digest was
    written, by an earlier version. Unknown: what it is made from cannot be read any more. Nothing is changed.
    """
    return [_verdict(mark, now) for mark, now in _marks(run)]


def print_verdicts(run: Run, verdicts: list[Verdict]) -> int:
    """Say every verdict and how many there are of each state; return how many artefacts are damaged."""
    holder = read_holder(run.folder)
    if holder is not None:
        say(f"a command is at work in the run, or died there ({holder}): what it is making may look damaged")
    for verdict in verdicts:
        size = sum(verdict.files.values()) / 1e6
        say(f"{verdict.state:10}  {_shown(verdict.mark, run)}  ({len(verdict.files)} file(s), {size:.1f} MB)")
        for reason in verdict.reasons:
            say(f"              {reason}")
    strays = _strays(run, verdicts)
    if strays:
        say(f"{NO_DIGEST:10}  files that no mark records, made again whenever they are needed: {list_names(strays)}")
    counts = {state: sum(verdict.state == state for verdict in verdicts) for state in (INTACT, STALE, NO_DIGEST)}
    unclear = sum(verdict.state == UNKNOWN for verdict in verdicts)
    damaged = sum(verdict.state == DAMAGE for verdict in verdicts)
    told = ", ".join(f"{count} {state}" for state, count in {**counts, UNKNOWN: unclear, DAMAGE: damaged}.items())
    size = sum(sum(verdict.files.values()) for verdict in verdicts) / 1e6
    say(f"verify: {run.folder}: {len(verdicts)} artefacts, {size:.0f} MB: {told}")
    return damaged


def _verdict(mark: Path, now: Now) -> Verdict:
    content, fault = examine_mark(mark)
    if content is None:
        return Verdict(mark, DAMAGE, (fault,), {})
    files = {path: int(written["bytes"]) for path, written in outputs_of(mark, content).items()}
    found = find_damage(mark)
    if found:
        return Verdict(mark, DAMAGE, tuple(found), files)
    try:
        made_from = now()
    except (InputFault, OSError) as error:
        return Verdict(mark, UNKNOWN, (f"what it is made from cannot be told: {error}",), files)
    changed = [] if made_from is None else differences_of(content, made_from)
    if changed:
        return Verdict(mark, STALE, tuple(changed), files)
    return Verdict(mark, INTACT if "outputs" in content else NO_DIGEST, (), files)


def _marks(run: Run) -> Iterator[tuple[Path, Now]]:
    """Yield every mark of the run with what its artefact would be made from now."""
    yield run.cases_mark, partial(_cases_now, run)
    yield from _present({run.folder / "leaks" / "traces.json": lambda: None})
    yield from _part_marks(run)
    yield from _present({run.statistics_mark: lambda: {"cases": run.cases_digest()}})
    yield from _network_marks(run)
    yield from _present({mark: partial(dict, made_from) for mark, made_from in block_marks(run).items()})
    yield from _present({run.folder / REPORT: partial(audit_ingredients, run)})
    for folder in sorted(run.level2.glob("*/")):
        stack = {folder / "run.json": partial(_stack_now, run, folder / "run.json")}
        yield from _present({**stack, folder / "explained.json": partial(explanation_ingredients, folder)})
    yield from _present({run.submission.with_suffix(".json"): partial(_submission_now, run)})
    yield from ((mark, lambda: None) for mark in sorted(run.folder.glob("slim/*_slim.json")))
    for manifest in sorted(run.folder.glob("*/manifest.json")):
        mark = manifest.parent.with_suffix(".json")
        yield from _present({mark: partial(_bundle_now, run, mark)})


def _present(marks: Mapping[Path, Now]) -> Iterator[tuple[Path, Now]]:
    return ((mark, now) for mark, now in marks.items() if mark.is_file())


def _cases_now(run: Run) -> Mapping[str, Any] | None:
    request = run.facts().get("request")
    return None if request is None else case_ingredients(CaseFolders.open(Request.from_json(request)))


def _part_marks(run: Run) -> Iterator[tuple[Path, Now]]:
    """Yield the marks of the decoded pictures that the run uses: what a part holds, and every size of it."""
    if find_damage(run.cases_mark) or not run.facts()["pictures"]:
        return
    cases = run.read_cases()
    for store, rows in find_stores(run, cases):
        yield from ((mark, partial(store.made_from_now, mark, rows)) for mark in store.marks())


def _network_marks(run: Run) -> Iterator[tuple[Path, Now]]:
    yield from _present({run.folder / "foreign.json": partial(_foreign_now, run)})
    for folder in sorted(run.level1.glob("*/")):
        own = (folder / "begun.json").is_file()
        now = partial(_network_now, run, folder) if own else partial(_foreign_now, run)
        marks = [folder / "begun.json", *part_marks(folder), folder / "run.json"]
        yield from _present(dict.fromkeys(marks, now))


def _network_now(run: Run, folder: Path) -> Mapping[str, Any]:
    """Return what a network trained here would be made from: by its own TOML, or by that of its name among ours."""
    own = read_json(folder / "begun.json").get("toml")
    files = [Path(own)] if own else sorted(CONFIGS.glob(f"*/{folder.name}.toml"))
    if not files or not files[0].is_file():
        raise InputFault(f"the settings of {folder.name} are no more at {own or CONFIGS}")
    then = read_json(folder / "begun.json")["made_from"]
    found = [model_inputs(run, read_experiment(file)) for file in files]
    # Two profiles may each have a model of this name: it is that one of them whose settings it has.
    return next((made_from for made_from in found if not differences_of({"made_from": then}, made_from)), found[0])


def _foreign_now(run: Run) -> Mapping[str, Any] | None:
    summary, _ = examine_mark(run.folder / "foreign.json")
    if summary is None or "folder" not in summary:
        return None
    return import_ingredients(run, Path(summary["folder"]), summary["trust"])


def _stack_now(run: Run, mark: Path) -> Mapping[str, Any]:
    content = read_json(mark)
    recipe = recipe_file(content.get("recipe", mark.parent.name))
    return stack_ingredients(run, recipe, content["made_from"].get("prevalence"))


def _submission_now(run: Run) -> Mapping[str, Any]:
    return submission_ingredients(run, read_json(run.submission.with_suffix(".json"))["made_from"]["recipe"])


def _bundle_now(run: Run, mark: Path) -> Mapping[str, Any] | None:
    from melstack.bundle.writing import bundle_ingredients  # it imports all of level two

    recipe = read_json(mark).get("recipe")
    return None if recipe is None else bundle_ingredients(run.level2 / recipe_file(recipe).stem / "run.json")


def _strays(run: Run, verdicts: list[Verdict]) -> list[str]:
    known = {path for verdict in verdicts for path in (verdict.mark, *verdict.files)}
    known.add(run.folder / LOCK)
    files = (path for path in sorted(run.folder.rglob("*")) if path.is_file() and path not in known)
    return [str(path.relative_to(run.folder)) for path in files]


def _shown(path: Path, run: Run) -> Path:
    return path.relative_to(run.folder) if path.is_relative_to(run.folder) else path
