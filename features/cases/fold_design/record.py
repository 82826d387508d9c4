"""What the record of a run's cases (cases.json) says about folds that a column makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FoldRecord:
    """The column that makes the folds of a run, whether it holds times, and the name of each fold.

    Without such a column, ``column`` is "" and ``names`` is empty.
    """

    column: str
    is_time: bool
    names: tuple[str, ...]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> FoldRecord:
        """Return the record in ``facts``, the content of the run's cases.json."""
        made_from = facts["made_from"]
        column = str(made_from.get("by") or made_from.get("by_time") or "")
        return cls(column, "by_time" in made_from, tuple(facts.get("fold_names", ())))

    @property
    def words(self) -> str:
        """The way of the division in words: "hospital", "blocks of time (visit)"; "" without a column."""
        return f"blocks of time ({self.column})" if self.is_time else self.column

    @property
    def meaning(self) -> str:
        """A sentence on what the AUC of a fold says."""
        if not self.is_time:
            return f"Each fold is predicted by models of this run that have not seen its {self.column}."
        return (
            f"Only the last block, {self.names[-1]}, is predicted by models of this run that saw earlier cases alone; "
            "every other block by models of earlier and later cases."
        )
