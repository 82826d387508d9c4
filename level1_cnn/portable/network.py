"""A finished model as a folder of ONNX files and arrays: every fold's predictions without TensorFlow."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from level1_cnn.data.metadata import encode_metadata
from level1_cnn.data.targets import melanoma_column, melanoma_logits
from level1_cnn.experiment import Targets
from level1_cnn.inference.onnx_export import Session, open_session
from level1_cnn.inference.view_predictions import ViewPredictions, embedding_table, predict_views
from runtime.errors import InputFault
from runtime.files import read_arrays, read_json
from runtime.settings import Settings, check_settings

FACTS = "network.json"
SHARED = "network.onnx"  # of a frozen model: one backbone for all folds
MAPS, FEATURES, LOGITS = 0, 1, 2  # the outputs of an exported network, in their order; a frozen one has no logits


class NetworkFacts(Settings):
    """What a model's files mean: ``network.json`` of its folder."""

    name: str
    method: Literal["frozen", "finetune"]
    image_size: int  # px
    views: tuple[str, ...]
    targets: Targets
    metadata: bool  # whether it takes metadata beside pixels
    folds: int


@dataclass(frozen=True)
class Head:
    """The linear head of one fold: features (d,) -> logits (outputs,); ``power`` of its pooling, 1 for the average."""

    kernel: np.ndarray
    bias: np.ndarray
    power: float


@dataclass(frozen=True)
class NetworkOutputs:
    """What all folds say of n pictures: ``logits`` (folds, n, views) of melanoma, ``embeddings`` (folds or 1, n, d)."""

    logits: np.ndarray
    embeddings: np.ndarray

    @staticmethod
    def concatenate(parts: "list[NetworkOutputs]") -> "NetworkOutputs":
        """Return the parts of some pictures as one."""
        return NetworkOutputs(
            np.concatenate([part.logits for part in parts], axis=1),
            np.concatenate([part.embeddings for part in parts], axis=1),
        )


class PortableNetwork:
    """A model of which every fold predicts; its sessions are opened once and may be used by several threads."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Read network.json; raise InputFault where a file is missing or damaged. ``threads`` None: every core."""
        self.facts = read_facts(folder / FACTS)
        self._folder, self._threads = folder, threads

    def metadata_of(self, cases: pd.DataFrame) -> np.ndarray | None:
        """Return what the network is told of ``cases`` beside their pictures, (n, m), or None."""
        return encode_metadata(cases) if self.facts.metadata else None

    def predict(self, pictures: np.ndarray, metadata: np.ndarray | None = None) -> NetworkOutputs:
        """Return what every fold says of ``pictures``, uint8 (n, side, side, 3), in every view."""
        if self.facts.method == "frozen":
            return self._by_heads(pictures)
        logits, embeddings = [], []
        for session in self._sessions:
            features, outputs = predict_views(session, pictures, self.facts.views, metadata)
            logits.append(melanoma_logits(outputs, self.facts.targets))
            embeddings.append(features.mean(axis=1))
        return NetworkOutputs(np.stack(logits), np.stack(embeddings))

    def tables(self, names: list[str], spoken: NetworkOutputs) -> list[pd.DataFrame]:
        """Return, fold by fold, probability and spread over the views of the pictures ``names``."""
        return [ViewPredictions(names, logits, None, self.facts.views).table() for logits in spoken.logits]

    def embeddings(self, names: list[str], spoken: NetworkOutputs) -> pd.DataFrame:
        """Return the embeddings as level one writes them for test cases: float16, the mean over the folds."""
        folds = [embedding_table(names, one) for one in spoken.embeddings]
        if len(folds) == 1:
            return folds[0]
        mean = np.mean([one.to_numpy(np.float64) for one in folds], axis=0)
        return pd.DataFrame(mean, index=folds[0].index, columns=folds[0].columns).astype(np.float16)

    def attention(self, pictures: np.ndarray, metadata: np.ndarray | None = None) -> np.ndarray:
        """Return what each cell of the last map adds to the log odds of melanoma, (n, rows, columns), mean over folds.

        For an average and one logit it is exact (class activation, Zhou et al. 2016); otherwise it is the gradient of
        the log odds times the map (which for an average equals Grad-CAM, Selvaraju et al. 2017, before its rectifier).
        """
        given = np.asarray(pictures, np.float32)
        heat = []
        for fold, session in enumerate(self._mapped):
            outputs = session(given, metadata)
            logits = outputs[LOGITS] if len(outputs) > LOGITS else outputs[FEATURES] @ self._heads[fold].kernel
            heat.append(_heat(outputs[MAPS], self._heads[fold], logits, self.facts.targets))
        return np.asarray(np.mean(heat, axis=0))

    def _by_heads(self, pictures: np.ndarray) -> NetworkOutputs:
        features = predict_views(self._sessions[0], pictures, self.facts.views)[0].astype(np.float16)
        raw = features.astype(np.float32)
        logits = [raw @ head.kernel[:, 0] + head.bias[0] for head in self._heads]
        return NetworkOutputs(np.stack(logits), features.mean(axis=1, dtype=np.float32)[np.newaxis])

    @cached_property
    def _sessions(self) -> list[Session]:
        wanted = [FEATURES] if self.facts.method == "frozen" else [FEATURES, LOGITS]
        return [open_session(path, threads=self._threads, outputs=wanted) for path in self._files]

    @cached_property
    def _mapped(self) -> list[Session]:
        opened = [open_session(path, threads=self._threads) for path in self._files]
        return opened * self.facts.folds if self.facts.method == "frozen" else opened

    @cached_property
    def _heads(self) -> list[Head]:
        return [read_head(self._folder / head_file(fold)) for fold in range(self.facts.folds)]

    @property
    def _files(self) -> list[Path]:
        shared = self.facts.method == "frozen"
        return [
            self._folder / (SHARED if shared else fold_file(fold)) for fold in range(1 if shared else self.facts.folds)
        ]


def read_facts(path: Path) -> NetworkFacts:
    """Return network.json at ``path``; raise InputFault when it is missing or not of that shape."""
    if not path.is_file():
        raise InputFault(f"{path}: no such file; the facts of an exported network were expected")
    return check_settings(read_json(path), NetworkFacts, str(path))


def fold_file(fold: int) -> str:
    """Return the name of the network of ``fold`` of a fine-tuned model."""
    return f"fold_{fold}.onnx"


def head_file(fold: int) -> str:
    """Return the name of the arrays of the head of ``fold``."""
    return f"head_{fold}.npz"


def read_head(path: Path) -> Head:
    """Return the head in ``path``; raise InputFault when it is missing or damaged."""
    held = read_arrays(path, "kernel", "bias", "power")
    return Head(held["kernel"], held["bias"], float(held["power"]))


def _heat(maps: np.ndarray, head: Head, logits: np.ndarray, scheme: Targets) -> np.ndarray:
    channels, cells = maps.shape[-1], maps.shape[1] * maps.shape[2]
    slopes = _slopes(head.kernel[:channels], logits, scheme)
    if head.power == 1:
        return np.asarray(np.einsum("nijc,nc->nij", maps, slopes) / cells)
    floored = np.maximum(maps, 1e-6)
    powers = floored**head.power
    pooled = powers.mean(axis=(1, 2)) ** (1 / head.power)
    return np.asarray(np.einsum("nijc,nc->nij", powers, slopes * pooled ** (1 - head.power)) / cells)


def _slopes(kernel: np.ndarray, logits: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return the gradient (n, channels) of the log odds of melanoma by the pooled features."""
    column = melanoma_column(scheme)
    if kernel.shape[1] == 1:
        return np.repeat(kernel[:, column][np.newaxis], len(logits), axis=0)
    others = np.delete(logits, column, axis=1)
    shares = np.exp(others - others.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(kernel[:, column] - shares @ np.delete(kernel, column, axis=1).T)
