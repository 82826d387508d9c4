"""Make a run whose networks are the finished stacks of other runs over the same cases."""

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level2_stack import learners
from level2_stack.calibration.calibrate import shift_prior
from level2_stack.contrasts import NETWORKS
from level2_stack.finished import changed_since
from level2_stack.foreign.other_run import match_cases
from level2_stack.recipe import BLEND, CHOICE
from level2_stack.recipe_files import recipe_file
from melstack.exchange.exports import BLEND_MARK as MARK
from melstack.exchange.exports import OOF, TEST, out_of_fold, write_csv
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json, replacing
from runtime.invocation import command, option
from runtime.plural import number_of
from runtime.progress import say, warn
from runtime.provenance import (
    MARK_KEYS,
    check_inputs,
    digest_of_code,
    digest_of_file,
    find_damage,
    is_fresh,
    read_mark,
    write_mark,
)
from runtime.run_folder import Run
from runtime.tables import read_table

FOLDER = "stacks"  # of the blend's run: <name>/oof.csv and test.csv of every stack
TABLES = ("learners.parquet", "predictions.parquet", "decisions.json")  # of a stack


@dataclass(frozen=True)
class Source:
    """A finished stack that is blended: its name in the blend, and its folder."""

    name: str
    folder: Path

    @property
    def run(self) -> Run:
        """Return the run of the stack."""
        return Run(self.folder.parent.parent)

    @property
    def decisions(self) -> dict[str, Any]:
        """Return the decisions of the stack."""
        content: dict[str, Any] = read_json(self.folder / "decisions.json")
        return content

    @property
    def prevalence(self) -> float | None:
        """Return the prevalence for which the stack's probabilities are; None: that of its training cases."""
        prevalence = self.decisions["recipe"].get("calibration", {}).get("prevalence")
        return None if prevalence is None else float(prevalence)


def find_stacks(paths: Sequence[Path], target: Path) -> list[Source]:
    """Return the finished stacks of ``paths``, each a run or the folder of a stack (<run>/level2/<recipe>).

    ``target`` is the run of the blend. Of a run with several stacks, the submitted one counts. Raises InputFault that
    lists all paths without a finished stack, with several of which none is submitted, and with a damaged one; and for
    fewer than two stacks.
    """
    faults, folders = Faults(), list[Path]()
    for path in paths:
        try:
            folders.append(_stack_of(path))
        except InputFault as fault:
            faults.add(str(fault))
    for folder, count in Counter(folder.resolve() for folder in folders).items():
        if count > 1:
            faults.add(f"{folder}: named {count} times")
        if folder.is_relative_to(target.resolve()):
            faults.add(f"{folder}: in the run that the blend is written to; {option('run', 'folder')} names another")
    if len(paths) < 2:
        faults.add(f"{number_of(len(paths), 'stack')}; name at least two: {command('blend', runs='runs/a runs/b')}")
    faults.raise_if_any("stacks to blend")
    return [Source(name, folder) for name, folder in zip(_names(folders), folders, strict=True)]


def _stack_of(path: Path) -> Path:
    """Return the folder of the stack that ``path``, a run or a stack, means."""
    is_stack = path.parent.name == "level2" and (path / "run.json").is_file()
    stacks = [path] if is_stack else sorted(mark.parent for mark in Run(path).level2.glob("*/run.json"))
    if not stacks:
        raise InputFault(f"{path}: no finished stack; {command('stack', run=path)} makes one")
    if len(stacks) > 1:
        submission = read_mark(Run(path).submission.with_suffix(".json"))
        submitted = [] if submission is None else [Run(path).level2 / submission["made_from"]["recipe"]]
        if submitted not in [[stack] for stack in stacks]:
            raise InputFault(f"{path}: several stacks, none of them submitted; name one: {list_names(stacks)}")
        stacks = submitted
    if damage := find_damage(stacks[0] / "run.json"):
        raise InputFault(f"{'; '.join(damage)}; {command('stack', run=path)} makes it again")
    if read_json(stacks[0] / "run.json")["made_from"].get("cases") != Run(stacks[0].parent.parent).cases_digest():
        raise InputFault(f"{stacks[0]}: stale: made from another case table than the run has now")
    return stacks[0]


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a name per stack that level two accepts: the run's, with the recipe's or a number where two are equal."""
    own_names = {*learners.names(), BLEND, CHOICE, NETWORKS}
    runs = [folder.resolve().parent.parent.name for folder in folders]
    names = [run if runs.count(run) == 1 else f"{run}_{folder.name}" for run, folder in zip(runs, folders, strict=True)]
    names = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in names]
    names = [name if name[0].isalpha() and name not in own_names else f"run_{name}" for name in names]
    return [name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names, start=1)]


def make_blend_run(run: Run, sources: Sequence[Source]) -> None:
    """Give ``run`` the cases of the first stack's run, and CSV files of every stack that an import reads.

    Raises InputFault if the runs have other cases or targets, or if ``run`` is not a blend of runs over these cases.
    """
    if run.cases_mark.is_file() and "copied_from" not in run.facts():
        raise InputFault(
            f"{run.folder}: a run of its own, not a blend; name another folder: {option('run', 'runs/blend')}"
        )
    cases = sources[0].run.read_cases()
    for source in sources[1:]:
        others = source.run.read_cases()
        say(match_cases(cases, others, str(source.run.folder))[0])
        match_cases(others, cases, str(sources[0].run.folder))
    _copy_cases(run, sources[0].run)
    _write_stacks(run, sources, cases)


def _copy_cases(run: Run, first: Run) -> None:
    facts = first.facts()
    check_inputs(run.cases_mark, facts["made_from"], f"use another run name ({option('run')}), or delete {run.folder}")
    paths = {run.cases: first.cases, run.pairs: first.pairs}
    files = {target: path for target, path in paths.items() if path.is_file()}
    if is_fresh(run.cases_mark, facts["made_from"], list(files)):
        return
    for target, path in files.items():
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)
    facts = {name: value for name, value in facts.items() if name not in MARK_KEYS}
    facts["copied_from"] = str(first.folder.resolve())
    write_mark(run.cases_mark, first.facts()["made_from"], files, **facts)


def _write_stacks(run: Run, sources: Sequence[Source], cases: pd.DataFrame) -> None:
    """Write oof.csv and test.csv of every stack, all at the prevalence of the training cases; print what each is."""
    folders = {source.name: source.folder for source in sources}
    for source in sources:
        say(f"{source.name}: {source.folder}: {_in_words(source, cases)}")
        changes = _changes_since(source)
        if changes:
            warn(f"{source.name}: used as it is, although its inputs have changed since: {list_names(changes)}")
    made_from = blend_inputs(folders)
    files = [run.folder / FOLDER / name / file for name in folders for file in (OOF, TEST)]
    files = files if (cases["role"] == "test").any() else files[::2]
    if is_fresh(run.folder / MARK, made_from, files):
        return
    for old in (run.folder / FOLDER).glob("*/"):
        if old.name not in folders:
            shutil.rmtree(run.level1 / old.name, ignore_errors=True)
            shutil.rmtree(old)
    for source in sources:
        for name, table in _tables(source, cases).items():
            write_csv(run.folder / FOLDER / source.name / name, table)
    write_mark(
        run.folder / MARK, made_from, files, stacks={name: str(path.resolve()) for name, path in folders.items()}
    )


def blend_inputs(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the CSV files of the stacks in ``folders`` (name -> folder) depend on: their tables, and the code."""
    return {
        "stacks": {name: {table: digest_of_file(path / table) for table in TABLES} for name, path in folders.items()},
        "code": digest_of_code([Path(__file__), Path(__file__).with_name("exports.py")]),
    }


def _tables(source: Source, cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return oof.csv and test.csv of a stack, in the order of ``cases``, at the prevalence of the training cases."""
    submitted = read_table(source.folder / "predictions.parquet")
    train, test = (cases.index[cases["role"] == role] for role in ("train", "test"))
    oof = pd.DataFrame({"pred": out_of_fold(source.folder).loc[train], "fold": submitted.loc[train, "fold"]})
    rows = pd.DataFrame({"target": submitted.loc[test, "probability"]})
    if source.prevalence is not None:
        to = float(cases.loc[train, "target"].mean())
        oof["pred"] = shift_prior(oof["pred"].to_numpy(np.float64), source.prevalence, to)
        rows["target"] = shift_prior(rows["target"].to_numpy(np.float64), source.prevalence, to)
    return {OOF: oof} | ({TEST: rows} if len(test) else {})


def _in_words(source: Source, cases: pd.DataFrame) -> str:
    decisions, share = source.decisions, float(cases.loc[cases["role"] == "train", "target"].mean())
    words = f"{decisions['headline']} out of fold, {decisions['submitted']} on test cases"
    if source.prevalence is None:
        return words
    return f"{words}; log odds shifted from a prevalence of {source.prevalence:g} to that in training, {share:.4g}"


def _changes_since(source: Source) -> list[str]:
    """Return the inputs of the stack that have changed since it was made, without the code; [] if they are unknown."""
    recipe = read_json(source.folder / "run.json").get("recipe", source.folder.name)
    try:
        changes = changed_since(source.run, recipe_file(recipe))
    except (InputFault, OSError):
        return []
    return [change.split(":")[0] for change in changes if not change.startswith("code:")]


def remember_blend(run: Run, names: Sequence[str], recipe: str | None, prevalence: float | None) -> dict[str, Any]:
    """Write run.toml of a blend, so that later commands on it use the same stacks, and return the settings.

    ``recipe`` and ``prevalence`` are None where the command does not give them; the file then decides.
    """
    from melstack.run_settings import recall

    options = {"recipe": recipe, "prevalence": prevalence}
    values = {"foreign": run.folder / FOLDER, "trust": list(names), "models": list(names), "recipe": "blend"}
    values |= {name: value for name, value in options.items() if value is not None}
    memory = recall(run.folder, values, [name for name in values if name != "recipe" or recipe])
    memory.save()
    return dict(memory.now)
