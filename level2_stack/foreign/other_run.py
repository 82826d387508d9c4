"""Read the networks of another run over the same cases, trained there or imported there, from its tables."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.foreign import checks
from level2_stack.foreign.checks import Findings
from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.read import ForeignImport, ForeignNetwork
from runtime.errors import Faults, InputFault, list_names
from runtime.invocation import command, option
from runtime.provenance import differences_of, digest_of_file, examine_mark, find_damage
from runtime.run_folder import Run
from runtime.tables import read_table

TABLE = "predictions.parquet"


def network_folders(folder: Path) -> list[Path]:
    """Return the folders of the networks of the run ``folder``, finished or not, sorted by name."""
    return sorted({mark.parent for name in ("run", "begun") for mark in Run(folder).level1.glob(f"*/{name}.json")})


def import_run(folder: Path, cases: pd.DataFrame, trust: Collection[str] = ()) -> ForeignImport:
    """Return the networks of the run ``folder`` as tables over ``cases``; refuse unfinished, damaged and stale ones.

    The tables are those of ``import_predictions``, with the spread over views. Raises InputFault if the runs have other
    train cases, other targets, or if a test case is not in the other run; if that run has no network; and for names in
    ``trust``, since a run's rows are read by their names, not by their order.
    """
    if trust:
        raise InputFault(
            f"{folder}: a run, whose rows need no confirmation; {option('trust', ' '.join(trust))} has no effect"
        )
    other = Run(folder)
    notes = match_cases(cases, other.read_cases(), str(folder))
    networks = tuple(_read_network(other, path.name, cases) for path in network_folders(folder))
    if not networks:
        raise InputFault(f"{folder}: a run without networks; {command('oof', run=folder)} trains them")
    result = ForeignImport(networks, tuple(notes))
    faults = Faults()
    for network in () if result.valid_networks else networks:
        faults.add(f"{network.name}: {'; '.join(network.refusal)}")
    faults.raise_if_any(f"{folder}: every network is refused")
    return result


def match_cases(cases: pd.DataFrame, others: pd.DataFrame, where: str) -> list[str]:
    """Return sentences on the cases of another run, ``others``; raise InputFault if they are not those of ``cases``.

    The train cases and their targets must be the same, in any order; every test case of ``cases`` must be a test case
    there. ``where`` names the other run.
    """
    (train, test), (other_train, other_test) = (
        [table.index[table["role"] == role] for role in ("train", "test")] for table in (cases, others)
    )
    both = train.intersection(other_train, sort=False)
    differing = both[cases["target"][both].to_numpy() != others["target"][both].to_numpy()]
    lists = {
        f"train cases that it lacks, of {len(train)}": train.difference(other_train, sort=False),
        "train cases that this run lacks": other_train.difference(train, sort=False),
        "train cases with another target": differing,
        f"test cases that it lacks, of {len(test)}": test.difference(other_test, sort=False),
    }
    faults = Faults()
    for problem, names in lists.items():
        if len(names):
            faults.add(f"{problem}: {list_names(names)}")
    faults.raise_if_any(f"{where}: not a run over the same cases with the same targets")
    notes = [f"{where}: all {len(train)} train cases match, with their targets, and all {len(test)} test cases"]
    additional = other_test.difference(test, sort=False)
    if len(additional):
        notes.append(f"{where}: test cases that this run lacks, left out: {list_names(additional)}")
    return notes


def _read_network(other: Run, name: str, cases: pd.DataFrame) -> ForeignNetwork:
    reasons = list(_reasons_to_refuse(other, name))
    if reasons:
        return ForeignNetwork(name, None, (), tuple(reasons))
    rows, findings = cases.index[cases["role"].isin(["train", "test"])], Findings()
    table = read_table(other.level1 / name / TABLE, ["probability", "spread", "fold"])
    missing = rows.difference(table.index)
    if len(missing):
        return ForeignNetwork(name, None, (), (f"its table lacks cases: {list_names(missing)}",))
    table = table.loc[rows].astype({"probability": np.float64, "spread": np.float64, "fold": np.int8})
    train = table[(cases["role"] == "train").reindex(rows)]
    target = cases["target"].reindex(train.index)
    checks.check_target_leak(train["probability"], target, TABLE, findings)
    folds = train.loc[train["probability"].notna(), "fold"]
    if (folds >= 0).all():
        checks.check_folds(folds, cases, TABLE, findings)
    else:
        findings.notes.append("no folds: it cannot be checked that no patient was in two folds")
    notes, faults = ([each.replace(f"{TABLE}: ", "") for each in part] for part in (findings.notes, findings.faults))
    notes += [note for note in _earlier_notes(other, name) if note.startswith(WARNING)]
    return ForeignNetwork(name, None if faults else table, tuple(notes), tuple(faults))


def _reasons_to_refuse(other: Run, name: str) -> Iterator[str]:
    """Yield why a network of the run ``other`` cannot be used: unfinished, damaged or stale."""
    folder = other.level1 / name
    verb = "oof" if (folder / "begun.json").is_file() else "stack"  # level two imports foreign networks again
    remedy = f"{command(verb, run=other.folder)} makes it again"
    content, fault = examine_mark(folder / "run.json")
    if content is None:
        yield (
            f"damaged: {fault}; {remedy}" if fault else f"not finished; {command('oof', run=other.folder)} finishes it"
        )
        return
    damage = find_damage(folder / "run.json")
    if damage:
        yield f"damaged: {'; '.join(damage)}; {remedy}"
        return
    first_mark, _ = examine_mark(folder / "begun.json")
    changes = differences_of(content, first_mark["made_from"]) if first_mark else []
    if content["made_from"].get("cases") not in (None, other.cases_digest()):
        changes.append("cases: made from another case table than the run has now")
    changes += _changed_sources(content, name)
    if changes:
        yield f"stale: {'; '.join(changes)}; {remedy}"


def _changed_sources(content: dict[str, Any], name: str) -> list[str]:
    """Return a sentence per file of an imported network that is still there, but has changed since the import."""
    folder, files = content.get("folder"), content["made_from"].get("files", {})
    if folder is None:
        return []
    source = Run(Path(folder))
    base = source.level1 if source.cases_mark.is_file() else source.folder
    own = content.get("files") or [key for key in files if key.split("/")[0] == name]
    paths = {base / key: files[key] for key in own}
    return [
        f"{path}: changed since it was imported"
        for path, digest in paths.items()
        if path.is_file() and digest_of_file(path) != digest
    ]


def _earlier_notes(other: Run, name: str) -> list[str]:
    """Return the notes with which the other run imported a network; it must not lose its warnings on the way."""
    summary, _ = examine_mark(other.folder / "foreign.json")
    return list((summary or {}).get("networks", {}).get(name, {}).get("notes", []))
