"""Which row is shown at which place of a training: permutations and class shares as pure functions of seed and step."""

from dataclasses import dataclass

import numpy as np

from features.faults import InputFault

BENIGN, MALIGNANT, PATTERN = 0, 1, 2  # what a random stream is for, so that no two share their numbers


@dataclass(frozen=True)
class Order:
    """The order of n rows: each class, or all rows alike with a share of 0, is run through in permutations of its own.

    So no row is shown twice before all of its class were shown once. With a ``malignant_share`` every batch holds that
    share of malignant rows, rounded so that the count up to any step is right to half a picture, at random places.
    """

    malignant: np.ndarray  # bool (n,)
    malignant_share: float
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        for index in (BENIGN, MALIGNANT) if self.malignant_share else (BENIGN,):
            if not len(self.members(index)):
                which = ("benign", "malignant")[index] if self.malignant_share else "training"
                setting = f"malignant_share = {self.malignant_share:g}, but " if self.malignant_share else ""
                raise InputFault(f"{setting}there is no {which} row among the {len(self.malignant)} of this fit")

    def rows(self, first_step: int, steps: int) -> np.ndarray:
        """Return the rows (int64, (steps, batch_size)) of the steps from ``first_step`` on."""
        classes = self.classes(first_step, steps)
        rows = np.empty(classes.shape, dtype=np.int64)
        for index in (BENIGN, MALIGNANT):
            wanted = classes == index
            rows[wanted] = self.run(index, self.shown(index, first_step), int(wanted.sum()))
        return rows

    def classes(self, first_step: int, steps: int) -> np.ndarray:
        """Return which places show a malignant row (int8 (steps, batch_size), 0 or 1); all 0 without a share."""
        if not self.malignant_share:
            return np.zeros((steps, self.batch_size), dtype=np.int8)
        return np.stack([self._pattern(step) for step in range(first_step, first_step + steps)])

    def shown(self, index: int, step: int) -> int:
        """Return how many rows of one class were shown before ``step``."""
        malignant = int(np.floor(step * self.batch_size * self.malignant_share + 0.5))
        return malignant if index == MALIGNANT else step * self.batch_size - malignant

    def members(self, index: int) -> np.ndarray:
        """Return the rows of one class (int64); without a share all rows are of class 0."""
        if not self.malignant_share:
            return np.arange(len(self.malignant) if index == BENIGN else 0)
        return np.flatnonzero(self.malignant == bool(index))

    def run(self, index: int, first: int, count: int) -> np.ndarray:
        """Return ``count`` rows of one class from its ``first``-th showing on: permutation after permutation."""
        members = self.members(index)
        if not count:
            return members[:0]
        epochs = range(first // len(members), (first + count - 1) // len(members) + 1)
        shown = np.concatenate([self._generator(index, epoch).permutation(members) for epoch in epochs])
        return shown[first - epochs[0] * len(members) :][:count]

    def _pattern(self, step: int) -> np.ndarray:
        malignant = self.shown(MALIGNANT, step + 1) - self.shown(MALIGNANT, step)
        pattern = (np.arange(self.batch_size) < malignant).astype(np.int8)
        return self._generator(PATTERN, step).permutation(pattern)

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose, number))
