"""In which mode each part of a run was made: deterministic (the same bytes each time) or fast."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.run_folder import Run

DETERMINISTIC = "deterministic"
FAST = "fast (not repeatable to the byte)"
BOTH_MODES = "some folds deterministic, some fast (not repeatable to the byte)"
FOREIGN = "foreign network: the run does not record the mode"
UNKNOWN_MODE = "not recorded in run.json"


def modes(run: Run, recipe: str, networks: Sequence[str]) -> list[tuple[str, str]]:
    """Return (part, mode) of the ``networks`` and of the stack ``recipe``, which is always deterministic."""
    of_networks = [(f"network {name}", mode_of(run.level1 / name / "run.json")) for name in networks]
    return [*of_networks, (f"stack {recipe}", DETERMINISTIC)]


def mode_of(mark: Path) -> str:
    """Return the mode of the network whose run.json is ``mark``."""
    facts: Mapping[str, Any] = read_json(mark) if mark.is_file() else {}
    if "settings" not in facts.get("made_from", {}):
        return FOREIGN
    fold_modes = {fold.get("deterministic") for fold in facts.get("folds", ())}
    if not fold_modes or None in fold_modes:
        return UNKNOWN_MODE
    return BOTH_MODES if len(fold_modes) > 1 else DETERMINISTIC if fold_modes == {True} else FAST
