"""The last lines of a command that makes a stack or a submission, from the files of the run alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.cases.fold_design.record import FoldRecord
from level2_stack.evaluation.subgroups import FOLD_KIND
from level2_stack.foreign.messages import shorten
from level2_stack.networks_to_stack import left_out
from melstack.bundle.origin import another_stack
from melstack.closing.finished_stack import FinishedStack
from melstack.closing.ideas import ideas
from melstack.closing.warnings_of_run import warnings_of
from melstack.run_settings import read_run_settings
from runtime.files import read_json
from runtime.invocation import command
from runtime.plural import number_of
from runtime.progress import LOG, earlier_warnings, say
from runtime.run_folder import Run

MODELS = {
    "rank_mean": "the rank mean",
    "mean": "the mean",
    "blend": "the blend of the learners",
    "choice": "the choice within each fold",
}


def print_end(run: Run, recipe: str, files: tuple[Path, ...]) -> None:
    """Print what the stack of ``recipe`` predicts and how well, what it lacks, and where ``files`` are."""
    stack = FinishedStack(run, recipe)
    say("")
    for line in end_lines(stack, files):
        say(line)


def end_lines(stack: FinishedStack, files: tuple[Path, ...]) -> Iterator[str]:
    """Yield the last lines of a command: results, networks that are missing, warnings, files, ideas."""
    yield from _results(stack)
    yield from networks_left_out(stack)
    older_bundle = filter(None, [another_stack(stack.run.folder / "bundle")])
    for warning in dict.fromkeys([*warnings_of(stack), *older_bundle, *earlier_warnings()]):
        yield f"warning: {warning}"
    yield f"files: {', '.join(map(str, (*files, stack.folder / 'leaderboard.csv', stack.run.folder / LOG)))}"
    for idea in ideas(stack):
        yield f"next: {idea}"


def _results(stack: FinishedStack) -> Iterator[str]:
    submitted, headline = str(stack.decisions["submitted"]), str(stack.decisions["headline"])
    train, test = (stack.cases[stack.cases["role"] == role] for role in ("train", "test"))
    share, row = float(train["target"].mean()), stack.board.loc[headline]
    what = _count(test) if len(test) else "no test case"
    networks = number_of(len(stack.networks), "network")
    reason = ", expected to be best" if stack.decisions.get("preferred") else ""
    yield f"predicted: {what}, by {_in_words(submitted)} of {networks}{reason}"
    cases = f"(95 %), over {_count(train)}, {100 * share:.1f} % malignant"
    own = f"out of fold, {_in_words(headline)}: {row['auc']:.4f} [{row['low']:.4f}, {row['high']:.4f}] {cases}"
    smaller = stack.decisions.get("without_shift")
    if smaller is None:
        yield f"AUC to quote: {own}"
    else:
        yield from _two_figures(stack, smaller, own)
    yield from _folds(stack)
    yield from _gains(stack, headline)
    prevalence = stack.decisions["recipe"]["calibration"]["prevalence"]
    if prevalence is None:
        yield f"probabilities: at the prevalence of the training cases, {share:.4f}"
    else:
        yield f"probabilities: at a prevalence of {prevalence:.4f}; {share:.4f} of the training cases are malignant"


def _folds(stack: FinishedStack) -> Iterator[str]:
    """Yield the AUC of every fold with its name, if a column makes the folds."""
    record = FoldRecord.of(stack.run.facts())
    if not record.names:
        return
    table = pd.read_csv(stack.folder / "subgroups.csv")
    rows = table[table["kind"].str.startswith(FOLD_KIND)]
    limits = [f" [{row.auc_low:.3f}, {row.auc_high:.3f}]" if row.auc_low == row.auc_low else "" for row in _rows(rows)]
    aucs = [f"{row.value} {row.auc:.3f}{text}" for row, text in zip(_rows(rows), limits, strict=True)]
    yield f"AUC per fold by {record.words}: {'; '.join(aucs)}"
    yield f"  {record.meaning}"


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    return table.itertuples(index=False)


def _two_figures(stack: FinishedStack, smaller: Mapping[str, Any], own: str) -> Iterator[str]:
    """Yield the AUC with and without the networks that shift, which of them to quote, and how to submit without."""
    shifting = list(smaller["networks"])
    names = " and ".join(shifting)
    if smaller["auc"] is None:
        yield f"AUC, not to be quoted: {own}; {names} shift from out of fold to test, and no other network is left"
        return
    auc = f"{smaller['auc']:.4f} [{smaller['low']:.4f}, {smaller['high']:.4f}]"
    yield f"AUC to quote: out of fold, without {names}, which shift from out of fold to test: {auc}"
    gain = f"{smaller['gain']:+.4f} [{smaller['gain_low']:+.4f}, {smaller['gain_high']:+.4f}]"
    yield f"AUC with {names}: {own}; their gain of {gain} may not hold on the test cases"
    rest = " ".join(name for name in sorted(stack.networks) if name not in shifting)
    yield f"  to submit the stack without them: {command('submission', run=stack.run.folder, models=rest)}"


def _in_words(model: str) -> str:
    return f"{MODELS[model]} ({model})" if model in MODELS else model


def _count(cases: pd.DataFrame) -> str:
    return f"{number_of(len(cases), 'case')} of {number_of(cases['patient_id'].nunique(), 'patient')}"


def _gains(stack: FinishedStack, headline: str) -> Iterator[str]:
    """Yield a line for the gain of the headline over the rank mean, and one for that over the best network."""
    others = {"rank_mean": "the rank mean"} if "rank_mean" in stack.board.index else {}
    for name in stack.networks[:1]:
        words = stack.words.network(name)
        others[name] = f"{name}, the best network{'' if words == name else f' ({words})'}"
    for name, words in others.items():
        if name != headline:
            yield f"gain over {words}: {_gain(stack.board, name)}"


def _gain(board: pd.DataFrame, name: str) -> str:
    gain, low, high = (float(board[column].astype(float)[name]) for column in ("gain", "gain_low", "gain_high"))
    verdict = "beyond chance" if low > 0 else "a loss beyond chance" if high < 0 else "not beyond chance"
    return f"{gain:+.4f} [{low:+.4f}, {high:+.4f}], {verdict}"


def networks_left_out(stack: FinishedStack) -> Iterator[str]:
    """Yield a line for all refused networks, and one for every other network that the stack does not use."""
    foreign, settings = stack.run.folder / "foreign.json", read_run_settings(stack.run.folder)
    has_foreign = bool(settings.get("foreign")) if settings else foreign.is_file()
    if has_foreign and foreign.is_file():
        facts = read_json(foreign)["networks"]
        refusals = {name: network["refusal"] for name, network in facts.items() if network["refusal"]}
        for name, reasons in refusals.items():
            yield f"refused: {name}: {shorten(reasons[0])}"
        admissible = [name for name, reasons in refusals.items() if all("accept it with" in each for each in reasons)]
        if admissible:
            trust = " ".join([*settings.get("trust", []), *admissible])
            remedy = command("submission", run=stack.run.folder, trust=trust)
            yield f"  if you know that their rows are in order: {remedy}"
    networks = stack.networks
    names = [name for name in stack.run.networks() if name not in networks]
    for sentence in left_out(stack.run, networks, has_foreign=has_foreign) if names else ():
        yield f"not used: {sentence}"
