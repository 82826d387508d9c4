"""The findings of the leak audit that only a finished stack shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from features.leaks.findings import BLOCKING, RUN_STOPS, WARNING, Finding
from level2_stack.results.smaller_stack import SmallerStack

# Stacks of the contest's winners have 0.95 on its 33,126 cases; one that has this AUC was given the answer.
TOO_GOOD = 0.99
STACKED_AUC, SHIFTING_NETWORKS, LEAKY_BLOCK = "stacked-auc", "shifting-networks", "leaky-block"


def stack_leaks(
    board: pd.DataFrame, headline: str, smaller: SmallerStack | None, leaky_blocks: Mapping[str, str]
) -> list[Finding]:
    """Return the findings on a stack: an AUC that no honest model has, networks that shift, blocks that leak.

    ``board`` is the leaderboard, ``headline`` the model whose AUC is quoted; ``smaller`` the stack without the networks
    that shift; ``leaky_blocks``: block of columns -> why it may leak the target.
    """
    return [
        *_too_good(board, headline),
        *([] if smaller is None else _shift(smaller)),
        *(
            Finding("block that may leak the target", 1, WARNING, reason, [name], LEAKY_BLOCK)
            for name, reason in leaky_blocks.items()
        ),
    ]


def _too_good(board: pd.DataFrame, headline: str) -> Iterator[Finding]:
    row = board.loc[headline]
    if float(row["auc"]) < TOO_GOOD:
        return
    figures = [f"{headline}: AUC {row['auc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"]
    advice = (
        f"no honest stack of skin lesions reaches {TOO_GOOD}; look for a column or a network that knows the answer "
        "(the ablation and the first rows of the leaderboard)"
    )
    yield Finding("stacked AUC that is too good", 1, BLOCKING, advice + RUN_STOPS, figures, STACKED_AUC)


def _shift(smaller: SmallerStack) -> Iterator[Finding]:
    names = [f"{name}: {reason}" for name, reason in smaller.networks.items()]
    if smaller.auc is None:
        action = "no network is left without them; the out-of-fold AUC may not hold on the test cases"
    else:
        action = (
            f"quote the AUC without them, {smaller.auc:.4f} [{smaller.low:.4f}, {smaller.high:.4f}]; with them it is "
            f"{smaller.gain:+.4f} [{smaller.gain_low:+.4f}, {smaller.gain_high:+.4f}], which may not hold on test cases"
        )
    what = "networks whose test scores differ from their out-of-fold scores"
    yield Finding(what, len(names), WARNING, action, names, SHIFTING_NETWORKS)
