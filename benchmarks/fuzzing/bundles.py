"""Small sound bundles to be altered: one per learner, and one with a network of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level2_stack import learners
from level2_stack.portable.facts import Column, Member, StackFacts
from level2_stack.portable.stack import FACTS, model_folder
from melstack.bundle.manifest import (
    CARD,
    FORMAT,
    NETWORKS,
    STACK,
    Manifest,
    MetadataColumn,
    NetworkEntry,
    write_manifest,
)
from runtime.files import write_arrays, write_json, write_text

NETWORK = "onnx"  # the bundle whose network is altered; all others are named after a learner
SIDE, FEATURES = 16, 8  # px of a picture; features of the small network
SITES = ("head/neck", "lower extremity", "torso")


def kinds() -> list[str]:
    """Return the names of the bundles: every learner that is installed, and the network."""
    return [*(name for name in learners.names() if learners.is_installed(name)), NETWORK]


def training_rows(rows: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a drawn design with logits, a number with gaps and texts, and its target."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({f"logit.{name}": random.normal(size=rows) for name in "ab"})
    X["metadata.age_approx"] = np.where(random.random(rows) < 0.1, np.nan, random.integers(20, 80, rows))
    X["metadata.sex"] = pd.Categorical(random.choice(["female", "male"], rows))
    X["metadata.site"] = pd.Categorical(random.choice(SITES, rows))
    signal = X["logit.a"] + X["logit.b"] / 2 + (X["metadata.sex"] == "male") + (X["metadata.site"] == "torso")
    return X, (signal + random.normal(size=rows) > 1).to_numpy(np.float64)


def write_sound_bundle(kind: str, folder: Path) -> None:
    """Write the bundle called ``kind`` to ``folder``: two folds, and no more files than it needs."""
    X, y = training_rows()
    learner_name = "mean" if kind == NETWORK else kind
    learner = learners.find(learner_name)
    settings: dict[str, Any] = {"rounds": 20} if "rounds" in learner.Params.model_fields else {}
    settings |= {name: 0.1 for name in ("min_sum_hessian", "min_child_weight") if name in learner.Params.model_fields}
    own = X if learner.USES == "all" else X.filter(like="logit.")
    predict = learner.fit(learner.Params(**settings), own, y, groups=np.arange(len(X)).astype(object), seed=0)
    for fold in range(2):
        learner.save(predict, model_folder(folder / STACK, learner_name, fold, 0))
    write_json(
        folder / STACK / FACTS, _facts(learner_name, X, has_rounds=hasattr(predict, "stages")).model_dump(mode="json")
    )
    if kind == NETWORK:
        _write_network(folder / NETWORKS / "a")
    write_text(folder / CARD, "# A card\n")
    write_manifest(folder, _manifest(kind))


def new_cases() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return cases to predict and the predictions of both networks for them."""
    index = pd.Index([f"case_{number}" for number in range(4)], name="image_name")
    cases = pd.DataFrame({"patient_id": ["p", "p", "q", "q"], "age_approx": [50.0, 20, 75, np.nan]}, index=index)
    cases["sex"], cases["site"] = ["male", "female", None, "male"], ["torso", "head/neck", "torso", None]
    return cases, {name: pd.DataFrame({"probability": [0.1, 0.4, 0.9, 0.5]}, index=index) for name in "ab"}


def _facts(name: str, X: pd.DataFrame, *, has_rounds: bool) -> StackFacts:
    texts = X.select_dtypes("category").columns
    columns = [
        Column(name=str(each), categories=tuple(X[each].cat.categories) if each in texts else None) for each in X
    ]
    return StackFacts(
        submitted=name,
        members=(Member(name=name, seeds=1, rounds=(1.0, 1.0) if has_rounds else None, corrections=((0.0,), (0.0,))),),
        weights=((1.0,), (1.0,)),
        calibrators=({"name": "platt", "slope": 1.0, "intercept": -0.5},) * 2,
        trained=(0.4, 0.4),
        prevalence=None,
        columns=tuple(columns),
    )


def _manifest(kind: str) -> Manifest:
    text = {"sex": ("female", "male"), "site": SITES}
    metadata = {name: MetadataColumn(kind="text", values=values) for name, values in text.items()}
    return Manifest(
        format=FORMAT,
        run="drawn",
        recipe=kind,
        networks=tuple(NetworkEntry(name=name, foreign=kind != NETWORK or name != "a") for name in "ab"),
        blocks=("metadata",),
        contrasts=(),
        metadata={"age_approx": MetadataColumn(kind="number", low=20, high=80), **metadata},
        reference=None,
        ugly_limit=None,
        facts={"auc": 0.8},
        versions={},
        files={},
    )


def _write_network(folder: Path) -> None:
    """Write a frozen network of one convolution, with the outputs of an exported one: maps and features."""
    facts = {"name": "a", "method": "frozen", "image_size": SIDE, "views": ["identity", "mirror"], "targets": "binary"}
    write_json(folder / "network.json", {**facts, "metadata": False, "folds": 2})
    random = np.random.default_rng(1)
    for fold in range(2):
        head = {"kernel": random.normal(size=(FEATURES, 1)).astype(np.float32), "bias": np.zeros(1, np.float32)}
        write_arrays(folder / f"head_{fold}.npz", {**head, "power": np.array(1.0)})
    (folder / "network.onnx").write_bytes(network_bytes(random))


def network_bytes(random: np.random.Generator) -> bytes:
    """Return the ONNX of a small network with weights that ``random`` draws."""
    from onnx import TensorProto, helper, numpy_helper  # only training and this benchmark have it

    weights = random.normal(size=(FEATURES, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["channels", "weights"], ["convolved"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Transpose", ["positive"], ["maps"], perm=[0, 2, 3, 1]),
        helper.make_node("Squeeze", ["pooled", "axes"], ["features"]),
    ]
    shapes = {"pixels": (SIDE, SIDE, 3), "maps": (SIDE // 2, SIDE // 2, FEATURES), "features": (FEATURES,)}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    }
    tensors = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([2, 3]), "axes")]
    graph = helper.make_graph(nodes, "network", [values["pixels"]], [values["maps"], values["features"]], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return bytes(model.SerializeToString())
