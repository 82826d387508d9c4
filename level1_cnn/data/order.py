"""Which row is shown at which place of a training: permutations and shares as pure functions of seed and step."""

from dataclasses import dataclass

import numpy as np

from runtime.errors import InputFault

BENIGN, MALIGNANT = 0, 1
EXTERNAL = 4  # added to a class: a group is a class of own or of external rows
GROUPS = (BENIGN, MALIGNANT, EXTERNAL + BENIGN, EXTERNAL + MALIGNANT)
PATTERN = 2  # which group stands where in a batch: not a group, so that no two random streams share their numbers


@dataclass(frozen=True)
class Order:
    """The order of n rows: each group, or all rows alike without shares, is run through in permutations of its own.

    So no row is shown twice before all of its group were shown once. With a ``malignant_share`` every batch holds that
    share of malignant rows, with an ``external_share`` that share of ``external`` rows, with both the same share of
    malignant rows among own and external ones; each rounded so that the count up to any step is right to half a
    picture, at random places.
    """

    malignant: np.ndarray  # bool (n,)
    malignant_share: float
    batch_size: int
    seed: int
    external: np.ndarray | None = None  # bool (n,); needed with an external_share
    external_share: float = 0.0

    def __post_init__(self) -> None:
        shares = {"malignant_share": self.malignant_share, "external_share": self.external_share}
        asked = ", ".join(f"{name} = {share:g}" for name, share in shares.items() if share)
        for group in GROUPS:
            if (group & MALIGNANT and not self.malignant_share) or (group >= EXTERNAL and not self.external_share):
                continue
            if not len(self.members(group)):
                origin = ("own ", "external ")[group >= EXTERNAL] if self.external_share else ""
                kind = origin + ("benign ", "malignant ")[group & MALIGNANT] if self.malignant_share else origin
                missing = f"there is no {kind or 'training '}row among the {len(self.malignant)} of this fit"
                raise InputFault(f"{asked}, but {missing}" if asked else missing)

    def rows(self, first_step: int, steps: int) -> np.ndarray:
        """Return the rows (int64, (steps, batch_size)) of the steps from ``first_step`` on."""
        groups = self.groups(first_step, steps)
        rows = np.empty(groups.shape, dtype=np.int64)
        for group in GROUPS:
            wanted = groups == group
            rows[wanted] = self.run(group, self.shown(group, first_step), int(wanted.sum()))
        return rows

    def groups(self, first_step: int, steps: int) -> np.ndarray:
        """Return which group each place shows (int8 (steps, batch_size)); all 0 without shares."""
        if not self.malignant_share and not self.external_share:
            return np.zeros((steps, self.batch_size), dtype=np.int8)
        return np.stack([self._pattern(step) for step in range(first_step, first_step + steps)])

    def shown(self, group: int, step: int) -> int:
        """Return how many rows of one group were shown before ``step``."""
        shown = step * self.batch_size
        external = _rounded(shown * self.external_share)
        origin = external if group >= EXTERNAL else shown - external
        malignant = _rounded(origin * self.malignant_share)
        return malignant if group & MALIGNANT else origin - malignant

    def members(self, group: int) -> np.ndarray:
        """Return the rows of one group (int64); what no share tells apart is all of the lower group."""
        malignant = self.malignant if self.malignant_share else np.zeros(len(self.malignant), dtype=bool)
        external = self.external if self.external_share and self.external is not None else np.zeros_like(malignant)
        return np.flatnonzero(malignant * MALIGNANT + external * EXTERNAL == group)

    def run(self, group: int, first: int, count: int) -> np.ndarray:
        """Return ``count`` rows of one group from its ``first``-th showing on: permutation after permutation."""
        members = self.members(group)
        if not count:
            return members[:0]
        epochs = range(first // len(members), (first + count - 1) // len(members) + 1)
        shown = np.concatenate([self._generator(group, epoch).permutation(members) for epoch in epochs])
        return shown[first - epochs[0] * len(members) :][:count]

    def _pattern(self, step: int) -> np.ndarray:
        groups = np.array(GROUPS[::-1], dtype=np.int8)
        counts = [self.shown(group, step + 1) - self.shown(group, step) for group in GROUPS[::-1]]
        return self._generator(PATTERN, step).permutation(np.repeat(groups, counts))

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose, number))


def _rounded(count: float) -> int:
    """Return the nearest whole number, halves up: it never falls while ``count`` grows."""
    return int(np.floor(count + 0.5))
