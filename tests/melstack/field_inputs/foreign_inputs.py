"""A clinic without pictures, and the predictions of networks for it in the forms that notebooks write."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

TRAIN, TEST, FOLDS = 120, 60, 3
Change = Callable[[pd.DataFrame], pd.DataFrame]


@cache
def clinic() -> pd.DataFrame:
    """Return the clinic's cases: two pictures of a patient, a risk that networks predict, and the target."""
    random = np.random.default_rng(4)
    names = [f"ISIC_{number:04d}" for number in range(TRAIN + TEST)]
    risk = np.repeat(random.normal(size=len(names) // 2), 2) + 0.4 * random.normal(size=len(names))
    return pd.DataFrame(
        {
            "image_name": names,
            "patient_id": [f"P{number // 2}" for number in range(len(names))],
            "sex": random.choice(["male", "female"], len(names)),
            "age_approx": random.choice([30, 45, 60], len(names)),
            "anatom_site_general_challenge": "torso",
            "risk": risk,
            "target": (risk + 0.8 * random.normal(size=len(names)) > 0.9).astype(int),
        }
    )


def write_clinic(folder: Path) -> Path:
    """Write the clinic's tables into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    table = clinic().drop(columns="risk")
    table[:TRAIN].to_csv(folder / "train.csv", index=False)
    table[TRAIN:].drop(columns="target").to_csv(folder / "test.csv", index=False)
    return folder


@cache
def _scores(seed: int) -> pd.DataFrame:
    cases = clinic()
    noise = 0.3 * np.random.default_rng(seed).normal(size=len(cases))
    return pd.DataFrame(
        {"image_name": cases["image_name"], "pred": 1 / (1 + np.exp(1.5 - 2 * (cases["risk"] + noise)))}
    )


def oof(seed: int = 1) -> pd.DataFrame:
    """Return a network's out-of-fold table: image_name, pred."""
    return _scores(seed)[:TRAIN].copy()


def on_test(seed: int = 1) -> pd.DataFrame:
    """Return a network's test table: image_name, pred."""
    return _scores(seed)[TRAIN:].reset_index(drop=True)


def write(path: Path, table: pd.DataFrame) -> None:
    """Write ``table`` in the format of the name of ``path``; as arrays, only its scores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = table["pred"].to_numpy() if "pred" in table else np.zeros(0)
    writers: dict[str, Callable[[], object]] = {
        ".parquet": lambda: table.to_parquet(path),
        ".feather": lambda: table.reset_index(drop=True).to_feather(path),
        ".xlsx": lambda: table.to_excel(path, index=False),
        ".npy": lambda: np.save(path, scores),
        ".npz": lambda: np.savez(path, scores),
        ".pkl": lambda: table.to_pickle(path),
    }
    writers.get(path.suffix, lambda: table.to_csv(path, index=False))()


def files(*names: str) -> Callable[[Path], None]:
    """Return a writer of files: out-of-fold tables where the name says oof or train, test tables elsewhere."""

    def write_files(folder: Path) -> None:
        for name in names:
            is_train = any(word in name.rsplit("/", 1)[-1] for word in ("oof", "train"))
            write(folder / name, (oof if is_train else on_test)())

    return write_files


def network(
    train: Change = lambda table: table, test: Change | None = None, *, beside: bool = True
) -> Callable[[Path], None]:
    """Return a writer of the network ``net`` with changed tables, and of the network ``other`` ``beside`` it.

    Without a change of its own, the test table is changed as the out-of-fold table is.
    """

    def write_network(folder: Path) -> None:
        write(folder / "net" / "oof.csv", train(oof()))
        write(folder / "net" / "test.csv", (test or train)(on_test()))
        if beside:
            write(folder / "other" / "oof.csv", oof(2))
            write(folder / "other" / "test.csv", on_test(2))

    return write_network


def map_scores(function: Callable[[pd.Series], object]) -> Change:
    """Return a change of the column pred."""
    return lambda table: table.assign(pred=function(table["pred"]))


def map_ids(function: Callable[[str], object]) -> Change:
    """Return a change of the ids."""
    return lambda table: table.assign(image_name=table["image_name"].map(function))


def rename(**names: str) -> Change:
    """Return a change of column names."""
    return lambda table: table.rename(columns=names)
