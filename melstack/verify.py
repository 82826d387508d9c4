"""Verify a run: compare every file with its stored digest, and the inputs of every artefact with the current ones."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.compute_blocks import block_marks
from features.folder.data_folder import CaseFolders
from features.folder.layout import Request
from features.freeze_cases import case_ingredients, pictures_of_run, records_sizes
from features.leaks.audit import REPORT, audit_ingredients
from features.leaks.traces import MARK as TRACES
from features.leaks.traces import changed_pictures
from level1_cnn.data.run_pictures import find_stores
from level1_cnn.experiment import CONFIGS, read_experiment
from level1_cnn.finished import model_inputs, own_file
from level1_cnn.job import part_marks
from level2_stack.finished import current_ingredients, explanation_ingredients, submission_ingredients
from level2_stack.foreign.bring import import_ingredients
from level2_stack.recipe_files import recipe_file
from melstack.exchange.exports import MARK as EXPORTS
from melstack.exchange.marks import exchange_marks
from melstack.history import PAGES, replaced_runs
from melstack.report.stack_parts import (
    GALLERIES_MARK,
    NEXT_MARK,
    PAPER_MARK,
    STUDENT_MARK,
    gallery_ingredients,
    next_ingredients,
    paper_ingredients,
    student_ingredients,
)
from melstack.run_settings import NAME as SETTINGS
from runtime.command_record import NAME as COMMANDS
from runtime.errors import InputFault, list_names
from runtime.files import read_json
from runtime.folder_lock import NAME as LOCK
from runtime.folder_lock import read_holder
from runtime.plural import number_of
from runtime.progress import LOG, say
from runtime.provenance import differences_of, examine_mark, find_damage, outputs_of
from runtime.run_folder import Run

# Files of a replaced stack that are marks; its other JSON files are listed by them.
MARK_NAMES = ("run.json", "explained.json", EXPORTS, "submission.json", PAPER_MARK.name)
INTACT, DAMAGE, STALE, NO_DIGEST, UNKNOWN = "intact", "damaged", "stale", "no digest", "unknown"
# Returns the inputs that an artefact would be made from now; None if they are not recorded.
InputsNow = Callable[[], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Verdict:
    """The state of one artefact, with the reasons, its mark, and its files with their sizes in bytes."""

    mark: Path
    state: str
    reasons: tuple[str, ...]
    files: Mapping[Path, int]


def verify_run(run: Run) -> list[Verdict]:
    """Return the verdict on every artefact of ``run`` and of the decoded pictures that it uses; change nothing.

    Damaged: a file is missing or differs from its digest. Stale: the inputs (data, settings, code) changed since.
    No digest: an earlier version wrote the artefact. Unknown: its inputs can no longer be read.
    """
    return [_verdict(mark, inputs_now) for mark, inputs_now in _marks(run)]


def print_verdicts(run: Run, verdicts: list[Verdict]) -> dict[str, int]:
    """Print every verdict and the number of artefacts in each state; return these numbers."""
    holder = read_holder(run.folder)
    if holder is not None:
        say(f"a command is writing to this run, or was killed ({holder}): its unfinished output may look damaged")
    for verdict in verdicts:
        size = sum(verdict.files.values()) / 1e6
        files = number_of(len(verdict.files), "file")
        say(f"{verdict.state:10}  {_relative(verdict.mark, run)}  ({files}, {size:.1f} MB)")
        for reason in verdict.reasons:
            say(f"              {reason}")
    strays = _strays(run, verdicts)
    if strays:
        say(f"{NO_DIGEST:10}  files that no mark lists; commands write them again when needed: {list_names(strays)}")
    states = (INTACT, STALE, NO_DIGEST, UNKNOWN, DAMAGE)
    counts = {state: sum(verdict.state == state for verdict in verdicts) for state in states}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    size = sum(sum(verdict.files.values()) for verdict in verdicts) / 1e6
    say(f"verify: {run.folder}: {len(verdicts)} artefacts, {size:.0f} MB: {summary}")
    return counts


def _verdict(mark: Path, inputs_now: InputsNow) -> Verdict:
    content, fault = examine_mark(mark)
    if content is None:
        return Verdict(mark, DAMAGE, (fault,), {})
    files = {path: int(record["bytes"]) for path, record in outputs_of(mark, content).items()}
    damage = find_damage(mark)
    if damage:
        return Verdict(mark, DAMAGE, tuple(damage), files)
    try:
        made_from = inputs_now()
    except (InputFault, OSError) as error:
        return Verdict(mark, UNKNOWN, (f"its inputs cannot be read: {error}",), files)
    differences = [] if made_from is None else differences_of(content, made_from)
    if differences:
        return Verdict(mark, STALE, tuple(differences), files)
    return Verdict(mark, INTACT if "outputs" in content else NO_DIGEST, (), files)


def _marks(run: Run) -> Iterator[tuple[Path, InputsNow]]:
    """Yield every mark of the run, and the function that returns its artefact's current inputs."""
    yield run.cases_mark, partial(_cases_inputs, run)
    yield from _existing({run.pairs.with_name(TRACES): partial(_trace_inputs, run)})
    yield from _part_marks(run)
    yield from _existing({run.statistics_mark: lambda: {"cases": run.cases_digest()}})
    yield from _network_marks(run)
    yield from _existing({mark: partial(dict, made_from) for mark, made_from in block_marks(run).items()})
    yield from _existing({run.folder / REPORT: partial(audit_ingredients, run)})
    for folder in sorted(run.level2.glob("*/")):
        stack = {folder / "run.json": partial(_stack_inputs, run, folder / "run.json")}
        yield from _existing({**stack, folder / "explained.json": partial(explanation_ingredients, folder)})
    yield from _existing(exchange_marks(run))
    yield from _existing({run.submission.with_suffix(".json"): partial(_submission_inputs, run)})
    yield from _existing({run.folder / GALLERIES_MARK: partial(_gallery_inputs, run)})
    yield from _existing({run.folder / PAPER_MARK: partial(_paper_inputs, run)})
    yield from _existing({run.folder / NEXT_MARK: partial(_next_inputs, run)})
    yield from _existing({run.folder / STUDENT_MARK: partial(_student_inputs, run)})
    yield from ((mark, lambda: None) for mark in sorted(run.folder.glob("slim/*_slim.json")))
    for place in replaced_runs(run):  # replaced files are compared with their own digests only
        marks = [*place.level2.glob("*/*.json"), place.submission.with_suffix(".json"), place.folder / PAPER_MARK]
        yield from _existing({mark: lambda: None for mark in sorted(marks) if mark.name in MARK_NAMES})
    for manifest in sorted(run.folder.glob("*/manifest.json")):
        mark = manifest.parent.with_suffix(".json")
        yield from _existing({mark: partial(_bundle_inputs, run, mark)})


def _existing(marks: Mapping[Path, InputsNow]) -> Iterator[tuple[Path, InputsNow]]:
    return ((mark, inputs_now) for mark, inputs_now in marks.items() if mark.is_file())


def _cases_inputs(run: Run) -> Mapping[str, Any] | None:
    request = run.facts().get("request")
    if request is None:
        return None
    return case_ingredients(CaseFolders.open(Request.from_json(request)), by_size=records_sizes(run))


def _trace_inputs(run: Run) -> Mapping[str, Any] | None:
    """Read every picture in whole, and return the inputs of the traces; pictures that changed since are named."""
    mark, facts = run.pairs.with_name(TRACES), run.facts()
    if find_damage(run.cases_mark):
        return None
    paths = pictures_of_run(run, Path(facts["data"]))
    changes = changed_pictures(mark.parent, paths, read_all=True)
    made_from: Mapping[str, Any] = read_json(mark)["made_from"]
    return {**made_from, "pictures": f"changed since they were read: {list_names(changes)}"} if changes else made_from


def _part_marks(run: Run) -> Iterator[tuple[Path, InputsNow]]:
    """Yield the marks of the decoded pictures that the run uses: of the parts' case lists, and of every size."""
    if find_damage(run.cases_mark) or not run.facts()["pictures"]:
        return
    cases = run.read_cases()
    for store, rows in find_stores(run, cases):
        yield from ((mark, partial(store.current_inputs, mark, rows)) for mark in store.marks())


def _network_marks(run: Run) -> Iterator[tuple[Path, InputsNow]]:
    yield from _existing({run.folder / "foreign.json": partial(_foreign_inputs, run, run.folder / "foreign.json")})
    for folder in sorted(run.level1.glob("*/")):
        own, mark = (folder / "begun.json").is_file(), folder / "run.json"
        inputs_now = partial(_network_inputs, run, folder) if own else partial(_foreign_inputs, run, mark)
        marks = [folder / "begun.json", *part_marks(folder), folder / "run.json"]
        yield from _existing(dict.fromkeys(marks, inputs_now))


def _network_inputs(run: Run, folder: Path) -> Mapping[str, Any]:
    """Return the current inputs of a network trained in this run, by its own TOML, else by the TOML of its name."""
    mark = read_json(folder / "begun.json")
    own = own_file(run, folder.name)
    files = [Path(own)] if own else sorted(CONFIGS.glob(f"*/{folder.name}.toml"))
    if not files or not files[0].is_file():
        raise InputFault(f"{own or CONFIGS}: the settings of {folder.name} are no longer there")
    candidates = [model_inputs(run, folder.name, read_experiment(file)) for file in files]
    # Two profiles may have a model of this name: take the one whose settings are those of the trained network.
    matching = (inputs for inputs in candidates if not differences_of({"made_from": mark["made_from"]}, inputs))
    return next(matching, candidates[0])


def _foreign_inputs(run: Run, mark: Path) -> Mapping[str, Any] | None:
    """Return the current inputs of an import, or of one network of it, by the folder that ``mark`` records."""
    content, _ = examine_mark(mark)
    if content is None or "folder" not in content:
        return None
    return import_ingredients(run, Path(content["folder"]), content["trust"])


def _stack_inputs(run: Run, mark: Path) -> Mapping[str, Any]:
    return current_ingredients(run, mark, recipe_file(read_json(mark).get("recipe", mark.parent.name)))


def _submission_inputs(run: Run) -> Mapping[str, Any]:
    return submission_ingredients(run, read_json(run.submission.with_suffix(".json"))["made_from"]["recipe"])


def _next_inputs(run: Run) -> Mapping[str, Any]:
    return next_ingredients(run, read_json(run.folder / NEXT_MARK)["made_from"]["recipe"])


def _student_inputs(run: Run) -> Mapping[str, Any]:
    made_from = read_json(run.folder / STUDENT_MARK)["made_from"]
    return student_ingredients(run, made_from["recipe"], next(iter(made_from["network"])))


def _paper_inputs(run: Run) -> Mapping[str, Any]:
    return paper_ingredients(run, read_json(run.folder / PAPER_MARK)["made_from"]["recipe"])


def _gallery_inputs(run: Run) -> Mapping[str, Any]:
    made_from = read_json(run.folder / GALLERIES_MARK)["made_from"]
    return gallery_ingredients(run, made_from["recipe"], made_from["patients"])


def _bundle_inputs(run: Run, mark: Path) -> Mapping[str, Any] | None:
    from melstack.bundle.writing import bundle_ingredients  # slow: it imports all of level two

    recipe = read_json(mark).get("recipe")
    return None if recipe is None else bundle_ingredients(run.level2 / recipe_file(recipe).stem / "run.json")


def _strays(run: Run, verdicts: list[Verdict]) -> list[str]:
    listed_files = {path for verdict in verdicts for path in (verdict.mark, *verdict.files)}
    listed_files |= {run.folder / name for name in (LOCK, COMMANDS, LOG, SETTINGS)}
    listed_files |= {place.folder / page for place in replaced_runs(run) for page in PAGES}
    files = (path for path in sorted(run.folder.rglob("*")) if path.is_file() and path not in listed_files)
    return [str(path.relative_to(run.folder)) for path in files]


def _relative(path: Path, run: Run) -> Path:
    return path.relative_to(run.folder) if path.is_relative_to(run.folder) else path
