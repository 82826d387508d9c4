"""The tables of a paper that some runs have: operating points, and every setting of networks and recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from level2_stack import learners
from level2_stack.thresholds.operating_point import OperatingPoint
from melstack.report.paper.text_tables import PaperTable, figures, interval
from melstack.report.run_page.inputs import StackResults
from melstack.report.run_page.origins import flatten
from runtime.files import read_json

MEASURES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}


def operating_points_table(stack: StackResults) -> PaperTable | None:
    """Return the operating points of the stack; None for a stack of an earlier version, which has none."""
    points = stack.operating_points
    if not points:
        return None
    rows = [
        [
            point.name,
            figures(point.threshold),
            *(_measure(point, name, 3) for name in MEASURES),
            _measure(point, "net_benefit", 5, sign=True),
            _measure(point, "referred", 3),
        ]
        for point in points
    ]
    head = ["Operating point", "Threshold", *MEASURES.values(), "Net benefit", "Referred"]
    note = (
        "Threshold: for new cases, from the out-of-fold probabilities of the submitted model. Measures: each outer "
        "fold at the threshold that its inner folds chose, with 95 % limits over resampled patients. Predictive "
        f"values, net benefit (per case) and share referred at a prevalence of {100 * points[0].prevalence:.2f} %."
    )
    values = pd.DataFrame(
        [
            {
                **point.model_dump(exclude={"measures", "fold_thresholds"}),
                **{
                    f"{name}{'' if part == 'value' else f'_{part}'}": number
                    for name, measure in point.measures.items()
                    for part, number in measure.model_dump().items()
                },
            }
            for point in points
        ]
    )
    return PaperTable("operating_points", "Operating points.", head, rows, values, note)


def _measure(point: OperatingPoint, name: str, digits: int, *, sign: bool = False) -> str:
    measure = point.measures[name]
    return interval(measure.value, measure.low, measure.high, digits, sign=sign)


def settings_table(stack: StackResults) -> PaperTable:
    """Return every setting of the networks that were trained in the run, and of the recipe and its learners."""
    rows = [[part, key, value] for part, settings in _settings(stack) for key, value in flatten(settings)]
    values = pd.DataFrame(rows, columns=["part", "setting", "value"])
    note = "A network that was trained elsewhere has no settings in the run."
    return PaperTable(
        "settings",
        "Settings of the networks and of the stack.",
        [str(name).capitalize() for name in values],
        rows,
        values,
        note,
        (0.24, 0.36, 0.32),
    )


def _settings(stack: StackResults) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in sorted(map(str, stack.networks)):
        mark = stack.run.level1 / name / "run.json"
        settings = read_json(mark)["made_from"].get("settings") if mark.is_file() else None
        if settings:
            yield f"network {name}", settings
    recipe = dict(stack.decisions["recipe"])
    parameters = {name: recipe.pop(name) for name in learners.names() if name in recipe}
    yield f"recipe {stack.recipe}", recipe
    yield from ((f"learner {name}", parameters[name]) for name in recipe.get("learners", ()) if parameters.get(name))
