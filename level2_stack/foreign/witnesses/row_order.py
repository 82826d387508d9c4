"""Is each row of a brought table that of its case? Ask the run's networks, patients, metadata, other networks."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache

import pandas as pd

from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.witnesses.candidate import Candidate, add_doubt
from level2_stack.foreign.witnesses.comparison import (
    LEGEND,
    PATIENTS,
    Comparison,
    agreeing,
    compare,
    compare_metadata,
    compare_patients,
    doubting,
    in_words,
)
from level2_stack.foreign.witnesses.scale_repair import repair_scale
from runtime.invocation import option

Model = Callable[[Candidate], Candidate | None]


@dataclass
class Evidence:
    """Comparisons of a network with the run's ``own`` networks, ``facts`` on cases, and ``allies``, brought with it.

    Brought networks come from one source and can have the same error, so they doubt, but cannot confirm.
    """

    own: list[Comparison] = field(default_factory=list)
    facts: list[Comparison] = field(default_factory=list)
    allies: list[Comparison] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Return whether the networks of the run say anything: their rows are in order, so they decide."""
        return bool(agreeing(self.own) or doubting(self.own))

    @property
    def doubts(self) -> list[Comparison]:
        """Return the comparisons that refuse the network, of the first kind of witness that refuses it."""
        if self.is_settled:
            return _outvoting(self.own)
        doubts = doubting(self.facts)
        # Patients and metadata differ between two samples of cases: one of them alone may change.
        if doubts and (not agreeing(self.facts) or any(each.is_certain for each in doubts)):
            return doubts
        return _outvoting(self.allies)

    @property
    def confirmations(self) -> list[Comparison]:
        """Return the comparisons that confirm the order of the rows."""
        return agreeing(self.own if self.is_settled else self.facts)

    def all(self) -> list[Comparison]:
        """Return every comparison."""
        return [*self.own, *self.facts, *self.allies]


def check_orders(
    candidates: list[Candidate],
    trust: Collection[str],
    patients: pd.Series,
    own: Collection[Candidate] = (),
    model: Model = lambda network: None,
) -> list[Candidate]:
    """Compare what each network and every witness share; refuse networks whose row order seems wrong.

    Return the networks whose order nothing doubts. What an ``own`` network of the run shows decides, since its rows are
    in order. Else the likeness of a patient's pictures (``patients``: a number per case) and ``model``, what metadata
    say of the network's scores, can confirm or doubt. The brought networks vote in the end: the one with most doubts
    leaves, and the others vote again; they never confirm each other, since files of one source can have the same error.
    Networks with values out of range do not testify: two files with the same error would agree. Their own order must be
    confirmed, before their scale is repaired.
    """
    in_range = [network for network in candidates if not network.out_of_range]
    evidence = {network.name: _first_evidence(network, patients, own, model) for network in in_range}
    _vote(in_range, evidence, patients)
    for network in in_range:
        _report(network, evidence[network.name], network.name in trust)
    reliable = [network for network in in_range if not evidence[network.name].doubts]
    for network in candidates:
        if network.out_of_range:
            comparisons = [compare(network, other, patients) for other in (*own, *reliable)]
            repair_scale(network, comparisons, network.name in trust)
    return reliable


def _first_evidence(network: Candidate, patients: pd.Series, own: Collection[Candidate], model: Model) -> Evidence:
    evidence = Evidence([compare(network, other, patients) for other in own])
    if not evidence.is_settled:
        evidence.facts.append(compare_patients(network, patients))
        witness = model(network)
        evidence.facts += [compare_metadata(network, witness, patients)] if witness else []
    return evidence


def _vote(networks: Collection[Candidate], evidence: dict[str, Evidence], patients: pd.Series) -> None:
    """Add the comparisons between brought networks to their ``evidence``, in rounds, each without those refused."""
    comparison = cache(lambda first, second: compare(by_name[first], by_name[second], patients))
    by_name = {network.name: network for network in networks}
    refused = {name for name in by_name if evidence[name].doubts}
    listeners = list(by_name)
    while True:
        voters = [name for name in by_name if name not in refused]
        for name in listeners:
            evidence[name].allies = [comparison(name, other) for other in voters if other != name]
        margins = {name: _margin(evidence[name].allies) for name in voters if evidence[name].doubts}
        if not margins:
            return
        worst = {name for name, margin in margins.items() if margin == max(margins.values())}
        # Of two networks that disagree, the one that the facts confirm stays.
        refused |= {name for name in worst if not evidence[name].confirmations} or worst
        listeners = [name for name in voters if name not in refused]


def _margin(comparisons: Collection[Comparison]) -> int:
    return len(doubting(comparisons)) - len(agreeing(comparisons))


def _outvoting(comparisons: Collection[Comparison]) -> list[Comparison]:
    """Return the doubts among ``comparisons`` if there are more of them than confirmations."""
    return doubting(comparisons) if _margin(comparisons) > 0 else []


def _report(network: Candidate, evidence: Evidence, is_trusted: bool) -> None:
    """Add to the findings what the witnesses say: a fault, a confirmation, or a warning that stays."""
    findings, where, train = network.findings, network.where("test"), network.where("train")
    correlations = f"({LEGEND}: {in_words(evidence.all()) or 'no witness'})"
    if doubts := evidence.doubts:
        is_of_oof = all(each.verdict == "unrelated" for each in doubts)
        wrong, right = (train, where) if is_of_oof else (where, train)
        problem = (
            f"[row-order-wrong] {wrong}: has far less in common with {_names(doubts)} than {right}; its rows, or "
            f"theirs, are in a wrong order, or it holds another quantity {correlations}"
        )
        add_doubt(findings, problem, is_trusted)
        return
    if evidence.confirmations:
        findings.notes.append(f"row order of {where} confirmed {correlations}")
    else:
        _warn_of_order(network, evidence, correlations, is_trusted)
    remaining = doubting(evidence.all())
    if remaining:
        findings.notes.append(
            f"{WARNING}[row-order-weak] {where} has far less in common than {train} with {in_words(remaining)}; check "
            "that both hold the same quantity in the same order"
        )


def _warn_of_order(network: Candidate, evidence: Evidence, correlations: str, is_trusted: bool) -> None:
    """Say that nothing confirms the row order: a warning, or a note if the user trusts the network."""
    findings, where = network.findings, network.where("test")
    sentence = f"the row order of {where} cannot be confirmed, since nothing else predicts these cases well enough"
    slug = "row-order-unconfirmed"
    if alike := agreeing(evidence.allies):
        slug = "row-order-only-alike"
        sentence = (
            f"{where} and that of {', '.join(each.other for each in alike)} agree with each other, which files with "
            "the same error do too; nothing else confirms their row order"
        )
    if is_trusted:
        findings.notes.append(f"{sentence} {correlations}; accepted because {option('trust')} names it")
        return
    remedy = f"if it is right, {option('trust', network.name)} says so"
    findings.notes.append(f"{WARNING}[{slug}] {sentence} {correlations}; {remedy}")


def _names(comparisons: Collection[Comparison]) -> str:
    names = [each.other for each in comparisons if each.other != PATIENTS]
    alike = ["other " + PATIENTS] * (len(names) < len(comparisons))
    return ", ".join([*alike, *names])
