"""How much one request may bring, and how many may wait."""

from pathlib import Path

from pydantic import Field

from runtime.settings import Settings, read_settings

BYTES = 1_000_000  # of an MB
ENVELOPE_BYTES = 200_000  # of a body beside its pictures: fields, and the heads of the parts


class Limits(Settings):
    """What one request may bring; MB are 10^6 bytes."""

    pictures: int = Field(default=32, ge=1)
    picture_mb: float = Field(default=25, gt=0)
    total_mb: float = Field(default=150, gt=0)  # of all pictures of a request
    pixels: int = Field(default=60_000_000, ge=1)  # of one decoded picture: the contest's largest have 24 million
    waiting: int = Field(
        default=400, ge=1
    )  # requests that are read, wait for their turn or are answered; others get 503
    seconds: float = Field(default=120, gt=0)  # in which a request must have arrived

    @property
    def body_bytes(self) -> int:
        """The most bytes of a request's body."""
        return round(self.total_mb * BYTES) + ENVELOPE_BYTES

    @property
    def picture_bytes(self) -> int:
        """The most bytes of one picture."""
        return round(self.picture_mb * BYTES)


def read_limits(file: Path | None) -> Limits:
    """Return the limits in the TOML ``file``, or the usual ones; raise InputFault for what it cannot mean."""
    return Limits() if file is None else read_settings(file, Limits)
