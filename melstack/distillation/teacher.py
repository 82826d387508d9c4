"""The teacher of a student: the stack's probabilities, also those of a stack that never saw the labels of one fold."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from level1_cnn.finished import is_frozen, make_job, trained_experiment
from level1_cnn.hardware.devices import plan_devices
from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.training.frozen import ARRAY, FrozenTrainer, read_views
from level1_cnn.training_settings import FrozenFeatures
from level2_stack.calibration.likelihood import fit_coefficients
from level2_stack.design.assemble import Design
from level2_stack.explain.explanations import read_decisions
from level2_stack.networks_to_stack import imported_networks
from level2_stack.outlook.refit import FrozenStack, Part
from level2_stack.recipe import Recipe, recipe_of_stack
from level2_stack.stacking import rebuild_design, unfiltered_design
from melstack.report.run_page.inputs import StackResults
from runtime.errors import InputFault, did_you_mean
from runtime.files import read_json
from runtime.invocation import command
from runtime.run_folder import Run

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Teacher:
    """A finished stack of frozen networks, which can be fitted again without a fold.

    ``heads`` are its networks by name. The parameters, rounds and weights of its learners, and the learner that is
    submitted, stay as the stack chose them: without a fold, as that outer fold chose them on the other folds.
    """

    stack: StackResults
    heads: dict[str, FrozenTrainer]

    @staticmethod
    def of(stack: StackResults) -> "Teacher":
        """Return the teacher for ``stack``; raise InputFault where a network cannot be fitted without two folds."""
        names, run = [str(name) for name in stack.networks], stack.run
        imports = set(names) & set(imported_networks(run))
        others = [name for name in names if not is_frozen(run, name)]
        if others:
            usable = [name for name in names if name not in others]
            mark = read_json(stack.folder / "run.json")
            settings: dict[str, object] = {"run": run.folder, "recipe": mark.get("recipe", stack.recipe)}
            settings |= {"models": " ".join(usable)} if usable else {"profile": "laptop"}
            settings |= {"reset": "foreign trust"} if imports else {}
            remedy = command("stack", **settings)
            raise InputFault(
                f"{stack.folder}: the stack learns from {', '.join(others)}, whose weights were trained on the labels "
                "of all other folds or come from elsewhere: a student of it would learn the labels that it is tested "
                f"on. A stack of frozen networks can teach: {remedy}"
            )
        return Teacher(stack, {name: open_head(run, name, stack.cases) for name in names})

    @property
    def fits(self) -> int:
        """The number of fits of learners and heads for ``probabilities`` without a fold."""
        folds = self.stack.train["fold"].nunique() - 1
        return folds * (len(self._refits.decisions.members) + len(self.heads))

    def probabilities(self, on_fit: Callable[[int], None], left_out: int | None = None) -> pd.Series:
        """Return the probability of every training case by fits without its own fold.

        With ``left_out``, the cases of that fold are not among them, and neither level has seen their labels.
        """
        design, refits = self._design, self._refits
        if left_out is not None:
            design, refits = self._design_without(left_out, on_fit), self._choices_of(left_out)
        scores = refits.scores(design, [Part()], on_fit)[:, 0]
        ones = np.ones_like(scores)
        slope, offset = fit_coefficients([scores, ones], design.y, ones, 1)
        return pd.Series(expit(slope * scores + offset), index=design.train.index)

    def _choices_of(self, fold: int) -> FrozenStack:
        """Return the stack as outer ``fold`` chose it: its learner too, where the recipe leaves that to the stack."""
        values, by_fold = self.stack.decisions, self.stack.decisions["chosen_by_fold"]
        submitted = by_fold[fold]["chosen"] if by_fold else values["submitted"]
        decisions = read_decisions({**values, "submitted": submitted})
        return FrozenStack(self._recipe, decisions).with_choices_of(fold)

    @cached_property
    def _recipe(self) -> Recipe:
        return recipe_of_stack(self.stack.decisions)

    @cached_property
    def _refits(self) -> FrozenStack:
        return FrozenStack(self._recipe, read_decisions(self.stack.decisions))

    @cached_property
    def _design(self) -> Design:
        return rebuild_design(self.stack.run, self._recipe, self._refits.decisions.columns)

    def _design_without(self, left_out: int, on_fit: Callable[[int], None]) -> Design:
        """Return the stack's design over the cases outside of a fold, from heads that were fitted without it."""
        train = self.stack.train[self.stack.train["fold"] != left_out]
        tables, fold_of_case = {}, train["fold"].astype(int)
        for name, trainer in self.heads.items():
            parts = []
            for fold in sorted(fold_of_case.unique()):
                head = trainer.fit_targets(self.stack.cases.loc[trainer.cases_without(fold, left_out), "target"])
                parts.append(trainer.predict(head, list(train.index[fold_of_case == fold])).table())
                on_fit(1)
            tables[name] = pd.concat(parts).loc[train.index].assign(fold=train["fold"])
        recipe = self._recipe.model_copy(update={"networks": list(tables)})
        design = unfiltered_design(self.stack.run, recipe, train, tables)
        return design.without(set(design.X.columns) - set(self._design.X.columns))


def open_head(run: Run, name: str, cases: pd.DataFrame) -> FrozenTrainer:
    """Return the frozen network ``name`` of a run with the case table ``cases``.

    Raises InputFault for a name that the run does not have, for a network that is not frozen or was brought, and where
    its features of all views or its ONNX file are missing or damaged.
    """
    if name not in run.networks():
        raise InputFault(f"{run.folder}: it has no network {name!r}; {did_you_mean(name, run.networks())}")
    experiment = trained_experiment(run, name)
    if experiment is None or not isinstance(experiment.training, FrozenFeatures):
        raise InputFault(f"{name}: a student is a frozen network of the run, whose head can be fitted again")
    job = make_job(run, name, experiment, "cpu", False)
    if read_views(job) is None:
        raise InputFault(
            f"{job.folder}: {ARRAY} (the features of all views) or {ONNX_FILE} is missing or damaged; "
            f"{command('oof', run=run.folder)} makes them again"
        )
    return FrozenTrainer(job, experiment.training, plan_devices("cpu"), cases[cases["picture"].notna()])
