"""Read foreign networks' predictions: folders of oof.csv and test.csv, strictly checked, as level-one tables."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.foreign import checks
from level2_stack.foreign.checks import Findings, numbered_columns
from level2_stack.foreign.columns import read_file, score_column
from level2_stack.foreign.row_order import Candidate, check_orders
from runtime.errors import Faults, InputFault, did_you_mean, list_names


@dataclass(frozen=True)
class ForeignNetwork:
    """One network: its level-one ``table`` (None if refused), ``notes`` on repairs, reasons for a ``refusal``."""

    name: str
    table: pd.DataFrame | None
    notes: tuple[str, ...]
    refusal: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignImport:
    """All networks of a folder, sorted by name, and ``notes`` on the folder as a whole."""

    networks: tuple[ForeignNetwork, ...]
    notes: tuple[str, ...] = ()

    @property
    def valid_networks(self) -> tuple[ForeignNetwork, ...]:
        """Return the networks that have a table."""
        return tuple(network for network in self.networks if not network.refusal)

    @property
    def refusals(self) -> tuple[ForeignNetwork, ...]:
        """Return the networks with faults that cannot be repaired."""
        return tuple(network for network in self.networks if network.refusal)


def import_predictions(folder: Path, cases: pd.DataFrame, trust: Collection[str] = ()) -> ForeignImport:
    """Read and check ``folder``/<network>/{oof.csv,test.csv} against the case table, each network on its own.

    The networks named in ``trust`` are accepted even if the others do not confirm the order of their test rows; a note
    warns of it. Any other fault refuses these networks too.

    A table has one row per train and test case, in the order of ``cases`` (without role extra): probability (float64;
    NaN for a train case without a row), spread (float64; standard deviation over the views, ddof 0; NaN without views),
    fold (int8; from the file, -1 without one). Raises InputFault if all networks are refused.
    """
    candidates = [_read_network(path, cases) for path in network_folders(folder, trust)]
    if (cases["role"] == "test").any():
        check_orders([candidate for candidate in candidates if candidate.is_valid], trust)
    refuse_if_none_is_valid(candidates, folder)
    return ForeignImport(tuple(_finish(candidate, cases) for candidate in candidates))


def network_folders(folder: Path, trust: Collection[str] = ()) -> list[Path]:
    """Return the folders of the networks in ``folder``; raise InputFault if it has none, or lacks one of ``trust``."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    folders = [path for path in inside if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        files = sorted(path.name for path in inside if path.suffix == ".csv")
        flat = f"; found {list_names(files)}: move each network's two files into a folder of its own" if files else ""
        raise InputFault(f"{folder}: no predictions; expected sub-folders <network>/ with oof.csv and test.csv{flat}")
    unknown = sorted(set(trust) - {path.name for path in folders})
    if unknown:
        raise InputFault(
            f"{folder}: trust names {unknown[0]!r}, which is not a network of this folder; "
            f"{did_you_mean(unknown[0], [path.name for path in folders])}"
        )
    return folders


def read_foreign_predictions(
    folder: Path, names: Collection[str], cases: pd.DataFrame, notes: list[str]
) -> dict[str, pd.DataFrame]:
    """Read the predictions of the networks ``names`` for new ``cases`` from ``folder``/<network>/test.csv.

    ``cases`` has the index image_name. The tables are those of ``import_predictions`` with the same checks, except that
    of the row order; repairs are added to ``notes``. Raises InputFault that lists the faults of all files.
    """
    as_test = pd.DataFrame({"role": "test"}, index=cases.index.astype(str).rename("image_name"))
    faults, tables = Faults(), dict[str, pd.DataFrame]()
    for name in names:
        network = Candidate(name)
        _read_part(network, folder / name / "test.csv", "test", as_test)
        outside = checks.out_of_range(network.score("test")) if network.parts else ""
        for sentence in [*network.findings.faults, *([f"test.csv: {outside}"] if outside else [])]:
            faults.add(f"{name}: {sentence}")
        notes += [f"foreign network {name}: {note}" for note in network.findings.notes]
        if network.is_valid:
            tables[name] = _table(network.parts, as_test)
    faults.raise_if_any(f"{folder}: predictions of other networks for the new cases")
    return tables


def refuse_if_none_is_valid(candidates: Collection[Candidate], folder: Path) -> None:
    """Raise InputFault with the faults of every network of ``folder`` if all of them have faults."""
    if any(candidate.is_valid for candidate in candidates):
        return
    faults = Faults()
    for candidate in candidates:
        for sentence in candidate.findings.faults:
            faults.add(f"{candidate.name}: {sentence}")
    faults.raise_if_any(f"{folder}: every network is refused")


def _read_network(folder: Path, cases: pd.DataFrame) -> Candidate:
    network = Candidate(folder.name)
    checks.check_name(folder.name, network.findings)
    _read_part(network, folder / "oof.csv", "train", cases)
    if (cases["role"] == "test").any():
        _read_part(network, folder / "test.csv", "test", cases)
    if "train" in network.parts:
        _check_out_of_fold(network, cases)
    if "test" in network.parts:
        network.out_of_range = checks.out_of_range(network.score("test"))
    return network


def _read_part(network: Candidate, path: Path, role: str, cases: pd.DataFrame) -> None:
    """Read one file into ``network.parts[role]``, one row per case of ``role``; add its faults to the findings."""
    findings, where = network.findings, path.name
    frame = read_file(path, cases, findings)
    if frame is None:
        return
    score = score_column(frame, role, cases, where, findings)
    if score is None:
        return
    columns = [name for name in frame.columns if name == score or re.fullmatch(r"fold|(fold|tta)\d+", name)]
    frame = checks.one_row_per_case(frame[columns], where, findings)
    frame[score] = checks.within_rounding(checks.finite_numbers(frame[score], where, findings), where, findings)
    for column in [name for name in columns if name != score]:
        frame[column] = _numbers_or_empty(frame[column], where, findings)
    frame = checks.rows_of_role(frame.rename(columns={score: "score"}), role, cases["role"], where, findings)
    for parts in (numbered_columns(frame, "tta"), numbered_columns(frame, "fold")):
        if parts:
            checks.note_mean(frame["score"], frame[parts], where, findings)
    network.parts[role] = frame


def _numbers_or_empty(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``column`` as numbers; empty cells are allowed, since folds may have different numbers of views."""
    return checks.finite_numbers(column.dropna(), where, findings).reindex(column.index)


def _check_out_of_fold(network: Candidate, cases: pd.DataFrame) -> None:
    frame, findings = network.parts["train"], network.findings
    outside = checks.out_of_range(frame["score"])
    if outside:
        findings.faults.append(f"oof.csv: {outside}; expected probabilities")
    views = numbered_columns(frame, "tta")
    checks.check_target_leak(frame["score"], frame[views], cases["target"].reindex(frame.index), findings)
    findings.notes.append(_view_sentence(frame[views]))
    if "fold" not in frame:
        findings.notes.append("oof.csv: no column fold: it cannot be checked that no patient was in two folds")
        return
    checks.check_folds(frame.loc[frame["score"].notna(), "fold"], cases, findings)


def _view_sentence(views: pd.DataFrame) -> str:
    if views.empty:
        return "oof.csv: no columns with views (tta0, tta1, ...): the spread over views is missing"
    counts = views.notna().sum(axis=1)
    rows = counts[counts > 0].value_counts().sort_index(ascending=False)
    return "oof.csv: " + ", ".join(f"{number} views in {count} rows" for number, count in rows.items())


def _finish(network: Candidate, cases: pd.DataFrame) -> ForeignNetwork:
    notes, faults = tuple(network.findings.notes), tuple(network.findings.faults)
    table = _table(network.parts, cases) if network.is_valid else None
    return ForeignNetwork(network.name, table, notes, faults)


def _table(parts: Mapping[str, pd.DataFrame], cases: pd.DataFrame) -> pd.DataFrame:
    frame = pd.concat(parts.values())
    views = frame[numbered_columns(frame, "tta")]
    # A single view has no spread; 0 would mean that the network is certain.
    spread = views.std(axis=1, ddof=0).where(views.notna().sum(axis=1) > 1)
    folds = frame["fold"].where(cases["role"].reindex(frame.index) == "train") if "fold" in frame else -1
    table = pd.DataFrame({"probability": frame["score"], "spread": spread, "fold": folds})
    table["fold"] = table["fold"].fillna(-1).astype(np.int8)
    order = cases.index[cases["role"].isin(["train", "test"])]
    return table.reindex(order).rename_axis("image_name")
