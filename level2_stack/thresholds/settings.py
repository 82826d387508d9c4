"""The rules of a recipe's thresholds."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from runtime.settings import Settings

Rule = Literal["sensitivity", "specificity", "npv", "net_benefit"]
Share = Annotated[float, Field(gt=0, lt=1)]
AUTO = "auto"
AUTO_RISK = 0.1  # of the prevalence: how much malignancy "auto" leaves among the cases predicted benign


class ThresholdRules(Settings):
    """Which thresholds to freeze: a list of aims per rule."""

    sensitivity: list[Share] = Field([0.8, 0.9, 0.95])  # shares that new malignant cases reach on average
    specificity: list[Share] = Field([0.9])  # the same of benign cases
    # share of benign cases among those predicted benign; auto: these are malignant a tenth as often as all cases
    npv: list[float | str] = Field([AUTO])
    # unnecessary excisions that cost as much as one missed melanoma
    net_benefit: list[Annotated[float, Field(gt=0)]] = Field([])
    conformal_coverage: Share = 0.9  # share of the cases of each class whose conformal set has their class

    @field_validator("npv")
    @classmethod
    def _check_npv(cls, aims: list[float | str]) -> list[float | str]:
        if any(aim != AUTO if isinstance(aim, str) else not 0 < aim < 1 for aim in aims):
            raise ValueError(f"must be shares between 0 and 1, such as 0.998, or {AUTO!r}")
        return aims

    def aims(self, prevalence: float) -> Iterator[tuple[Rule, float]]:
        """Yield every rule with its aim; ``prevalence`` is the share of malignant cases where they will be used."""
        automatic = 1 - float(f"{AUTO_RISK * prevalence:.2g}")
        yield from (("sensitivity", aim) for aim in self.sensitivity)
        yield from (("specificity", aim) for aim in self.specificity)
        yield from (("npv", automatic if isinstance(aim, str) else aim) for aim in self.npv)
        yield from (("net_benefit", aim) for aim in self.net_benefit)

    def contradictions(self) -> Iterator[str]:
        """Yield a message for every rule that lists an aim twice, and one without any aim."""
        if not list(self.aims(0.5)):
            yield "thresholds: no rule has an aim; subgroups are compared at one, such as sensitivity = [0.9]"
        for name in ("sensitivity", "specificity", "npv", "net_benefit"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                yield f"thresholds.{name} = {values} lists an aim twice; list it once"
