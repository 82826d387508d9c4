"""Leaks through the predictions of brought networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.planting.cases import LeakyTables
from benchmarks.planting.source import NetworkTables, Source

WEIGHTS = (0.25, 0.5, 1.0)  # by strength: of the predictions of training cases in a blend with honest ones
SHARES = (0.33, 0.6, 1.0)  # by strength: of the rows or patients in a wrong place
BLOCK = 100  # rows of a block
Order = Callable[[pd.DataFrame, float, np.random.Generator], np.ndarray]
WRONG_ROWS, WRONG_FOLDS = "row-order", "leaky-oof"  # words in the alarms of an import


def training_predictions(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
    """Blend the out-of-fold scores of the first network with scores of cases that it was trained on."""
    name, scores, spread = _first(source)
    target = source.train["target"].reindex(scores.index).to_numpy()
    memory = 0.5 * (scores - scores.mean()) + scores.mean()
    memory = memory + spread * (0.85 * random.normal(size=len(scores)) + 3 * target)
    return _with_oof(source, name, _blend(scores, memory, strength)), (name, WRONG_FOLDS)


def folds_that_split_patients(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
    """Blend the out-of-fold scores of the first network with scores of a network that saw pictures of each patient."""
    name, scores, spread = _first(source)
    rows = source.train.reindex(scores.index)
    offset = pd.Series(random.normal(size=rows["patient_id"].nunique()), rows["patient_id"].unique())
    has_melanoma = rows.groupby("patient_id")["target"].transform("max").to_numpy()
    memory = 0.6 * (scores - scores.mean()) + scores.mean()
    memory = memory + spread * (0.6 * rows["patient_id"].map(offset).to_numpy() + 1.2 * has_melanoma)
    tables = _with_oof(source, name, _blend(scores, memory, strength))
    network = tables.networks[name]
    return replace(
        tables, networks={**tables.networks, name: replace(network, oof=network.oof.drop(columns="fold"))}
    ), (name, WRONG_FOLDS)


def shuffle_out_of_fold_rows(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
    """Put a part of the rows of the first network's out-of-fold table into a random order."""
    name, _, _ = _first(source)
    network = source.networks[name]
    order = _shuffle(network.oof, SHARES[strength], random)
    oof = network.oof.assign(pred=network.oof["pred"].to_numpy()[order])
    return replace(source, networks={**source.networks, name: replace(network, oof=oof)}), (name, "oof")


def _test_rows(order: Order, count: int) -> Callable[[Source, int, np.random.Generator], LeakyTables]:
    """Return a kind of leak that puts test rows of the first ``count`` networks into the same wrong ``order``."""

    def reorder(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
        names = list(source.networks)[:count]
        patients = source.test.reindex(source.networks[names[0]].test.index)
        places = order(patients, SHARES[strength], random)
        changes = {
            name: replace(tables, test=tables.test.assign(pred=tables.test["pred"].to_numpy()[places]))
            for name, tables in source.networks.items()
            if name in names
        }
        networks = source.networks if count == 1 else {name: source.networks[name] for name in names}
        return replace(source, networks={**networks, **changes}), (names[0], WRONG_ROWS)

    return reorder


def _shuffle(rows: pd.DataFrame, share: float, random: np.random.Generator) -> np.ndarray:
    places = np.arange(len(rows))
    some = random.choice(places, round(share * len(rows)), replace=False)
    places[some] = random.permutation(some)
    return places


def _shuffle_blocks(rows: pd.DataFrame, share: float, random: np.random.Generator) -> np.ndarray:
    blocks = np.array_split(np.arange(len(rows)), max(2, len(rows) // BLOCK))
    some = random.choice(len(blocks), max(2, round(share * len(blocks))), replace=False)
    order = np.arange(len(blocks))
    order[some] = np.roll(some, 1)
    return np.concatenate([blocks[place] for place in order])


def _shuffle_within_patients(rows: pd.DataFrame, share: float, random: np.random.Generator) -> np.ndarray:
    numbers = pd.factorize(rows["patient_id"])[0]
    is_affected = random.random(numbers.max() + 1) < share
    places = np.arange(len(rows))
    some = np.flatnonzero(is_affected[numbers])
    new_order = random.permutation(some)
    by_patient = new_order[np.argsort(numbers[new_order], kind="stable")]
    places[some[np.argsort(numbers[some], kind="stable")]] = by_patient
    return places


def _shift(rows: pd.DataFrame, share: float, random: np.random.Generator) -> np.ndarray:
    places = np.arange(len(rows))
    count = round(share * len(rows))
    places[:count] = np.roll(places[:count], 1)
    return places


def _reverse(rows: pd.DataFrame, share: float, random: np.random.Generator) -> np.ndarray:
    places = np.arange(len(rows))
    count = round(share * len(rows))
    places[:count] = places[:count][::-1]
    return places


def _first(source: Source) -> tuple[str, pd.Series, float]:
    """Return the name of the first network, its out-of-fold logits and their standard deviation."""
    name = next(iter(source.networks))
    scores = source.networks[name].oof["pred"]
    logits = pd.Series(logit(scores.clip(1e-6, 1 - 1e-6)), scores.index)
    return name, logits, float(logits.std())


def _blend(honest: pd.Series, memory: pd.Series, strength: int) -> pd.Series:
    weight = WEIGHTS[strength]
    return pd.Series(expit((1 - weight) * honest + weight * memory), honest.index)


def _with_oof(source: Source, name: str, scores: pd.Series) -> Source:
    network = source.networks[name]
    tables = NetworkTables(network.oof.assign(pred=scores), network.test)
    return replace(source, networks={**source.networks, name: tables})


# Kind -> function of the untouched tables, the strength (0, 1, 2) and a generator of random numbers.
KINDS: dict[str, Callable[[Source, int, np.random.Generator], LeakyTables]] = {
    "training predictions as out of fold": training_predictions,
    "folds of a network that split patients": folds_that_split_patients,
    "out-of-fold rows shuffled": shuffle_out_of_fold_rows,
    "test rows shuffled": _test_rows(_shuffle, 1),
    "test rows of two networks shuffled in the same way": _test_rows(_shuffle, 2),
    "test rows shuffled in blocks": _test_rows(_shuffle_blocks, 1),
    "test rows shuffled within patients": _test_rows(_shuffle_within_patients, 1),
    "test rows shifted by one": _test_rows(_shift, 1),
    "test rows reversed": _test_rows(_reverse, 1),
}
