"""A finished model as a folder of ONNX files and arrays; it predicts with every fold and needs no TensorFlow."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from level1_cnn.data.metadata import encode_metadata
from level1_cnn.data.targets import melanoma_column, melanoma_logits
from level1_cnn.inference.onnx_session import Session, open_session
from level1_cnn.inference.view_predictions import ViewPredictions, embedding_table, predict_views
from level1_cnn.training_settings import Targets
from runtime.errors import InputFault
from runtime.files import read_arrays, read_json
from runtime.settings import Settings, check_settings

FACTS = "network.json"
BACKBONE_FILE = "network.onnx"  # of a frozen model: one backbone for all folds
MAPS, FEATURES, LOGITS = 0, 1, 2  # indices of the outputs of an exported network; the frozen backbone has no logits


class NetworkFacts(Settings):
    """Facts about an exported model, as in ``network.json`` in its folder."""

    name: str
    method: Literal["frozen", "finetune"]
    image_size: int = Field(ge=1, le=4096)  # px
    views: tuple[str, ...]
    targets: Targets
    metadata: bool  # whether the network has metadata as a second input
    folds: int = Field(ge=1, le=1000)
    licence: str = ""  # of the weights of an ONNX file of others


@dataclass(frozen=True)
class Head:
    """The linear head of one fold: features (d,) -> logits (outputs,); ``power`` of the pooling, 1 for the average."""

    kernel: np.ndarray
    bias: np.ndarray
    power: float


@dataclass(frozen=True)
class NetworkOutputs:
    """Outputs of all folds for n pictures: melanoma ``logits`` (folds, n, views), ``embeddings`` (folds or 1, n, d)."""

    logits: np.ndarray
    embeddings: np.ndarray

    @staticmethod
    def concatenate(parts: "list[NetworkOutputs]") -> "NetworkOutputs":
        """Return the outputs of several batches as one, in the order of ``parts``."""
        return NetworkOutputs(
            np.concatenate([part.logits for part in parts], axis=1),
            np.concatenate([part.embeddings for part in parts], axis=1),
        )


class PortableNetwork:
    """A model that predicts with every fold; its sessions are opened once, and several threads can use them."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Read network.json in ``folder``; raise InputFault if it is missing or damaged. No ``threads``: all cores."""
        self.facts = read_facts(folder / FACTS)
        self._folder, self._threads = folder, threads

    def metadata_of(self, cases: pd.DataFrame) -> np.ndarray | None:
        """Return the metadata input (n, m) for ``cases``; None if the network has no such input."""
        return encode_metadata(cases) if self.facts.metadata else None

    def predict(self, pictures: np.ndarray, metadata: np.ndarray | None = None) -> NetworkOutputs:
        """Return the outputs of every fold for ``pictures``, uint8 (n, side, side, 3), in every view."""
        if self.facts.method == "frozen":
            return self._predict_with_heads(pictures)
        logits, embeddings = [], []
        for session in self._sessions:
            features, outputs = predict_views(session, pictures, self.facts.views, metadata)
            logits.append(melanoma_logits(outputs, self.facts.targets))
            embeddings.append(features.mean(axis=1))
        return NetworkOutputs(np.stack(logits), np.stack(embeddings))

    def tables(self, names: list[str], outputs: NetworkOutputs) -> list[pd.DataFrame]:
        """Return one table per fold with probability and spread over the views of the pictures ``names``."""
        return [ViewPredictions(names, logits, None, self.facts.views).table() for logits in outputs.logits]

    def embeddings(self, names: list[str], outputs: NetworkOutputs) -> pd.DataFrame:
        """Return the embeddings as level one writes them for test cases: float16, the mean over the folds."""
        folds = [embedding_table(names, embeddings) for embeddings in outputs.embeddings]
        if len(folds) == 1:
            return folds[0]
        mean = np.mean([table.to_numpy(np.float64) for table in folds], axis=0)
        return pd.DataFrame(mean, index=folds[0].index, columns=folds[0].columns).astype(np.float16)

    def attention(self, pictures: np.ndarray, metadata: np.ndarray | None = None) -> np.ndarray:
        """Return how much each cell of the last map adds to the log odds of melanoma, (n, rows, columns), fold mean.

        With average pooling and one logit it is exact (class activation, Zhou et al. 2016); otherwise it is the
        gradient of the log odds times the map (with average pooling this equals Grad-CAM, Selvaraju et al. 2017, before
        its rectifier).
        """
        pixels = np.asarray(pictures, np.float32)
        heat = []
        for fold, session in enumerate(self._sessions_with_maps):
            outputs = session(pixels, metadata)
            logits = outputs[LOGITS] if len(outputs) > LOGITS else outputs[FEATURES] @ self._heads[fold].kernel
            heat.append(_heat(outputs[MAPS], self._heads[fold], logits, self.facts.targets))
        return np.asarray(np.mean(heat, axis=0))

    def _predict_with_heads(self, pictures: np.ndarray) -> NetworkOutputs:
        features = predict_views(self._sessions[0], pictures, self.facts.views)[0].astype(np.float16)
        raw = features.astype(np.float32)
        logits = [raw @ head.kernel[:, 0] + head.bias[0] for head in self._heads]
        return NetworkOutputs(np.stack(logits), features.mean(axis=1, dtype=np.float32)[np.newaxis])

    def open(self) -> None:
        """Read all files of the network, as its first prediction does; raise InputFault for a damaged one."""
        _ = self._sessions, self._heads

    @cached_property
    def _sessions(self) -> list[Session]:
        outputs = [FEATURES] if self.facts.method == "frozen" else [FEATURES, LOGITS]
        return [open_session(path, threads=self._threads, outputs=outputs) for path in self._files]

    @cached_property
    def _sessions_with_maps(self) -> list[Session]:
        sessions = [open_session(path, threads=self._threads) for path in self._files]
        return sessions * self.facts.folds if self.facts.method == "frozen" else sessions

    @cached_property
    def _heads(self) -> list[Head]:
        return [read_head(self._folder / head_file(fold)) for fold in range(self.facts.folds)]

    @property
    def _files(self) -> list[Path]:
        if self.facts.method == "frozen":
            return [self._folder / BACKBONE_FILE]
        return [self._folder / fold_file(fold) for fold in range(self.facts.folds)]


def read_facts(path: Path) -> NetworkFacts:
    """Read the network.json at ``path``; raise InputFault when it is missing or has other keys."""
    if not path.is_file():
        raise InputFault(f"{path}: no such file; every exported network has one, so write the bundle again")
    return check_settings(read_json(path), NetworkFacts, str(path))


def fold_file(fold: int) -> str:
    """Return the file name of the network of ``fold`` of a fine-tuned model."""
    return f"fold_{fold}.onnx"


def head_file(fold: int) -> str:
    """Return the file name of the head of ``fold``."""
    return f"head_{fold}.npz"


def read_head(path: Path) -> Head:
    """Read the head at ``path``; raise InputFault when it is missing or damaged."""
    arrays = read_arrays(path, "kernel", "bias", "power")
    kernel, bias, power = (arrays[name] for name in ("kernel", "bias", "power"))
    is_numeric = all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (kernel, bias, power))
    if not is_numeric or kernel.ndim != 2 or bias.shape != kernel.shape[1:] or power.size != 1 or not power > 0:
        raise InputFault(
            f"{path}: not a head: kernel {kernel.shape}, bias {bias.shape} and power {power.shape} must be finite "
            "numbers of the shapes (features, outputs), (outputs,) and ()"
        )
    return Head(kernel, bias, float(power))


def _heat(maps: np.ndarray, head: Head, logits: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return the gradient of the log odds of melanoma times ``maps`` (n, rows, columns, channels), channel sums."""
    channels, cells = maps.shape[-1], maps.shape[1] * maps.shape[2]
    slopes = _slopes(head.kernel[:channels], logits, scheme)
    if head.power == 1:
        return np.asarray(np.einsum("nijc,nc->nij", maps, slopes) / cells)
    powers = np.maximum(maps, 1e-6) ** head.power
    features = powers.mean(axis=(1, 2)) ** (1 / head.power)
    return np.asarray(np.einsum("nijc,nc->nij", powers, slopes * features ** (1 - head.power)) / cells)


def _slopes(kernel: np.ndarray, logits: np.ndarray, scheme: Targets) -> np.ndarray:
    """Return the gradient (n, channels) of the log odds of melanoma with respect to the pooled features."""
    column = melanoma_column(scheme)
    if kernel.shape[1] == 1:
        return np.repeat(kernel[:, column][np.newaxis], len(logits), axis=0)
    others = np.delete(logits, column, axis=1)
    shares = np.exp(others - others.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(kernel[:, column] - shares @ np.delete(kernel, column, axis=1).T)
