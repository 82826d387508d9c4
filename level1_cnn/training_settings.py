"""Settings of the two methods that train a level-one model: fine-tuning, and a head on frozen features."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from level1_cnn.augment.settings import Augmentation
from runtime.settings import Settings, later

SMALLEST_CROP = 0.3  # share of a side that an input shows at least
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=32)]  # px
Targets = Literal["binary", "diagnosis3", "diagnosis9"]
Layers = Literal["last", "all"]
Pooling = Literal["average", "centre"]
Precision = Literal["float32", "int8"]
External = Literal["joint", "apart"]  # external cases: in the training of every fold, or only in a pretraining stage
# Setting -> (other setting, its values): the setting has an effect only while the other one has one of these values.
CONDITIONS: dict[str, tuple[str, tuple[object, ...]]] = {
    "focal_gamma": ("loss", ("focal",)),
    "ema_epochs": ("keep", ("ema",)),
    "mean_epochs": ("keep", ("mean",)),
    "external_share": ("external", ("joint",)),
}


class Pretraining(Settings):
    """Training on the external pictures alone, once per model: every fold starts from the weights of this stage."""

    epochs: Count  # over the external pictures
    learning_rate: Positive  # at the peak
    targets: Targets = "diagnosis9"  # what the stage learns to predict
    malignant_share: Share = 0.0  # among the pictures of an epoch, reached by repetition; 0: no repetition


class PseudoLabels(Settings):
    """Test cases as training rows; the soft targets are the probabilities that a finished model of this run predicts.

    Fold k uses the predictions of that model's fold k, which was not trained on the patients of fold k either. Test
    cases are not used for validation.
    """

    model: str  # name of the finished model
    weight: Positive = 1.0  # of a test case, where a training case has 1


class Finetune(Settings):
    """Settings of the method that trains all weights of the network."""

    method: Literal["finetune"]  # all weights are trained
    layers: Layers = later("last")  # all: the head sees means and standard deviations of the outputs of all stages
    # fitted: training starts from the logistic head of the frozen network instead of a random head
    head: Literal["random", "fitted"] = later("random")
    epochs: Count  # how often every training picture is shown
    batch_size: Count | Literal["auto"] = "auto"  # pictures per optimiser step; auto: as many as fit the device
    accumulation: Count = 1  # number of equal parts of a batch; their gradients are averaged
    learning_rate: Positive  # at the peak, after the warm-up
    # the rate rises from a tenth of the peak, then falls along a cosine
    warmup_epochs: float = Field(default=1.0, ge=0)
    # Factor of the learning rate from every stage of the backbone to the stage before it; 1: one rate for all weights
    stage_decay: Annotated[float, Field(gt=0, le=1)] = later(1.0)
    targets: Targets = "binary"  # melanoma or not; three, or nine diagnoses
    # focal: cases that are predicted well count less
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = Field(default=2.0, ge=0)  # 0 is cross-entropy
    # Number of last epochs whose loss ranks malignant cases above benign ones, pair by pair, instead of ``loss``
    auc_margin_epochs: Annotated[int, Field(ge=0)] = later(0)
    class_weights: Literal["none", "balanced"] = "none"  # balanced: both classes count the same
    label_smoothing: Share = 0.05  # targets move by this share towards the middle
    weight_decay: float = Field(default=1e-4, ge=0)  # of kernels, by AdamW
    # centre: cells count by a Gaussian around the middle; gem: generalised mean with a trained power
    pooling: Literal["average", "centre", "gem"] = "average"
    head_dropout: Share = 0.3  # share of the features that is set to 0
    dropout_samples: Count = 1  # number of dropout masks before one shared head; their logits are averaged
    metadata: bool = False  # a separate branch for age, sex and site
    train_batch_norm: bool = True  # False keeps ImageNet's statistics: a few hundred steps cannot replace them
    malignant_share: Share = 0.0  # among the pictures of an epoch, reached by repetition; 0: no repetition
    external: External = "joint"  # joint: external cases in every fold; apart: only in the stage of pretrain
    external_share: Share = 0.0  # among the pictures of an epoch, by repetition or by a sample; 0: each picture once
    keep: Literal["ema", "last", "mean", "best"] = "ema"  # weights that predict; best: chosen on the validation fold
    # px, rising: the first equal parts of the epochs show smaller pictures; the last part shows those of image_size
    progressive_sides: tuple[Side, ...] = later(())
    ema_epochs: Positive = 0.5  # memory of the moving average, in epochs
    mean_epochs: Count = 3  # number of last epochs in the mean
    monitor: bool = False  # write the validation fold's AUC after every epoch to history.csv; it decides nothing
    pretrain: Pretraining | None = None  # a stage on external pictures first, in [training.pretrain]
    pseudo: PseudoLabels | None = None  # test cases as training rows, in [training.pseudo]
    augmentation: Augmentation = Augmentation()  # random changes of training pictures, in [training.augmentation]

    def side_of_epoch(self, epoch: int, last_side: int) -> int:
        """Return the side (px) of the pictures of ``epoch`` (from 0), of which the last ones have ``last_side``."""
        sides = [*self.progressive_sides, last_side]
        return sides[epoch * len(sides) // self.epochs]

    @model_validator(mode="after")
    def _has_effects(self) -> Self:
        for name, (other, values) in CONDITIONS.items():
            # The default value is allowed: an experiment written by `tune` names every setting.
            if getattr(self, name) != type(self).model_fields[name].default and getattr(self, other) not in values:
                raise ValueError(f"{name} has no effect while {other} = {getattr(self, other)!r}; leave it out")
        if self.dropout_samples > 1 and not self.head_dropout:
            raise ValueError("dropout_samples has no effect while head_dropout = 0; raise it, or leave both out")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs:g} is longer than epochs = {self.epochs}")
        return self

    @model_validator(mode="after")
    def _has_epochs_for_all_parts(self) -> Self:
        if self.auc_margin_epochs and self.targets != "binary":
            raise ValueError(f"auc_margin_epochs is a loss for targets = 'binary', not for {self.targets!r}")
        if self.auc_margin_epochs >= self.epochs:
            raise ValueError(
                f"auc_margin_epochs = {self.auc_margin_epochs} leaves none of the epochs = {self.epochs} to the loss "
                "that comes first; lower it"
            )
        sides = self.progressive_sides
        if list(sides) != sorted(set(sides)):
            raise ValueError(f"progressive_sides = {list(sides)} must rise from one side to the next")
        if len(sides) >= self.epochs:
            raise ValueError(
                f"progressive_sides and image_size are {len(sides) + 1} sides, for epochs = {self.epochs}; "
                "give fewer sides, or as many epochs as sides"
            )
        return self

    @model_validator(mode="after")
    def _has_possible_head(self) -> Self:
        if self.layers == "all" and self.head == "random":
            raise ValueError("layers = 'all' needs head = 'fitted': a random head on all stages learns too slowly")
        if self.layers == "all" and self.pooling == "gem":
            raise ValueError("pooling = 'gem' pools the last map alone; leave it out with layers = 'all'")
        if self.head == "fitted" and self.targets != "binary":
            raise ValueError(f"head = 'fitted' is a head for targets = 'binary', not for {self.targets!r}")
        if self.head == "fitted" and self.metadata:
            raise ValueError("head = 'fitted' is fitted to pictures alone; leave metadata out, or use head = 'random'")
        return self


class PictureInput(Settings):
    """A picture that a frozen network sees of a case, ``side`` px: the central share ``crop`` of the stored picture.

    ``field_of_view`` is the largest central part without the dark corners of a round lens, ``lesion`` the square around
    the lesion, 1.5 times as wide; both are found in every picture.
    """

    side: Side  # px
    crop: float | Literal["field_of_view", "lesion"] = 1.0  # share of the sides

    @field_validator("crop", mode="before")
    @classmethod
    def _is_crop(cls, value: object) -> object:
        is_share = isinstance(value, int | float) and SMALLEST_CROP <= value <= 1
        if not is_share and value not in {"field_of_view", "lesion"}:
            raise ValueError(f"must be a share from {SMALLEST_CROP} to 1, 'field_of_view' or 'lesion'")
        return value


class FrozenFeatures(Settings):
    """Settings of the method that leaves the weights unchanged and fits a regularised logistic head on embeddings."""

    method: Literal["frozen"]  # only a head is fitted
    layers: Layers = "last"  # all: mean and standard deviation of the outputs of all stages
    pooling: Pooling = later("average")  # centre: cells count by a Gaussian around the middle of each input
    inputs: tuple[PictureInput, ...] = ()  # with several, one head has the features of all; (): the stored picture
    # C of scikit-learn's LogisticRegression, on standardised embeddings; auto: chosen inside the training folds
    regularisation: Positive | Literal["auto"] = "auto"
    precision: Precision = later("float32")  # of the weights and values of the network; int8 runs on the CPU
    external: External = "joint"  # joint: the head is fitted to external cases, too

    @model_validator(mode="after")
    def _has_other_inputs(self) -> Self:
        if len({(view.side, view.crop) for view in self.inputs}) < len(self.inputs):
            raise ValueError("two inputs are the same; each must have another side or crop")
        return self
