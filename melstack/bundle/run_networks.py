"""Run all networks of a bundle on all pictures: each picture is decoded once, for the networks and the statistics."""

import io
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from features.folder.layout import MAPPING
from features.pictures.scan import ScanResult, raise_undecodable, scan, statistics_table
from level1_cnn.portable.network import NetworkOutputs, PortableNetwork
from runtime.errors import InputFault, list_names
from runtime.progress import progress_bar

BATCH = 32  # pictures in memory at a time
LEAST_FOR_BAR = 64  # pictures; fewer are predicted before a progress bar is of use


@dataclass(frozen=True)
class PictureResults:
    """The results for n pictures: their statistics, and the outputs of every fold of every network."""

    names: list[str]
    statistics: pd.DataFrame | None
    networks: Mapping[str, PortableNetwork]
    outputs: Mapping[str, NetworkOutputs]

    def fold_tables(self, fold: int) -> dict[str, pd.DataFrame]:
        """Return per network probability and spread by the network of one fold."""
        return {name: tables[fold] for name, tables in self._tables.items()}

    def mean_tables(self) -> dict[str, pd.DataFrame]:
        """Return per network probability and spread as mean over the folds, as level one does for test cases."""
        return {name: _mean(tables) for name, tables in self._tables.items()}

    @cached_property
    def _tables(self) -> dict[str, list[pd.DataFrame]]:
        return {name: network.tables(self.names, self.outputs[name]) for name, network in self.networks.items()}

    @property
    def embeddings(self) -> dict[str, pd.DataFrame]:
        """The embeddings of every network, float16, as level one writes them for test cases."""
        return {name: network.embeddings(self.names, self.outputs[name]) for name, network in self.networks.items()}


def scan_cases(
    networks: Mapping[str, PortableNetwork], rows: pd.DataFrame, pictures: Mapping[str, Path], *, measure: bool = True
) -> Iterator[ScanResult] | None:
    """Yield what ``networks`` read of the ``pictures`` of ``rows``, in their order; None without pictures.

    Raises InputFault when there are networks but no pictures.
    """
    _require_pictures(networks, pictures)
    if not pictures:
        return None
    return scan({name: pictures[name] for name in map(str, rows.index)}, square_sizes(networks), measure=measure)


def run_networks(
    networks: Mapping[str, PortableNetwork], rows: pd.DataFrame, scan_results: Iterator[ScanResult] | None
) -> PictureResults:
    """Return the outputs of ``networks`` for the pictures of ``rows``, and the pictures' statistics.

    ``scan_results`` are those of ``scan_cases``. Raises InputFault when pictures cannot be decoded (it lists them all).
    """
    names = list(map(str, rows.index))
    if scan_results is None:
        return PictureResults(names, None, {}, {})
    parts: dict[str, list[NetworkOutputs]] = {name: [] for name in networks}
    statistics: list[ScanResult] = []
    faults: dict[str, str] = {}
    bar = progress_bar("predicting", len(names)) if len(names) >= LEAST_FOR_BAR else nullcontext(_ignore)
    with bar as advance:
        for batch in _batches(scan_results):
            advance(len(batch))
            faults |= {item.name: item.fault for item in batch if item.fault is not None}
            # After a fault the remaining pictures are only decoded, so that the error lists all faults.
            sound = [] if faults else batch
            statistics += [ScanResult(item.name, item.statistics) for item in sound]
            _run_batch(networks, rows, sound, parts)
    raise_undecodable(faults)
    outputs = {name: NetworkOutputs.concatenate(part) for name, part in parts.items()}
    return PictureResults(names, statistics_table(statistics), networks, outputs)


def attention_maps(
    networks: Mapping[str, PortableNetwork], rows: pd.DataFrame, scan_results: list[ScanResult]
) -> dict[str, np.ndarray]:
    """Return per picture the mean over ``networks`` of their attention, float32 (rows, columns), 0 to 1.

    In each map negative values are set to 0 and the maximum is scaled to 1; smaller maps are enlarged to the largest.
    Raises InputFault as ``run_networks`` does.
    """
    names = list(map(str, rows.index))
    raise_undecodable({item.name: item.fault for item in scan_results if item.fault is not None})
    if not networks:
        return {}
    maps = [
        _rectify(network.attention(_squares(scan_results, network), network.metadata_of(rows)))
        for network in networks.values()
    ]
    maps = [stack for stack in maps if stack.shape[1] > 1]  # one cell: a network whose output is not a map
    if not maps:
        return {}
    side = max(stack.shape[1] for stack in maps)
    mean = np.mean([[_enlarge(each, side) for each in stack] for stack in maps], axis=0)
    return dict(zip(names, np.asarray(mean, np.float32), strict=True))


def _require_pictures(networks: Mapping[str, PortableNetwork], pictures: Mapping[str, Path]) -> None:
    if networks and not pictures:
        raise InputFault(
            f"the cases have no pictures, but networks of the bundle need them: {list_names(networks)}; put the "
            f"pictures into jpeg/test of the data folder, or name their folder in {MAPPING}"
        )


def square_sizes(networks: Mapping[str, PortableNetwork]) -> list[int]:
    """Return the sides in px of the squares that ``networks`` read."""
    return sorted({network.facts.image_size for network in networks.values()})


def _ignore(count: int) -> None:
    """Show no progress."""


def _run_batch(
    networks: Mapping[str, PortableNetwork],
    rows: pd.DataFrame,
    batch: list[ScanResult],
    parts: dict[str, list[NetworkOutputs]],
) -> None:
    if not batch:
        return
    own = rows.loc[[item.name for item in batch]]
    for name, network in networks.items():
        parts[name].append(network.predict(_squares(batch, network), network.metadata_of(own)))


def _squares(scan_results: list[ScanResult], network: PortableNetwork) -> np.ndarray:
    """Return the input of ``network``, uint8 (n, side, side, 3).

    The squares are decoded from JPEGs as in training, because the network was trained on pictures with JPEG losses.
    """
    side = network.facts.image_size
    return np.stack([np.asarray(Image.open(io.BytesIO(item.jpegs[side]))) for item in scan_results])


def _batches(scan_results: Iterator[ScanResult]) -> Iterator[list[ScanResult]]:
    while batch := list(islice(scan_results, BATCH)):
        yield batch


def _mean(tables: list[pd.DataFrame]) -> pd.DataFrame:
    values = np.mean([table.to_numpy(np.float64) for table in tables], axis=0)
    return pd.DataFrame(values, index=tables[0].index, columns=tables[0].columns)


def _rectify(maps: np.ndarray) -> np.ndarray:
    positive = np.maximum(maps, 0.0)
    return np.asarray(positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny))


def _enlarge(attention: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(attention.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
