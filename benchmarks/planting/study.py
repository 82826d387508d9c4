"""Plant every kind of leak in three strengths, and run the untouched tables in several seeds for false alarms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.planting import cases, columns, networks
from benchmarks.planting.outcome import outcome_of
from benchmarks.planting.source import Source
from benchmarks.stacking.study import Study
from runtime.progress import say

KINDS = cases.KINDS | columns.KINDS | networks.KINDS
STRENGTHS = ("weak", "medium", "strong")
NO_ALARM = "no alarm"


@dataclass(frozen=True)
class _Trial:
    kind: str  # "" for untouched tables
    strength: int
    seed: int


def planting_study(
    draw: Callable[[int], Source], kinds: Collection[str], seeds: Sequence[int], processes: int
) -> Study:
    """Return the verdicts on every kind of leak (a row each), and the alarms on untouched tables (a row per seed).

    ``draw`` returns the tables of a seed; leaks are planted in those of seed 0. Half of the effort is the untouched
    tables: a check that always warns would name every leak.
    """
    draw = cache(draw)  # its models are trained once per seed
    trials = [_Trial(kind, strength, 0) for kind in kinds for strength in range(len(STRENGTHS))]
    trials += [_Trial("", 0, seed) for seed in seeds]
    with ThreadPoolExecutor(processes) as pool:
        verdicts = dict(zip(trials, pool.map(lambda trial: _run(draw, trial), trials), strict=True))
    verdicts_of = {kind: [verdicts[_Trial(kind, step, 0)][0] for step in range(len(STRENGTHS))] for kind in kinds}
    leak_table = (
        pd.DataFrame.from_dict(verdicts_of, orient="index", columns=list(STRENGTHS)).rename_axis("kind").reset_index()
    )
    rows = [(seed, *verdicts[_Trial("", 0, seed)]) for seed in seeds]
    clean = pd.DataFrame(rows, columns=["seed", "verdict", "alarms"])
    all_verdicts = [verdict for row in verdicts_of.values() for verdict in row]
    figures: dict[str, float | int] = {
        f"planted_{word}": all_verdicts.count(word) for word in ("named", "refused", "warned", "missed")
    }
    figures |= {"planted": len(all_verdicts), "untouched": len(clean)}
    figures["false_alarms"] = int((clean["verdict"] != NO_ALARM).sum())
    return Study({"planted leaks": leak_table, "untouched tables": clean}, figures)


def _run(draw: Callable[[int], Source], trial: _Trial) -> tuple[str, str]:
    """Return the verdict on a trial, and the alarms in one text."""
    source, culprits = draw(trial.seed), tuple[str, ...]()
    if trial.kind:
        source, culprits = KINDS[trial.kind](source, trial.strength, np.random.default_rng(trial.seed))
    outcome = outcome_of(source)
    verdict = outcome.verdict(culprits) if trial.kind else "alarm" if outcome.alarms else NO_ALARM
    name = f"{trial.kind}, {STRENGTHS[trial.strength]}" if trial.kind else f"untouched, seed {trial.seed}"
    say(f"{name}: {verdict}")
    return verdict, " | ".join(outcome.alarms)
