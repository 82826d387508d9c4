"""Find the networks in a folder of predictions: the files of each, its name, and the files that are not read."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from level2_stack.foreign.file_names import (
    ROLES,
    TableFile,
    ending_of,
    is_hidden,
    make_name,
    only_candidate,
    table_file,
    tables_in,
    unread_in_words,
    visible_files,
)
from runtime.errors import InputFault, did_you_mean, list_names
from runtime.invocation import option

EXPECTED = "expected sub-folders <network>/ with oof.csv and test.csv"


@dataclass(frozen=True)
class NetworkFiles:
    """The files of one network: ``files`` has the paths of its roles, several if there is a file per fold.

    ``source`` is the folder or the files by which the user knows it. ``absent`` says, for a role without files, what
    is missing and what was found. ``readings`` are sentences on what was guessed, ``notes`` name files that are not
    read, ``faults`` refuse the network.
    """

    name: str
    source: str
    files: Mapping[str, tuple[Path, ...]]
    absent: Mapping[str, str]
    readings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_flat: bool = False  # its files are not in a folder of its own

    def paths(self) -> list[Path]:
        """Return the paths of all files."""
        return [path for paths in self.files.values() for path in paths]


@dataclass(frozen=True)
class PredictionsFolder:
    """A folder of predictions: its ``networks``, sorted by name, and ``notes`` on what in it is not read."""

    networks: tuple[NetworkFiles, ...]
    notes: tuple[str, ...]

    def names_of(self, trust: Collection[str]) -> set[str]:
        """Return the networks' names for the names in ``trust``, which may be those of their folders."""
        return {network.name for network in self.networks if {network.name, network.source} & set(trust)}


def find_networks(folder: Path, trust: Collection[str] = ()) -> PredictionsFolder:
    """Return the networks in ``folder``: its sub-folders with tables, and the tables that are directly in it.

    Raises InputFault if there is none, or if none has a name of ``trust``.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    folders = [path for path in inside if path.is_dir()]
    visible = [path for path in folders if not is_hidden(path) and tables_in(path)]
    networks = [_of_folder(path) for path in visible]
    flat, unread = _of_flat_files(folder, [path for path in inside if path.is_file() and not is_hidden(path)])
    networks = _with_distinct_names([*networks, *flat])
    if not networks:
        raise InputFault(f"{folder}: no predictions; {EXPECTED}{_hint(folder, unread)}")
    _check_trust(folder, networks, trust)
    notes = []
    if other_folders := [f"{path.name}/" for path in folders if path not in visible]:
        notes.append(f"folders left out, since they are hidden or have no table: {list_names(other_folders)}")
    if unread:
        notes.append(f"not read: {unread_in_words(unread)}")
    return PredictionsFolder(tuple(sorted(networks, key=lambda network: network.name)), tuple(notes))


def _of_folder(folder: Path) -> NetworkFiles:
    """Return the network whose files are in ``folder``."""
    files, absent, readings = dict[str, tuple[Path, ...]](), dict[str, str](), list[str]()
    tables = tables_in(folder)
    others = [table.path for table in tables if table.role is None]
    for role, stem in ROLES.items():
        of_role = [table for table in tables if table.role == role]
        exact = [table for table in of_role if table.fits_exactly]
        paths = tuple(table.path for table in exact[:1]) or only_candidate(of_role)
        if paths:
            files[role] = paths
            readings += [] if exact else [f"{_names(paths)}: read as {stem}.csv, {_reason(paths)}"]
        else:
            absent[role] = f"{stem}.csv is missing{_absence(folder, of_role, others, stem)}"
    read = {path for paths in files.values() for path in paths}
    unread = [path for path in visible_files(folder) if path not in read]
    notes = (f"not read: {unread_in_words(unread)}",) if unread else ()
    name, faults = make_name(folder.name), list[str]()
    if not name:
        faults.append(f"the folder name {folder.name!r} has no character of A-Z, a-z, 0-9; rename the folder")
    elif name != folder.name:
        readings.insert(0, f"folder {folder.name!r}: its network is named {name}")
    return NetworkFiles(name or folder.name, folder.name, files, absent, tuple(readings), tuple(faults), notes)


def _reason(paths: tuple[Path, ...]) -> str:
    return "a file per fold" if len(paths) > 1 else "the only file whose name can mean it"


def _absence(folder: Path, candidates: list[TableFile], others: list[Path], stem: str) -> str:
    """Return what was found in place of the missing file ``stem``, and the step that corrects it."""
    if candidates:
        return (
            f"; several files can be meant ({_names(table.path for table in candidates)}): name one of them {stem}.csv"
        )
    if others:
        step = f"rename the file that holds these predictions to {stem}{ending_of(others[0])}"
        return f"; found {_names(others)}: {step}"
    unread = [path for path in visible_files(folder) if not ending_of(path)]
    return f"; not read: {unread_in_words(unread)}" if unread else ""


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _of_flat_files(folder: Path, files: list[Path]) -> tuple[list[NetworkFiles], list[Path]]:
    """Return the networks of tables that are directly in ``folder``, and the files that belong to none of them."""
    tables = [table_file(path) for path in files if ending_of(path)]
    groups = defaultdict[str, dict[str, list[TableFile]]](lambda: defaultdict(list))
    for table in tables:
        if table.role is not None:
            groups[table.key][table.role].append(table)
    _join_single_pair(groups)
    has_train = any("train" in group for group in groups.values())
    # Without any out-of-fold table, these are predictions of new cases.
    of_networks = {key: group for key, group in groups.items() if "train" in group or not has_train}
    alone = [table for key, group in groups.items() if key not in of_networks for table in group["test"]]
    networks = [_of_group(folder, key, group, alone) for key, group in of_networks.items()]
    read = {path for network in networks for path in network.paths()}
    read |= {table.path for group in of_networks.values() for tables in group.values() for table in tables}
    return networks, [path for path in files if path not in read]


def _join_single_pair(groups: dict[str, dict[str, list[TableFile]]]) -> None:
    """Join the only group with out-of-fold tables alone and the only one with test tables alone: one network."""
    alone = {role: [key for key, group in groups.items() if set(group) == {role}] for role in ROLES}
    if len(groups) == 2 and all(len(keys) == 1 for keys in alone.values()):
        (train,), (test,) = alone.values()
        pair = groups.pop(train) | groups.pop(test)
        groups[train or test] = pair


def _of_group(folder: Path, key: str, group: Mapping[str, list[TableFile]], alone: list[TableFile]) -> NetworkFiles:
    """Return the network of the tables that are directly in ``folder`` and have the same ``key`` in their names.

    ``alone`` are test tables that belong to no network.
    """
    own_name = key or folder.resolve().name
    name, files, absent = make_name(own_name), dict[str, tuple[Path, ...]](), dict[str, str]()
    for role, stem in ROLES.items():
        tables = [table for table in group.get(role, []) if table.fits_exactly][:1] or group.get(role, [])
        if paths := only_candidate(tables):
            files[role] = paths
        else:
            usual_name = f"{stem}{f'_{key}' if key else ''}"
            others = [table.path for table in alone] if role == "test" else []
            absent[role] = f"{usual_name}.csv is missing{_absence(folder, tables, others, usual_name)}"
    names = _names(table.path for tables in group.values() for table in tables)
    readings = (f"{names}: read as the files of network {name}",)
    faults = () if name else (f"{names}: no name can be made of {own_name!r}; move them into a folder <network>/",)
    return NetworkFiles(name or own_name, own_name, files, absent, readings, faults, is_flat=True)


def _with_distinct_names(networks: list[NetworkFiles]) -> list[NetworkFiles]:
    """Return ``networks`` with a fault for each that has the name of another one."""
    counts, sources = Counter(network.name for network in networks), defaultdict[str, list[str]](list)
    for network in networks:
        sources[network.name].append(network.source)
    return [
        network if counts[network.name] == 1 else replace(network, faults=(*network.faults, _clash(network, sources)))
        for network in networks
    ]


def _clash(network: NetworkFiles, sources: Mapping[str, list[str]]) -> str:
    names = ", ".join(map(repr, sources[network.name]))
    return f"{names} would all be network {network.name}; rename all except one"


def _check_trust(folder: Path, networks: list[NetworkFiles], trust: Collection[str]) -> None:
    names = {name for network in networks for name in (network.name, network.source)}
    unknown = sorted(set(trust) - names)
    if unknown:
        hint = did_you_mean(unknown[0], [network.name for network in networks])
        raise InputFault(f"{folder}: trust names {unknown[0]!r}, which is not a network of this folder; {hint}")


def _hint(folder: Path, unread: list[Path]) -> str:
    """Return what is in a folder without networks, and the step that makes it one with networks."""
    deeper = sorted({path.parent.parent for path in folder.glob("*/*/*") if ending_of(path) and not is_hidden(path)})
    deeper = [path for path in deeper if not is_hidden(path)]
    if deeper:
        return f"; tables are one folder deeper, in {deeper[0]}: name this folder, {option('foreign', deeper[0])}"
    if unread:
        step = "move each network's two files into a folder of its own, as oof.csv and test.csv"
        return f"; found {unread_in_words(unread)}: {step}"
    return ""
