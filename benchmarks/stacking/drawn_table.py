"""A synthetic table of any size in Parquet files: rare positives, patients with many rows, few informative columns."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from level2_stack.spread.write_design import refuse_table_in
from runtime.files import replacing

ROWS_OF_PATIENT = 40
FOLDS = 5
BASE_LOG_ODDS = -4.5  # of a row whose informative columns are 0
SITES = ("arm", "foot", "head", "leg", "torso")


def draw_table(folder: Path, rows: int, columns: int, files: int, seed: int = 0) -> None:
    """Write ``rows`` rows with ``columns`` features, one of them text, as ``files`` Parquet files.

    A tenth of the numeric columns raise the log odds of a positive. A tenth of the rows are test rows. Raises
    InputFault when ``folder`` already contains Parquet files.
    """
    refuse_table_in(folder)
    limits = np.linspace(0, rows, files + 1).astype(int)
    for number in range(files):
        part = _part(np.arange(limits[number], limits[number + 1]), columns, np.random.default_rng([seed, number]))
        with replacing(folder / f"part_{number:05d}.parquet") as temporary:
            part.to_parquet(temporary, index=False)


def _part(numbers: np.ndarray, columns: int, random: np.random.Generator) -> pd.DataFrame:
    patient, count = numbers // ROWS_OF_PATIENT, len(numbers)
    features = random.standard_normal((count, columns - 1), dtype=np.float32)
    informative = features[:, : max(1, columns // 10)]
    positive = random.random(count) < expit(BASE_LOG_ODDS + informative.sum(axis=1))
    train = patient % 10 != 0
    keys = {
        "image_name": [f"row_{number:010d}" for number in numbers],
        "patient_id": [f"patient_{number:08d}" for number in patient],
        "fold": np.where(train, patient % FOLDS, np.nan),
        "target": np.where(train, positive, np.nan),
        "metadata.site": random.choice(SITES, count),
    }
    columns_by_name = {f"drawn.{number:03d}": features[:, number] for number in range(columns - 1)}
    return pd.DataFrame({**keys, **columns_by_name})
