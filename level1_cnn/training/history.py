"""The history of a fit, epoch by epoch: a CSV file, and TensorBoard's event files in the same folder."""

from pathlib import Path
from types import TracebackType

import pandas as pd
import tensorflow as tf

from runtime.files import replacing

COLUMNS = ("epoch", "steps", "loss", "learning_rate", "seconds", "validation_auc")


class History:
    """The epochs of one fit. Epochs after ``epochs_done`` in an existing file, recorded before a kill, are dropped."""

    def __init__(self, folder: Path, epochs_done: int) -> None:
        self._path = folder / "history.csv"
        self._records = self._read(epochs_done)
        self._events = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()

    @property
    def table(self) -> pd.DataFrame:
        """Return one row per finished epoch (epochs count from 1); validation_auc is NaN without validation."""
        return pd.DataFrame(self._records, columns=list(COLUMNS))

    def add(self, **values: float) -> None:
        """Record one epoch under the names of COLUMNS."""
        self._records.append(values)
        with replacing(self._path) as temporary:
            self.table.to_csv(temporary, index=False)
        scalars = [name for name in ("loss", "learning_rate", "validation_auc") if name in values]
        with self._events.as_default(step=int(values["epoch"])):
            for name in scalars:
                tf.summary.scalar(name, values[name])
        self._events.flush()

    def _read(self, epochs_done: int) -> list[dict[str, float]]:
        if not epochs_done or not self._path.is_file():
            return []
        # By default pandas reads some numbers not to the last bit; the best epoch could then be another after a kill.
        table = pd.read_csv(self._path, float_precision="round_trip")
        records = table[table["epoch"] <= epochs_done].to_dict("records")
        return [{str(name): value for name, value in record.items()} for record in records]
