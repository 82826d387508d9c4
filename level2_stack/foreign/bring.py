"""Import a folder of foreign networks' predictions into a run, as level-one models like those trained in it."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from level2_stack.foreign.messages import print_networks
from runtime.errors import InputFault, list_names
from runtime.files import read_json
from runtime.progress import say
from runtime.provenance import digest_of_code, digest_of_file, find_damage, is_fresh, read_mark, write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

if TYPE_CHECKING:
    from level2_stack.foreign.read import ForeignImport

RUN_FILES = ("predictions.parquet", "run.json", "begun.json")  # of a network in a run


def import_into_run(run: Run, folder: Path, trust: Collection[str]) -> None:
    """Check every network in ``folder``; write level1/<network>/predictions.parquet for those without faults.

    ``folder`` has <network>/oof.csv and test.csv, or other files that can mean these only (network_files.py), or it is
    another run, whose networks are taken from its tables. Repairs and refusals are printed with their reasons, also
    when nothing has changed since the last import. If ``folder`` is gone, the tables of the last import from it are
    used. Raises InputFault if a network has the name of another network of this run, or if all networks are refused.
    """
    earlier = _import_from_lost(folder, run)
    if earlier is not None and earlier["trust"] == sorted(trust):
        say(f"foreign networks: {folder} is not there; the tables that were imported from it are used")
        return
    made_from = import_ingredients(run, folder, trust)
    summary = run.folder / "foreign.json"
    own = {} if _is_run(folder) else _own_networks(run)
    if is_fresh(summary, made_from, _tables(run, summary)) and read_json(summary).get("own", {}) == own:
        print_networks(read_json(summary), "fresh")
        return
    check_source(run, folder)
    foreign = _read(run, folder, trust)
    _write(run, folder, foreign, trust, made_from)
    networks = {
        each.name: {"notes": list(each.notes), "readings": list(each.readings), "refusal": list(each.refusal)}
        for each in foreign.networks
    }
    outputs = [_table(run, network.name) for network in foreign.valid_networks]
    facts = {"networks": networks, "notes": list(foreign.notes), "folder": str(folder.resolve())}
    facts |= {"trust": sorted(trust), "own": own}
    write_mark(summary, made_from, outputs, **facts)
    print_networks(facts, "imported")


def import_after_training(run: Run, folder: Path, trust: Collection[str]) -> None:
    """Import ``folder`` again if networks were trained in the run since: these confirm the order of its test rows."""
    summary = read_mark(run.folder / "foreign.json")
    is_older = summary is not None and summary.get("own", {}) != _own_networks(run)
    if is_older and folder.is_dir() and not _is_run(folder):
        say("foreign networks: compared with the networks of this run")
        import_into_run(run, folder, trust)


def check_source(run: Run, folder: Path) -> None:
    """Raise InputFault if ``folder`` cannot be imported into ``run`` at all, which is seen before long work.

    It is the run itself, has a network with the name of another network of the run, or is a run over other cases.
    """
    if folder.resolve() in [path.resolve() for path in (run.folder, run.level1, run.level2)]:
        raise InputFault(f"{folder}: the predictions of this run itself; name a folder of other networks' predictions")
    own_names = [name for name in networks_in(folder) if _is_taken(run, name, folder)]
    clashes = [name for name in own_names if not _is_same(run, name, folder)]
    if clashes:
        raise InputFault(
            f"{folder}: foreign networks with the name of a network of this run: {list_names(clashes)}; "
            f"{rename_remedy(folder)}"
        )
    if _is_run(folder):
        from level2_stack.foreign.other_run import match_cases

        match_cases(run.read_cases(), Run(folder).read_cases(), str(folder))


def check_files(folder: Path, trust: Collection[str]) -> None:
    """Raise InputFault if ``folder``, unless it is a run, has only networks that no cases could make valid."""
    if not _is_run(folder):
        from level2_stack.foreign.first_look import check_folder

        check_folder(folder, trust)


def check_import(run: Run, folder: Path, trust: Collection[str]) -> None:
    """Raise InputFault if ``import_into_run`` would; write nothing."""
    if _import_from_lost(folder, run) is None:
        check_source(run, folder)
        _read(run, folder, trust)


def networks_in(folder: Path, run: Run | None = None) -> list[str]:
    """Return the sorted names of the networks in ``folder`` that can be imported; raise InputFault without a folder.

    They have an oof.csv or, if the folder is another run, are finished there. If the folder is gone and ``run`` still
    has the tables that were imported from it, the names are those of the tables.
    """
    if run is not None and (earlier := _import_from_lost(folder, run)) is not None:
        return sorted(name for name, network in earlier["networks"].items() if not network["refusal"])
    _check_folder(folder)
    if _is_run(folder):
        return Run(folder).networks()
    from level2_stack.foreign.network_files import find_networks

    return [network.name for network in find_networks(folder).networks if "train" in network.files]


def rename_remedy(folder: Path) -> str:
    """Return what to do if a network in ``folder`` has the name of a network of the run."""
    if _is_run(folder):
        return f"copy their folders from {folder / 'level1'} to a new folder, under other names, and import that folder"
    return "rename their folders"


def _import_from_lost(folder: Path, run: Run) -> dict[str, Any] | None:
    """Return the content of the run's foreign.json if its tables come from ``folder``, are intact, and it is gone."""
    summary = run.folder / "foreign.json"
    content = None if folder.is_dir() else read_mark(summary)
    if content is None or Path(content["folder"]).resolve() != folder.resolve():
        return None
    is_intact = not find_damage(summary) and all(path.is_file() for path in _tables(run, summary))
    return content if is_intact and content["made_from"]["cases"] == run.cases_digest() else None


def _read(run: Run, folder: Path, trust: Collection[str]) -> "ForeignImport":
    if _is_run(folder):
        from level2_stack.foreign.other_run import import_run

        foreign = import_run(folder, run.read_cases(), trust)
    else:
        from level2_stack.foreign.read import import_predictions
        from level2_stack.foreign.witnesses.predictions import own_witnesses, picture_statistics

        own = own_witnesses(run, _own_networks(run))
        foreign = import_predictions(folder, run.read_cases(), trust, own, picture_statistics(run))
    own_names = [network.name for network in foreign.networks if _is_taken(run, network.name, folder)]
    notes = [f"{name}: left out, this run has a network of that name" for name in own_names]
    networks = tuple(network for network in foreign.networks if network.name not in own_names)
    return replace(foreign, networks=networks, notes=(*foreign.notes, *notes))


def _write(run: Run, folder: Path, foreign: "ForeignImport", trust: Collection[str], made_from: dict[str, Any]) -> None:
    """Write the tables of the valid networks, and delete those of networks that are refused now."""
    for network in foreign.networks:
        # A network that was imported before and is refused now must not be stacked.
        shutil.rmtree(run.level1 / network.name, ignore_errors=True)
        if network.table is not None:
            table, mark = _table(run, network.name), run.level1 / network.name / "run.json"
            write_table(table, network.table)
            files = _files_of(folder).get(network.name, [])
            write_mark(mark, made_from, [table], folder=str(folder.resolve()), trust=sorted(trust), files=files)


def _table(run: Run, network: str) -> Path:
    return run.level1 / network / "predictions.parquet"


def _tables(run: Run, summary: Path) -> list[Path]:
    """Return the tables and marks of the networks that an earlier import accepted."""
    networks = (read_mark(summary) or {"networks": {}})["networks"]
    names = [name for name, network in networks.items() if not network["refusal"]]
    return [path for name in names for path in (_table(run, name), run.level1 / name / "run.json")]


def _is_run(folder: Path) -> bool:
    return Run(folder).cases_mark.is_file()


def _is_own(run: Run, name: str) -> bool:
    """Return whether the training of a network of this name has begun in the run."""
    return (run.level1 / name / "begun.json").is_file()


def _is_taken(run: Run, name: str, folder: Path) -> bool:
    """Return whether the run has a network of this name that an import of ``folder`` must not replace.

    It was trained in the run, or ``folder`` is another run and the network was imported from elsewhere.
    """
    content = read_mark(run.level1 / name / "run.json") or {}
    is_from_elsewhere = content.get("folder", str(folder.resolve())) != str(folder.resolve())
    return _is_own(run, name) or (_is_run(folder) and is_from_elsewhere)


def _is_same(run: Run, name: str, folder: Path) -> bool:
    """Return whether ``folder`` is a run whose network of this name has the same table, as if it came from here."""
    tables = [_table(run, name), _table(Run(folder), name)]
    return all(path.is_file() for path in tables) and digest_of_file(tables[0]) == digest_of_file(tables[1])


def _own_networks(run: Run) -> dict[str, str]:
    """Return name -> digest of the table for the networks that were trained in ``run`` and are not damaged."""
    names = [name for name in run.networks() if _is_own(run, name)]
    intact = [name for name in names if not find_damage(run.level1 / name / "run.json")]
    return {name: digest_of_file(table) for name in intact if (table := _table(run, name)).is_file()}


def import_ingredients(run: Run, folder: Path, trust: Collection[str]) -> dict[str, Any]:
    """Return what an import depends on: the cases, the files in ``folder``, the trusted networks, and the code.

    Raises InputFault if ``folder`` does not exist.
    """
    _check_folder(folder)
    ingredients = {
        "cases": run.cases_digest(),
        "trust": sorted(trust),
        "code": digest_of_code(Path(__file__).parent.rglob("*.py")),
    }
    if _is_run(folder):
        ingredients["cases of the other run"] = Run(folder).cases_digest()
    base = Run(folder).level1 if _is_run(folder) else folder
    files = sorted(key for keys in _files_of(folder).values() for key in keys)
    return ingredients | {"files": {key: digest_of_file(base / key) for key in files}}


def _files_of(folder: Path) -> dict[str, list[str]]:
    """Return network -> its files that an import reads, relative to ``folder`` or, of a run, to its level one."""
    if _is_run(folder):
        base = Run(folder).level1
        paths = [path for path in sorted(base.glob("*/*")) if path.name in RUN_FILES and path.is_file()]
        names = sorted({path.parent.name for path in paths})
        return {name: [f"{name}/{path.name}" for path in paths if path.parent.name == name] for name in names}
    from level2_stack.foreign.network_files import find_networks

    networks = find_networks(folder).networks
    return {network.name: [path.relative_to(folder).as_posix() for path in network.paths()] for network in networks}


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputFault(
            f"{folder}: no such folder; foreign predictions are expected in <network>/oof.csv and <network>/test.csv, "
            "or in another run"
        )
