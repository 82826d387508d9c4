"""The answer for one patient's lesions, as JSON has it."""

from pydantic import BaseModel

DISCLAIMER = "Not a medical device. For research only: do not base decisions about a patient on these numbers."


class Part(BaseModel):
    """The contribution of one column of level two to the log odds; ``words`` name the column on pages."""

    column: str
    words: str
    log_odds: float


class EmptyField(BaseModel):
    """What a field that was left empty adds to the log odds: the sum over the columns that it would fill."""

    field: str
    log_odds: float


class NetworkScore(BaseModel):
    """The prediction of one network: the mean over its views and folds, and the spread over the views."""

    name: str
    words: str
    probability: float | None
    spread: float | None


class Decision(BaseModel):
    """Whether a lesion is predicted malignant at an operating point: its probability is at or above the threshold."""

    name: str
    threshold: float
    malignant: bool


class LesionAnswer(BaseModel):
    """The prediction for one picture; ``picture`` is its position in the request, from 0.

    ``low`` and ``high``: minimum and maximum of the fold models' probabilities. ``raising``, ``lowering``: the largest
    contributions to the log odds; with ``left_empty``, ``rest`` and ``base`` they sum to the log odds of
    ``probability``. ``unusual``: the share of training pictures that have a nearer neighbour than this picture has.
    ``decisions``: one per operating point of the model. Images are data URIs (JPEG).
    """

    picture: int
    name: str
    site: str | None
    probability: float
    low: float
    high: float
    rank: int
    pictures: int
    unusual: float | None
    ugly_duckling: bool
    decisions: list[Decision] = []
    networks: list[NetworkScore]
    base: float | None
    raising: list[Part]
    lowering: list[Part]
    left_empty: list[EmptyField] = []
    rest: float
    notices: list[str]
    thumbnail: str | None = None
    heat_map: str | None = None
    no_heat_map: str | None = None


class HeatMap(BaseModel):
    """Where the networks see melanoma in one picture: ``image`` is a data URI (JPEG), None with a ``reason`` why."""

    picture: int
    name: str
    image: str | None = None
    reason: str | None = None


class Model(BaseModel):
    """The model that made the predictions."""

    name: str
    digest: str | None
    auc: float | None
    prevalence: float | None


class Answer(BaseModel):
    """The lesions of one patient, the highest probability of melanoma first.

    ``time``: when they were predicted (ISO 8601, UTC). ``patient_id`` and ``reference``: as they were sent.
    """

    disclaimer: str = DISCLAIMER
    model: Model
    time: str
    patient_id: str | None = None
    reference: str | None = None
    age: float | None
    sex: str | None
    lesions: list[LesionAnswer]
