"""Measure what to try next with a finished stack, and write the tables, the pictures and the ranking."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit
from threadpoolctl import threadpool_limits

from level2_stack.crossval.ablation import NETWORK_PARTS, NETWORKS
from level2_stack.design.assemble import CLIP, Design
from level2_stack.evaluation.auc import Floats, Interval
from level2_stack.explain.explanations import read_decisions
from level2_stack.outlook.growth import Growth, curve_parts, growth, patients_of_shares
from level2_stack.outlook.networks import NetworkValues, gain_ratio, next_network
from level2_stack.outlook.refit import FrozenStack, Part
from level2_stack.recipe import recipe_of_stack
from level2_stack.stacking import read_predictions, rebuild_design, unfiltered_design
from melstack.next_steps.advice import BESIDE, Measurements, advice, summary
from melstack.next_steps.heads import has_head, head_scores
from melstack.next_steps.labels import label_table, write_pictures
from melstack.next_steps.views import COLUMNS as VIEW_COLUMNS
from melstack.next_steps.views import view_curve, views_of
from melstack.report.run_page.inputs import StackResults, read_stack
from melstack.report.stack_parts import NEXT_MARK, next_ingredients
from runtime.files import write_text
from runtime.plural import number_of
from runtime.progress import progress_bar, say
from runtime.provenance import write_mark
from runtime.run_folder import Run

METADATA_COLUMNS = ["part", "learner", "columns", "auc_without", "adds", "low", "high"]
THE_STACK = "the stack"


def write_next(run: Run, recipe: str) -> Path:
    """Write ``run``/next from its finished stack ``recipe``: tables, pictures of candidates, the ranking; print it."""
    stack = read_stack(run, recipe)
    folder = (run.folder / NEXT_MARK).parent
    (run.folder / NEXT_MARK).unlink(missing_ok=True)
    with threadpool_limits(1, user_api="blas"):
        results = measure(stack)
    labels = write_pictures(stack, results.labels, folder)
    ranking = advice(results)
    tables = {
        "learning_curve": pd.concat([curve.table for curve in results.curves]),
        "networks": results.networks,
        "views": results.views,
        "metadata": results.metadata,
        "label_errors": labels,
        "ranking": ranking,
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    lines = list(summary(results))
    pictures = [folder / name for name in labels["picture"] if name]
    outputs = [*(folder / f"{name}.csv" for name in tables), *pictures]
    for path in set(folder.glob("pictures/*.jpg")) - set(pictures):
        path.unlink()
    write_mark(run.folder / NEXT_MARK, next_ingredients(run, recipe), outputs, summary=lines)
    for line in lines:
        say(line)
    say("what to try next, the largest gain beyond chance first (gains of AUC, 95 % intervals by patients):")
    for _, row in ranking.iterrows():
        say(f"  {row['rank']}. {row['sentence']}")
    return folder


def measure(stack: StackResults) -> Measurements:
    """Return everything that the ranking is made from."""
    decisions, recipe = read_decisions(stack.decisions), recipe_of_stack(stack.decisions)
    design, refits = rebuild_design(stack.run, recipe, decisions.columns), FrozenStack(recipe, decisions)
    values = _network_values(stack, design, refits)
    _forecast(stack, design, refits, values)
    with progress_bar("next: sets of networks", len(values.names) + values.sets(), unit="set") as advance:
        without = values.leave_one_out(advance)
        networks = pd.concat([table for table in (without, values.in_order(advance)) if len(table)])
    further = None
    if len(without):
        probability = stack.networks[list(values.names)].reindex(stack.train.index)
        logits = pd.DataFrame(logit(probability.clip(CLIP, 1 - CLIP))).set_axis(probability.index)
        further = next_network(without, gain_ratio(stack.y, logits))
        row = ["predicted", "one more", len(values.names) + 1, np.nan, *further]
        networks = pd.concat([networks, pd.DataFrame([row], columns=networks.columns)])
    curves = [_stack_curve(stack, design, refits), *_head_curves(stack)]
    metadata = _metadata(stack, design, values)
    return Measurements(curves, networks, further, _views(stack), metadata, label_table(stack))


def _network_values(stack: StackResults, design: Design, refits: FrozenStack) -> NetworkValues:
    cases, names = stack.run.read_cases(), design.networks
    predictions = read_predictions(stack.run, names)

    def design_of(some: tuple[str, ...]) -> Design:
        """Return the design with ``some`` networks, and only columns that the stack has."""
        if some == tuple(sorted(names)):
            return design
        recipe = refits.recipe.model_copy(update={"networks": list(some)})
        smaller = unfiltered_design(stack.run, recipe, cases, {name: predictions[name] for name in some})
        return smaller.without(set(smaller.X.columns) - set(design.X.columns))

    return NetworkValues(refits, names, design_of)


def _forecast(stack: StackResults, design: Design, refits: FrozenStack, values: NetworkValues) -> None:
    """Print how long the measurements take, from the fits of one fold."""
    folds = len(np.unique(design.folds))
    one, ridge = (folds * each.seconds_per_fold(design) for each in (refits, refits.with_learner("ridge")))
    whole = sum(part.share for part in curve_parts(len(design.y))) + len(values.names) + 2
    heads = sum(has_head(stack.run, name) for name in design.networks)
    head = heads * len(curve_parts(len(design.y))) * folds * len(design.y) * 2e-4
    seconds = whole * one + values.sets() * ridge + head
    say(
        f"next: {number_of(len(design.y), 'training picture')}, {number_of(len(values.names), 'network')}; "
        f"the fits take about {max(1, round(seconds / 60))} min on this machine"
    )


def _stack_curve(stack: StackResults, design: Design, refits: FrozenStack) -> Growth:
    parts = curve_parts(len(design.y))
    fits = len(parts) * len(np.unique(design.folds)) * len(refits.decisions.members)
    with progress_bar("next: learning curve of the stack", fits, unit="fit") as advance:
        scores = refits.scores(design, parts, advance)
    by_part = {part: scores[:, place] for place, part in enumerate(parts)}
    patients = patients_of_shares(design.y, design.folds, design.groups)
    return growth(THE_STACK, design.y, by_part, design.groups, patients)


def _head_curves(stack: StackResults) -> Iterator[Growth]:
    patients = patients_of_shares(stack.y, stack.train["fold"].to_numpy(np.int64), stack.groups)
    for name in map(str, stack.networks):
        if has_head(stack.run, name):
            yield growth(f"the head of {name}", stack.y, _scores_of_parts(stack, name), stack.groups, patients)


def _scores_of_parts(stack: StackResults, name: str) -> dict[Part, Floats]:
    """Return part of the training patients -> the scores of all cases by the head of a network fitted to the part."""
    parts = curve_parts(len(stack.y))
    scores = {}
    with progress_bar(f"next: learning curve of the head of {name}", len(parts), unit="part") as advance:
        for part, score in head_scores(stack.run, name, stack.train, parts):
            scores[part] = score
            advance(1)
    return scores


def _views(stack: StackResults) -> pd.DataFrame:
    views = {str(name): views_of(stack.run, str(name), stack.train) for name in stack.networks}
    tables = [view_curve(name, table, stack.train) for name, table in views.items() if table is not None]
    return pd.concat(tables) if tables else pd.DataFrame(columns=VIEW_COLUMNS)


def _metadata(stack: StackResults, design: Design, values: NetworkValues) -> pd.DataFrame:
    """Return what all columns beside the networks add, measured now, and each block, from the stack's ablation."""
    columns = [name for name in design.X.columns if name.split(".")[0] not in NETWORKS]
    rows = []
    if columns:
        gain: Interval = values.score_without_columns(columns)
        rows.append([BESIDE, stack.submission, len(columns), np.nan, *gain])
    table = stack.tables.get("ablation", pd.DataFrame())
    blocks = table[~table["part"].isin(NETWORK_PARTS)] if len(table) else table
    for _, row in blocks.iterrows():
        rows.append([row[name] for name in ("part", "learner", "columns", "auc_without", "loss", "low", "high")])
    return pd.DataFrame(rows, columns=METADATA_COLUMNS)
