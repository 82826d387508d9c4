"""Import a folder of other networks' predictions into a run, as level-one models like any other."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from runtime.errors import InputFault, list_names
from runtime.files import read_json
from runtime.progress import say
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, read_mark, write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

FILES = ("oof.csv", "test.csv")


def import_into_run(run: Run, folder: Path, trust: Collection[str]) -> None:
    """Check every network in ``folder`` and write level1/<network>/predictions.parquet of those that hold.

    What is repaired, and who is refused and why, is said, again on every run. Raises InputFault when a network has the
    name of one trained here, or when none is acceptable.
    """
    made_from = import_ingredients(run, folder, trust)
    summary = run.folder / "foreign.json"
    if is_fresh(summary, made_from, _tables(run, summary)):
        _say_all(read_json(summary)["networks"], "fresh")
        return
    taken = [path.name for path in folder.iterdir() if path.is_dir() and _is_own(run, path.name)]
    if taken:
        raise InputFault(
            f"{folder}: a network trained in this run has the name of {list_names(taken)}; rename the folder"
        )
    networks = _import(run, folder, trust, made_from)
    outputs = [_table(run, name) for name, network in networks.items() if not network["refusal"]]
    write_mark(summary, made_from, outputs, networks=networks, folder=str(folder), trust=sorted(trust))
    _say_all(networks, "imported")


def networks_in(folder: Path) -> list[str]:
    """Return the names of the networks whose predictions ``folder`` holds, unchecked; raise InputFault without it."""
    if not folder.is_dir():
        raise InputFault(f"{folder}: no such folder of foreign predictions")
    return sorted(path.parent.name for path in folder.glob(f"*/{FILES[0]}"))


def _import(run: Run, folder: Path, trust: Collection[str], made_from: dict[str, Any]) -> dict[str, Any]:
    from level2_stack.foreign.read import import_predictions

    imported = import_predictions(folder, run.read_cases(), trust)
    for network in imported.networks:
        place = run.level1 / network.name
        # An import that no longer holds must not be stacked.
        shutil.rmtree(place, ignore_errors=True)
        if network.table is not None:
            write_table(_table(run, network.name), network.table)
            write_mark(place / "run.json", made_from, [_table(run, network.name)])
    return {one.name: {"notes": list(one.notes), "refusal": list(one.refusal)} for one in imported.networks}


def _table(run: Run, network: str) -> Path:
    return run.level1 / network / "predictions.parquet"


def _tables(run: Run, summary: Path) -> list[Path]:
    """Return the marks and tables of the networks that an earlier import accepted."""
    networks = (read_mark(summary) or {"networks": {}})["networks"]
    accepted = [name for name, network in networks.items() if not network["refusal"]]
    return [path for name in accepted for path in (_table(run, name), run.level1 / name / "run.json")]


def _is_own(run: Run, name: str) -> bool:
    """Tell whether level one has begun to train a network of this name in the run."""
    return (run.level1 / name / "begun.json").is_file()


def _say_all(networks: dict[str, Any], word: str) -> None:
    for name, network in networks.items():
        say(f"foreign network {name}: {'REFUSED' if network['refusal'] else word}")
        for sentence in [*network["notes"], *network["refusal"]]:
            say(f"  {sentence}")


def import_ingredients(run: Run, folder: Path, trust: Collection[str]) -> dict[str, Any]:
    """Return what an import is made from: the cases, the files in ``folder``, who is trusted, and the code."""
    if not folder.is_dir():
        raise InputFault(f"{folder}: no such folder of foreign predictions")
    files = [path / name for path in sorted(folder.iterdir()) if path.is_dir() for name in FILES]
    code = Path(__file__).parent.glob("*.py")
    return {
        "cases": run.cases_digest(),
        "files": {f"{path.parent.name}/{path.name}": digest_of_file(path) for path in files if path.is_file()},
        "trust": sorted(trust),
        "code": digest_of_code(code),
    }
