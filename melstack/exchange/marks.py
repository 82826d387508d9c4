"""The marks of what goes from one run to another, with the inputs that each artefact would be made from now."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from melstack.exchange.exports import BLEND_MARK, GAINS_MARK, export_inputs
from melstack.exchange.exports import MARK as EXPORTS
from runtime.files import read_json
from runtime.run_folder import Run


def exchange_marks(run: Run) -> dict[Path, Callable[[], Mapping[str, Any]]]:
    """Return mark -> current inputs of the CSV files of networks and stacks, and of a blend and its gains."""
    folders = [*sorted(run.level1.glob("*/")), *sorted(run.level2.glob("*/"))]
    return {
        run.folder / BLEND_MARK: partial(_blend_inputs, run),
        **{folder / EXPORTS: partial(export_inputs, run, folder) for folder in folders},
        **{folder / GAINS_MARK: partial(_gain_inputs, folder) for folder in folders},
    }


def _blend_inputs(run: Run) -> Mapping[str, Any]:
    from melstack.exchange.blend import blend_inputs  # slow: it imports all of level two

    stacks = read_json(run.folder / BLEND_MARK)["stacks"]
    return blend_inputs({name: Path(folder) for name, folder in stacks.items()})


def _gain_inputs(folder: Path) -> Mapping[str, Any]:
    from melstack.exchange.gains import gain_inputs  # slow: it imports all of level two

    return gain_inputs(folder)
