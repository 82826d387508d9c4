"""Every network of a bundle on every picture: one decode each, in batches, and the statistics of the same decode."""

import io
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
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

BATCH = 32  # pictures whose squares wait in memory
WORTH_A_BAR = 64  # pictures; fewer are seen before a bar is of use


@dataclass(frozen=True)
class Seen:
    """What was seen of n pictures: their statistics, and what every fold of every network says of them."""

    names: list[str]
    statistics: pd.DataFrame | None
    networks: Mapping[str, PortableNetwork]
    outputs: Mapping[str, NetworkOutputs]

    def fold_tables(self, fold: int) -> dict[str, pd.DataFrame]:
        """Return probability and spread by the networks of one fold."""
        return {name: network.tables(self.names, self.outputs[name])[fold] for name, network in self.networks.items()}

    def mean_tables(self) -> dict[str, pd.DataFrame]:
        """Return probability and spread, the mean over the folds, as a test case has them in level one."""
        return {name: _mean(network.tables(self.names, self.outputs[name])) for name, network in self.networks.items()}

    @property
    def embeddings(self) -> dict[str, pd.DataFrame]:
        """The embeddings of every network, float16, as a test case has them in level one."""
        return {name: network.embeddings(self.names, self.outputs[name]) for name, network in self.networks.items()}


def see(networks: Mapping[str, PortableNetwork], rows: pd.DataFrame, pictures: Mapping[str, Path]) -> Seen:
    """Return what the ``networks`` say of the ``pictures`` of ``rows``, with their statistics.

    Raises InputFault where the networks have nothing to look at, or that names all the pictures that cannot be decoded,
    before it returns anything.
    """
    _refuse_without_pictures(networks, pictures)
    names = list(map(str, rows.index))
    if not pictures:
        return Seen(names, None, {}, {})
    parts: dict[str, list[NetworkOutputs]] = {name: [] for name in networks}
    measured: list[ScanResult] = []
    faults: dict[str, str] = {}
    sizes = sorted({network.facts.image_size for network in networks.values()})
    scanned = scan({name: pictures[name] for name in names}, sizes)
    with progress_bar("predicting", len(names)) if len(names) >= WORTH_A_BAR else nullcontext(_quiet) as advance:
        for batch in _batches(scanned):
            advance(len(batch))
            faults |= {item.name: item.fault for item in batch if item.fault is not None}
            sound = [] if faults else batch  # once one is not decoded, the others only tell whether they are
            measured += [ScanResult(item.name, item.statistics) for item in sound]
            _listen(networks, rows, sound, parts)
    raise_undecodable(faults)
    outputs = {name: NetworkOutputs.concatenate(part) for name, part in parts.items()}
    return Seen(names, statistics_table(measured), networks, outputs)


def heat(
    networks: Mapping[str, PortableNetwork], rows: pd.DataFrame, pictures: Mapping[str, Path]
) -> dict[str, np.ndarray]:
    """Return per picture the mean over ``networks`` of their rectified attention, float32 (rows, columns), 0 to 1.

    Maps of different sizes are enlarged to the largest. Raises InputFault as ``see`` does.
    """
    _refuse_without_pictures(networks, pictures)
    names = list(map(str, rows.index))
    sizes = sorted({network.facts.image_size for network in networks.values()})
    scanned = list(scan({name: pictures[name] for name in names}, sizes, measure=False))
    raise_undecodable({item.name: item.fault for item in scanned if item.fault is not None})
    if not networks:
        return {}
    maps = []
    for network in networks.values():
        found = network.attention(_squares(scanned, network), network.metadata_of(rows))
        maps.append(_rectified(found))
    side = max(one.shape[1] for one in maps)
    mean = np.mean([[_enlarged(one, side) for one in stack] for stack in maps], axis=0)
    return dict(zip(names, np.asarray(mean, np.float32), strict=True))


def _refuse_without_pictures(networks: Mapping[str, PortableNetwork], pictures: Mapping[str, Path]) -> None:
    if networks and not pictures:
        raise InputFault(
            f"no pictures of the cases, at which networks of the bundle look: {list_names(networks)}; a folder has "
            f"them in jpeg/test, or where a {MAPPING} says"
        )


def _quiet(count: int) -> None:
    """Show nothing of ``count`` more pictures."""


def _listen(
    networks: Mapping[str, PortableNetwork],
    rows: pd.DataFrame,
    batch: list[ScanResult],
    parts: dict[str, list[NetworkOutputs]],
) -> None:
    own = rows.loc[[item.name for item in batch]]
    for name, network in networks.items() if batch else ():
        parts[name].append(network.predict(_squares(batch, network), network.metadata_of(own)))


def _squares(scanned: list[ScanResult], network: PortableNetwork) -> np.ndarray:
    """Return the pictures as the network takes them, uint8 (n, side, side, 3).

    They went through the same JPEG as in training: its small losses are part of what the network knows.
    """
    side = network.facts.image_size
    return np.stack([np.asarray(Image.open(io.BytesIO(item.jpegs[side]))) for item in scanned])


def _batches(scanned: Iterator[ScanResult]) -> Iterator[list[ScanResult]]:
    while batch := list(islice(scanned, BATCH)):
        yield batch


def _mean(tables: list[pd.DataFrame]) -> pd.DataFrame:
    values = np.mean([table.to_numpy(np.float64) for table in tables], axis=0)
    return pd.DataFrame(values, index=tables[0].index, columns=tables[0].columns)


def _rectified(maps: np.ndarray) -> np.ndarray:
    positive = np.maximum(maps, 0.0)
    return np.asarray(positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny))


def _enlarged(one: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(one.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
