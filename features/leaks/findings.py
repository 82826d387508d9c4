"""The findings of the leak audit: what was found, how severe it is, what was done, and which of them a user accepts."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from runtime.errors import InputFault
from runtime.invocation import option
from runtime.plural import number_of

# A blocking finding stops the run; a warning is repeated by every later command, the report and the model card.
BLOCKING, WARNING, RESOLVED_LEAK, NOTE = "blocking", "warning", "resolved", "note"
RUN_STOPS = "; the run stops"
ACCEPTANCE = "accepted by the user"


@dataclass(frozen=True)
class Finding:
    """A kind of leak: ``what`` was found, how often, the severity, the action, the names of what is affected.

    ``name`` is the word by which a user accepts the finding; one without a name cannot be accepted.
    """

    what: str
    count: int
    severity: str
    action: str
    names: list[Any] = field(default_factory=list)
    name: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the finding as JSON values; the action has the key ``done``."""
        values = asdict(self)
        return values | {"done": values.pop("action")}

    @classmethod
    def from_facts(cls, values: Mapping[str, Any]) -> "Finding":
        """Return the finding from the values of ``facts``."""
        what, count, severity, action = (values[key] for key in ("what", "count", "severity", "done"))
        return cls(what, count, severity, action, values["names"], values.get("name", ""))

    def sentence(self) -> str:
        """Return the finding as one line, with its severity."""
        return f"{self.severity}: {self.text()}"

    def text(self) -> str:
        """Return the finding as one line."""
        few = ", ".join(self.name_texts()[:3])
        names = f" ({few}{', ...' * (len(self.names) > 3)})" if few else ""
        return f"{self.count} {self.what}{names}: {self.action}"

    def name_texts(self) -> list[str]:
        """Return one text for each name, pair or group."""
        return [" = ".join(name) if isinstance(name, list) else str(name) for name in self.names]


def findings_of(what: str, names: Iterable[object], severity: str, action: str, name: str = "") -> Iterator[Finding]:
    """Yield one finding for all ``names``, sorted; nothing without names."""
    texts = sorted(map(str, names))
    if texts:
        yield Finding(what, len(texts), severity, action + RUN_STOPS * (severity == BLOCKING), texts, name)


def accept_findings(findings: Iterable[Finding], names: Collection[str]) -> list[Finding]:
    """Return ``findings``, those blocking ones that the user accepts by their ``names`` as warnings that say so."""
    return [
        replace(each, severity=WARNING, action=f"{each.action.removesuffix(RUN_STOPS)}; {ACCEPTANCE}")
        if each.severity == BLOCKING and each.name in names and each.name
        else each
        for each in findings
    ]


def refuse_findings(findings: Iterable[Finding], where: str) -> None:
    """Raise InputFault with the blocking ones of ``findings``, if there are any; ``where`` names the run."""
    blocking = [finding for finding in findings if finding.severity == BLOCKING]
    if not blocking:
        return
    lines = [f"  - {finding.sentence()}{_remedy(finding)}" for finding in blocking]
    count = number_of(len(blocking), "blocking finding")
    raise InputFault("\n".join([f"{where}: {count} of the leak audit; correct them first", *lines]))


def _remedy(finding: Finding) -> str:
    """Return how to accept ``finding``; "" if it cannot be accepted."""
    if not finding.name:
        return ""
    return f"; if you know that it is right, accept it with {option('accept-finding', finding.name)}"
