"""The flow of cases of a paper: from the case table through folds to the probabilities that are evaluated."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from melstack.report.paper.drawing import INK, QUIET, PaperFigure
from melstack.report.run_page.inputs import StackResults
from runtime.plural import number_of

LEFT_OUT = "left out"  # in a line of the run's summary: rows that are not among the cases
ROW_HEIGHT = 0.95  # inches


@dataclass(frozen=True)
class FlowBox:
    """A box: its key and title, its counts (``malignant`` is NaN if unknown), its row and place, and the box above."""

    key: str
    title: str
    pictures: int
    patients: int
    malignant: float
    row: int
    centre: float
    width: float
    above: str = ""

    @property
    def text(self) -> str:
        """Return the title and the counts, a line each."""
        lines = [self.title, number_of(self.pictures, "picture"), number_of(self.patients, "patient")]
        return "\n".join(lines + ([f"{self.malignant:,.0f} malignant"] if self.malignant == self.malignant else []))


def flow_figure(stack: StackResults) -> PaperFigure:
    """Return the flow of cases of a stack as a figure, with the counts of every box."""
    boxes = list(flow_boxes(stack))
    rows = 1 + max(box.row for box in boxes)

    def draw(figure: Any) -> None:  # noqa: ANN401  matplotlib has no types
        axes = figure.subplots()
        axes.set(xlim=(0, 1), ylim=(rows - 0.08, -0.02))
        axes.axis("off")
        _draw_boxes(axes, boxes)

    points = pd.DataFrame([asdict(box) for box in boxes])[
        ["key", "title", "pictures", "patients", "malignant", "above"]
    ]
    notes = left_out_notes(stack)
    caption = "Flow of cases." + (f" Not among the cases: {'; '.join(notes)}." if notes else "")
    return PaperFigure("flow", caption, (7.1, ROW_HEIGHT * rows), draw, points)


def left_out_notes(stack: StackResults) -> list[str]:
    """Return the lines of the run's summary on rows that are not among the cases."""
    return [str(line).rstrip(".") for line in stack.run.facts()["summary"] if LEFT_OUT in line]


def flow_boxes(stack: StackResults) -> Iterator[FlowBox]:
    """Yield the boxes from the top: all cases, the roles, the folds of the training cases, the probabilities."""
    cases = stack.cases
    yield _box("cases", "Cases of the run", cases, 0, 0.5, 0.3)
    roles = {"train": "Training cases", "test": "Test cases", "extra": "External cases, trained on only"}
    parts = {role: cases[cases["role"] == role] for role in roles if (cases["role"] == role).any()}
    share = 1 - 0.22 * (len(parts) - 1)  # of the width, for the training cases and their folds
    for number, (role, part) in enumerate(parts.items()):
        centre = share / 2 if number == 0 else share + 0.22 * (number - 0.5)
        yield _box(role, roles[role], part, 1, centre, 0.3 if number == 0 else 0.2, "cases")
    yield from _fold_boxes(stack.train, share)
    has_score = ~np.isnan(stack.score(stack.headline))
    yield _box("evaluated", "Evaluated out of fold", stack.train[has_score], 3, share / 2, 0.3, "folds")
    if "test" in parts:
        has_probability = stack.learners[stack.submission].reindex(parts["test"].index).notna()
        yield _box("predicted", "Test probabilities", parts["test"][has_probability], 3, share + 0.11, 0.2, "test")


def _fold_boxes(train: pd.DataFrame, share: float) -> Iterator[FlowBox]:
    folds = list(train.groupby("fold"))
    for number, (fold, part) in enumerate(folds):
        step = share / len(folds)
        yield _box(f"fold_{fold}", f"Fold {fold}", part, 2, step * (number + 0.5), 0.92 * step, "train")


def _box(key: str, title: str, part: pd.DataFrame, row: int, centre: float, width: float, above: str = "") -> FlowBox:
    has_targets = part["target"].notna().all() and len(part) > 0
    malignant = float(part["target"].sum()) if has_targets else float("nan")
    return FlowBox(key, title, len(part), int(part["patient_id"].nunique()), malignant, row, centre, width, above)


def _draw_boxes(axes: Any, boxes: list[FlowBox]) -> None:  # noqa: ANN401
    from matplotlib.patches import Rectangle  # slow to import

    height = 0.74
    places = {box.key: box for box in boxes}
    for box in boxes:
        corner = (box.centre - box.width / 2, box.row)
        axes.add_patch(Rectangle(corner, box.width, height, facecolor="white", edgecolor=INK, linewidth=0.8))
        axes.text(box.centre, box.row + height / 2, box.text, ha="center", va="center", fontsize=6.5, linespacing=1.3)
        sources = [
            places[key] for key in places if key == box.above or (box.above == "folds" and key.startswith("fold_"))
        ]
        for source in sources:
            axes.annotate(
                "",
                xy=(box.centre, box.row),
                xytext=(source.centre, source.row + height),
                arrowprops={"arrowstyle": "-|>", "color": QUIET, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
            )
