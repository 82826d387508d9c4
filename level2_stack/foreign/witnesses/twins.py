"""Which brought networks have the same scores? One under two names, or a file that was copied by mistake."""

from collections.abc import Collection
from itertools import combinations

import pandas as pd

from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.witnesses.candidate import Candidate, add_doubt

SAME, OTHER = 0.999, 0.99  # rank correlations: of the same scores, rounded, and of scores that are not the same


def check_twins(networks: Collection[Candidate], own: Collection[Candidate], trust: Collection[str]) -> None:
    """Warn of a network that another one repeats; refuse two networks that have one file in common and not the other.

    Of these one is right, and nothing shows which.
    """
    roles = [role for role in ("train", "test") if all(role in network.parts for network in networks)]
    names = [network.name for network in (*own, *networks)]
    tables = {role: pd.DataFrame({each.name: each.score(role) for each in (*own, *networks)}) for role in roles}
    correlations = {role: table.corr(method="spearman").to_numpy() for role, table in tables.items()}
    by_name = {network.name: network for network in networks}
    for (row, first), (column, second) in combinations(enumerate(names), 2):
        likeness = {role: float(table[row, column]) for role, table in correlations.items()}
        if second in by_name and all(each > SAME for each in likeness.values()):
            by_name[second].findings.notes.append(
                f"{WARNING}[same-network] its scores are those of {first}: one network under two names counts twice; "
                "leave one of them out"
            )
        elif max(likeness.values()) > SAME and min(likeness.values()) < OTHER:
            _report_copy((first, second), likeness, by_name, trust)


def _report_copy(
    names: tuple[str, str], likeness: dict[str, float], networks: dict[str, Candidate], trust: Collection[str]
) -> None:
    same, different = ("train", "test") if likeness["train"] > SAME else ("test", "train")
    for name, other in (names, names[::-1]):
        if name not in networks:
            continue
        network = networks[name]
        sentence = (
            f"[same-file] {network.where(same)} has the scores of {other}, but {network.where(different)} has others "
            f"(rank correlations {likeness[same]:.3f} and {likeness[different]:.3f}): one of the files is a "
            "copy of the wrong one"
        )
        add_doubt(network.findings, sentence, name in trust)
