"""The remedies: which features the head at home is fitted to, and which features it is given elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.elsewhere.sights import LARGE_CENTRE, LENS, LESION, SMALL_CENTRE, WHOLE
from level1_cnn.training_settings import Pooling

LAST_MAP = 1280  # channels of the last map of EfficientNet-Lite0; means come before deviations
Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Remedy:
    """A way to make a head that is used elsewhere; ``change`` sees the features (n, d) of home and elsewhere."""

    name: str
    framings: tuple[str, ...] = (WHOLE,)  # one head has the features of all
    last_layer: bool = False
    pooling: Pooling = "average"  # of the cells of every stage
    augmentation: str = ""  # of one more row per training picture
    change: Change | None = None
    needs_labels: bool = False  # the head is fitted to both sets, each with the same weight in total

    @property
    def works_on_one_picture(self) -> bool:
        """Whether the remedy needs neither the other pictures of the camera nor their labels."""
        return self.change is None and not self.needs_labels

    def layers(self, features: np.ndarray) -> np.ndarray:
        """Return the columns of the layers that the remedy uses, of the features (n, d) of all layers."""
        return features[:, -2 * LAST_MAP : -LAST_MAP] if self.last_layer else features


def standardise(home: np.ndarray, elsewhere: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardise the features of each camera by its own means and deviations."""
    first, second = ((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6) for rows in (home, elsewhere))
    return first, second


def drop_shifting(home: np.ndarray, elsewhere: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the quarter of the columns whose means differ most between the cameras, in standard deviations."""
    spread = np.sqrt((home.var(axis=0) + elsewhere.var(axis=0)) / 2) + 1e-6
    shift = np.abs(home.mean(axis=0) - elsewhere.mean(axis=0)) / spread
    steady = shift <= np.quantile(shift, 0.75)
    return home[:, steady], elsewhere[:, steady]


REMEDIES = (
    Remedy("last layer (the laptop profile)", last_layer=True),
    Remedy("last layer, field of view", (LENS,), last_layer=True),
    Remedy("last layer, around the centre", last_layer=True, pooling="centre"),
    Remedy("all layers"),
    Remedy("all layers, around the centre", pooling="centre"),
    Remedy("all layers, field of view", (LENS,)),
    Remedy("all layers, central 80 %", (LARGE_CENTRE,)),
    Remedy("all layers, central 65 %", (SMALL_CENTRE,)),
    Remedy("all layers, whole and central 80 %", (WHOLE, LARGE_CENTRE)),
    Remedy("all layers, lesion", (LESION,)),
    Remedy("all layers, whole and lesion", (WHOLE, LESION)),
    Remedy("all layers, trained with vignettes", augmentation="vignette"),
    Remedy("all layers, trained with hair", augmentation="hair"),
    Remedy("all layers, trained with other colours", augmentation="colour"),
    Remedy("all layers, standardised per camera", change=standardise),
    Remedy("all layers, without the columns that shift", change=drop_shifting),
    Remedy("all layers, fitted to both sets", needs_labels=True),
)
