"""In which mode every part of a run was made: deterministic, the same bytes each time, or fast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.run_folder import Run

DETERMINISTIC = "deterministic"
FAST = "fast (not repeatable to the byte)"
MIXED = "some folds deterministic, some fast (not repeatable to the byte)"
FOREIGN = "brought from elsewhere: not known to the run"
NOT_TOLD = "not told by its mark"


def modes(run: Run, recipe: str) -> list[tuple[str, str]]:
    """Return (part, mode) of every network and of the stack ``recipe``, which is deterministic always."""
    networks = [(f"network {name}", mode_of(run.level1 / name / "run.json")) for name in run.networks()]
    return [*networks, (f"stack {recipe}", DETERMINISTIC)]


def mode_of(mark: Path) -> str:
    """Return the mode of the network that left ``mark``, its run.json."""
    told: Mapping[str, Any] = read_json(mark) if mark.is_file() else {}
    if "settings" not in told.get("made_from", {}):
        return FOREIGN
    found = {fold.get("deterministic") for fold in told.get("folds", ())}
    if not found or None in found:
        return NOT_TOLD
    return MIXED if len(found) > 1 else DETERMINISTIC if found == {True} else FAST
