"""Import a folder of foreign networks' predictions into a run, as level-one models like those trained in it."""

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
    """Check every network in ``folder``; write level1/<network>/predictions.parquet for those without faults.

    Repairs and refusals are printed with their reasons, also when nothing has changed since the last import. Raises
    InputFault if a network has the name of one trained in this run, or if all networks are refused.
    """
    made_from = import_ingredients(run, folder, trust)
    summary = run.folder / "foreign.json"
    if is_fresh(summary, made_from, _tables(run, summary)):
        _print_networks(read_json(summary)["networks"], "fresh")
        return
    own_names = [path.name for path in folder.iterdir() if path.is_dir() and _is_own(run, path.name)]
    if own_names:
        raise InputFault(
            f"{folder}: foreign networks with the name of a network trained in this run: {list_names(own_names)}; "
            "rename their folders"
        )
    networks = _import(run, folder, trust, made_from)
    outputs = [_table(run, name) for name, network in networks.items() if not network["refusal"]]
    write_mark(summary, made_from, outputs, networks=networks, folder=str(folder), trust=sorted(trust))
    _print_networks(networks, "imported")


def networks_in(folder: Path) -> list[str]:
    """Return the sorted names of the networks with an oof.csv in ``folder``; raise InputFault if it does not exist."""
    _check_folder(folder)
    return sorted(path.parent.name for path in folder.glob(f"*/{FILES[0]}"))


def _import(run: Run, folder: Path, trust: Collection[str], made_from: dict[str, Any]) -> dict[str, Any]:
    from level2_stack.foreign.read import import_predictions

    foreign = import_predictions(folder, run.read_cases(), trust)
    for network in foreign.networks:
        # A network that was imported before and is refused now must not be stacked.
        shutil.rmtree(run.level1 / network.name, ignore_errors=True)
        if network.table is not None:
            write_table(_table(run, network.name), network.table)
            write_mark(run.level1 / network.name / "run.json", made_from, [_table(run, network.name)])
    return {each.name: {"notes": list(each.notes), "refusal": list(each.refusal)} for each in foreign.networks}


def _table(run: Run, network: str) -> Path:
    return run.level1 / network / "predictions.parquet"


def _tables(run: Run, summary: Path) -> list[Path]:
    """Return the tables and marks of the networks that an earlier import accepted."""
    networks = (read_mark(summary) or {"networks": {}})["networks"]
    names = [name for name, network in networks.items() if not network["refusal"]]
    return [path for name in names for path in (_table(run, name), run.level1 / name / "run.json")]


def _is_own(run: Run, name: str) -> bool:
    """Return whether the training of a network of this name has begun in the run."""
    return (run.level1 / name / "begun.json").is_file()


def _print_networks(networks: dict[str, Any], status: str) -> None:
    for name, network in networks.items():
        say(f"foreign network {name}: {'REFUSED' if network['refusal'] else status}")
        for sentence in [*network["notes"], *network["refusal"]]:
            say(f"  {sentence}")


def import_ingredients(run: Run, folder: Path, trust: Collection[str]) -> dict[str, Any]:
    """Return what an import depends on: the cases, the files in ``folder``, the trusted networks, and the code.

    Raises InputFault if ``folder`` does not exist.
    """
    _check_folder(folder)
    files = [path / name for path in sorted(folder.iterdir()) if path.is_dir() for name in FILES]
    code = Path(__file__).parent.glob("*.py")
    return {
        "cases": run.cases_digest(),
        "files": {f"{path.parent.name}/{path.name}": digest_of_file(path) for path in files if path.is_file()},
        "trust": sorted(trust),
        "code": digest_of_code(code),
    }


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputFault(
            f"{folder}: no such folder; foreign predictions are expected in <network>/oof.csv and <network>/test.csv"
        )
