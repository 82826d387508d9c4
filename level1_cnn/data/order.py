"""The order in which a training sees its rows: permutations and shares that depend only on seed and step."""

from dataclasses import dataclass

import numpy as np

from runtime.errors import InputFault

BENIGN, MALIGNANT = 0, 1
EXTERNAL = 4  # added to a class: a group is one class of the run's own rows or of the external rows
GROUPS = (BENIGN, MALIGNANT, EXTERNAL + BENIGN, EXTERNAL + MALIGNANT)
# Seeds the random positions of the groups in a batch. It is not a group, so no two random streams share their numbers.
PATTERN = 2


@dataclass(frozen=True)
class Order:
    """The order of n rows: each group, or without shares all rows together, goes through one permutation after another.

    Therefore no row comes twice before every row of its group came once. With a ``malignant_share``, every batch holds
    that share of malignant rows; with an ``external_share``, that share of ``external`` rows; with both, the malignant
    share is the same among own and external rows. Counts are rounded so that the total up to any step is within half
    a picture of the exact share. The positions of the groups within a batch are random.
    """

    malignant: np.ndarray  # bool (n,)
    malignant_share: float
    batch_size: int
    seed: int
    external: np.ndarray | None = None  # bool (n,); needed with an external_share
    external_share: float = 0.0

    def __post_init__(self) -> None:
        shares = {"malignant_share": self.malignant_share, "external_share": self.external_share}
        settings = ", ".join(f"{name} = {share:g}" for name, share in shares.items() if share)
        for group in GROUPS:
            if (group & MALIGNANT and not self.malignant_share) or (group >= EXTERNAL and not self.external_share):
                continue
            if not len(self.members(group)):
                origin = ("own ", "external ")[group >= EXTERNAL] if self.external_share else ""
                kind = origin + ("benign ", "malignant ")[group & MALIGNANT] if self.malignant_share else origin
                missing = f"this fit has no {kind or 'training '}row among its {len(self.malignant)} rows"
                raise InputFault(f"{settings}, but {missing}; set the share to 0" if settings else missing)

    def rows(self, first_step: int, steps: int) -> np.ndarray:
        """Return the row indices of ``steps`` steps from ``first_step`` on, int64 (steps, batch_size)."""
        groups = self.groups(first_step, steps)
        rows = np.empty(groups.shape, dtype=np.int64)
        for group in GROUPS:
            positions = groups == group
            rows[positions] = self.sequence(group, self.count_before(group, first_step), int(positions.sum()))
        return rows

    def groups(self, first_step: int, steps: int) -> np.ndarray:
        """Return the group at each position of the batches (int8 (steps, batch_size)); all 0 without shares."""
        if not self.malignant_share and not self.external_share:
            return np.zeros((steps, self.batch_size), dtype=np.int8)
        return np.stack([self._pattern(step) for step in range(first_step, first_step + steps)])

    def count_before(self, group: int, step: int) -> int:
        """Return the number of rows of one group in all batches before ``step``; repeated rows count each time."""
        total = step * self.batch_size
        external = _round_half_up(total * self.external_share)
        origin = external if group >= EXTERNAL else total - external
        malignant = _round_half_up(origin * self.malignant_share)
        return malignant if group & MALIGNANT else origin - malignant

    def members(self, group: int) -> np.ndarray:
        """Return the indices of the rows of one group, int64 (rows,).

        Without a ``malignant_share`` all rows count as benign, without an ``external_share`` all count as own rows.
        """
        malignant = self.malignant if self.malignant_share else np.zeros(len(self.malignant), dtype=bool)
        external = self.external if self.external_share and self.external is not None else np.zeros_like(malignant)
        return np.flatnonzero(malignant * MALIGNANT + external * EXTERNAL == group)

    def sequence(self, group: int, first: int, count: int) -> np.ndarray:
        """Return ``count`` row indices from position ``first`` of a group's endless sequence of permutations."""
        members = self.members(group)
        if not count:
            return members[:0]
        epochs = range(first // len(members), (first + count - 1) // len(members) + 1)
        rows = np.concatenate([self._generator(group, epoch).permutation(members) for epoch in epochs])
        return rows[first - epochs[0] * len(members) :][:count]

    def _pattern(self, step: int) -> np.ndarray:
        """Return the group at each position of one batch (int8 (batch_size,)), in random order."""
        groups = np.array(GROUPS[::-1], dtype=np.int8)
        counts = [self.count_before(group, step + 1) - self.count_before(group, step) for group in GROUPS[::-1]]
        return self._generator(PATTERN, step).permutation(np.repeat(groups, counts))

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose, number))


def _round_half_up(count: float) -> int:
    """Return the nearest whole number; the result never falls while ``count`` grows."""
    return int(np.floor(count + 0.5))
