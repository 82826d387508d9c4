"""Read foreign networks' predictions: folders of oof.csv and test.csv, strictly checked, as level-one tables."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.folder.notes import warning
from level2_stack.foreign import checks
from level2_stack.foreign.checks import numbered_columns
from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.network_files import NetworkFiles, find_networks
from level2_stack.foreign.parts import read_part
from level2_stack.foreign.scale import add_range_fault, read_scale
from level2_stack.foreign.views import check_views
from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.leak_signs import check_signs
from level2_stack.foreign.witnesses.missing_rows import check_missing_rows
from level2_stack.foreign.witnesses.predictions import METADATA, STATISTICS, facts_of, metadata_witness
from level2_stack.foreign.witnesses.relation import patient_numbers
from level2_stack.foreign.witnesses.row_order import check_orders
from level2_stack.foreign.witnesses.twins import check_twins
from runtime.errors import Faults, InputFault, did_you_mean


@dataclass(frozen=True)
class ForeignNetwork:
    """One network: its level-one ``table`` (None if refused), ``notes`` on repairs, reasons for a ``refusal``.

    Of the notes, ``readings`` say what was guessed.
    """

    name: str
    table: pd.DataFrame | None
    notes: tuple[str, ...]
    refusal: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()


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


def import_predictions(
    folder: Path,
    cases: pd.DataFrame,
    trust: Collection[str] = (),
    own: Collection[Candidate] = (),
    statistics: pd.DataFrame | None = None,
) -> ForeignImport:
    """Read and check the networks in ``folder`` (network_files.py) against the case table, each network on its own.

    The networks named in ``trust`` are accepted even if the others do not confirm the order of their test rows; a note
    warns of it, and of signs that their rows are not out of fold. Any other fault refuses these networks too. ``own``
    are the predictions of the run's own networks, whose rows are in order, and ``statistics`` those of its pictures.

    A table has one row per train and test case, in the order of ``cases`` (without role extra): probability (float64;
    NaN for a train case without a row), spread (float64; standard deviation over the views, ddof 0; NaN without views),
    fold (int8; from the file, -1 without one). Raises InputFault if all networks are refused.
    """
    content = find_networks(folder, trust)
    candidates = [_read_network(files, cases) for files in content.networks]
    _ask_witnesses(candidates, cases, content.names_of(trust), own, statistics)
    refuse_if_none_is_valid(candidates, folder)
    return ForeignImport(tuple(_finish(candidate, cases) for candidate in candidates), content.notes)


def _ask_witnesses(
    candidates: Collection[Candidate],
    cases: pd.DataFrame,
    trust: Collection[str],
    own: Collection[Candidate],
    statistics: pd.DataFrame | None,
) -> None:
    """Check the row order of the valid networks, whether their scores are out of fold, missing rows, and copies."""
    reliable, patients = [each for each in candidates if each.is_valid], patient_numbers(cases)
    if (cases["role"] == "test").any():
        facts, name = facts_of(cases, statistics), METADATA if statistics is None else STATISTICS
        model = lambda network: metadata_witness(network, facts, cases, patients, name)  # noqa: E731
        reliable = check_orders(reliable, trust, patients, own, model)
    check_signs(reliable, own, cases, patients, trust)
    check_missing_rows(reliable, own, cases.loc[cases["role"] == "train", "target"], trust)
    check_twins(reliable, own, trust)


def read_foreign_predictions(
    folder: Path, names: Collection[str], cases: pd.DataFrame, notes: list[str]
) -> dict[str, pd.DataFrame]:
    """Read the predictions of the networks ``names`` for new ``cases`` from ``folder``/<network>/test.csv.

    ``cases`` has the index image_name. The tables are those of ``import_predictions`` with the same checks, except that
    of the row order; repairs are added to ``notes``. Raises InputFault that lists the faults of all files.
    """
    as_test = pd.DataFrame({"role": "test"}, index=cases.index.astype(str).rename("image_name"))
    faults, tables = Faults(), dict[str, pd.DataFrame]()
    for name, files in _files_of(folder, names, notes).items():
        network = Candidate(name)
        network.findings.faults += files.faults
        network.findings.notes += files.readings
        read_part(network, files, "test", as_test)
        outside = checks.out_of_range(network.score("test")) if network.parts else ""
        if outside:
            add_range_fault(network.score("test"), outside, network.where("test"), network.findings)
        for sentence in network.findings.faults:
            faults.add(f"{name}: {sentence}")
        notes += [_as_note(name, note) for note in network.findings.notes]
        if network.is_valid:
            tables[name] = _table(network.parts, as_test)
    faults.raise_if_any(f"{folder}: predictions of other networks for the new cases")
    return tables


def _as_note(name: str, note: str) -> str:
    """Return a note on the network ``name`` as one on the new cases."""
    text = f"foreign network {name}: {note.removeprefix(WARNING)}"
    return warning(text) if note.startswith(WARNING) else text


def _files_of(folder: Path, names: Collection[str], notes: list[str]) -> dict[str, NetworkFiles]:
    """Return name -> files of the networks ``names`` in ``folder``; raise InputFault for one that has no files there.

    If one network is wanted and there is one, it may have any name: that of a single table is its folder's.
    """
    if not names:
        return {}
    content = find_networks(folder)
    files = {network.name: network for network in content.networks}
    notes += [f"{folder.name}: {note}" for note in content.notes]
    if len(names) == len(files) == 1 and content.networks[0].is_flat:
        (name,), (only,) = names, content.networks
        reading = f"{', '.join(path.name for path in only.paths())}: read as predictions of network {name}"
        return {name: replace(only, readings=(reading,))}
    missing = [name for name in names if name not in files]
    if missing:
        hint = did_you_mean(missing[0], list(files))
        raise InputFault(f"{folder}: no test.csv of network {', '.join(missing)}; {hint}")
    return {name: files[name] for name in names}


def refuse_if_none_is_valid(candidates: Collection[Candidate], folder: Path) -> None:
    """Raise InputFault with the faults of every network of ``folder`` if all of them have faults."""
    if any(candidate.is_valid for candidate in candidates):
        return
    faults = Faults()
    for candidate in candidates:
        for sentence in candidate.findings.faults:
            faults.add(f"{candidate.name}: {sentence}")
    faults.raise_if_any(f"{folder}: every network is refused")


def _read_network(files: NetworkFiles, cases: pd.DataFrame) -> Candidate:
    network = Candidate(files.name)
    network.findings.faults += files.faults
    network.findings.notes += files.notes
    for sentence in files.readings:
        network.findings.add_reading(sentence)
    read_part(network, files, "train", cases)
    if (cases["role"] == "test").any():
        read_part(network, files, "test", cases)
    if "train" in network.parts:
        read_scale(network, cases["target"])
        _check_out_of_fold(network, cases)
    if "test" in network.parts:
        network.out_of_range = checks.out_of_range(network.score("test"))
    return network


def _check_out_of_fold(network: Candidate, cases: pd.DataFrame) -> None:
    frame, findings, where = network.parts["train"], network.findings, network.where("train")
    outside = checks.out_of_range(frame["score"])
    if outside and network.is_valid:
        add_range_fault(frame["score"], outside, where, findings)
    views, target = frame[numbered_columns(frame, "tta")], cases["target"].reindex(frame.index)
    checks.check_target_leak(frame["score"], target, where, findings)
    check_views(frame, views, target, where, findings)
    findings.notes.append(f"{where}: {_view_sentence(views)}")
    if "fold" not in frame:
        findings.notes.append(f"{where}: no column fold: it cannot be checked that no patient was in two folds")
        return
    checks.check_folds(frame.loc[frame["score"].notna(), "fold"], cases, where, findings)


def _view_sentence(views: pd.DataFrame) -> str:
    if views.empty:
        return "no columns with views (tta0, tta1, ...): the spread over views is missing"
    counts = views.notna().sum(axis=1)
    rows = counts[counts > 0].value_counts().sort_index(ascending=False)
    return ", ".join(f"{number} views in {count} rows" for number, count in rows.items())


def _finish(network: Candidate, cases: pd.DataFrame) -> ForeignNetwork:
    notes, faults = tuple(network.findings.notes), tuple(network.findings.faults)
    table = _table(network.parts, cases) if network.is_valid else None
    return ForeignNetwork(network.name, table, notes, faults, tuple(network.findings.readings))


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
