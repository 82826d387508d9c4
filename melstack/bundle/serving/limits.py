"""The limits on one request and on the number of requests that wait."""

from pathlib import Path

from pydantic import Field

from runtime.settings import Settings, read_settings

BYTES = 1_000_000  # per MB
ENVELOPE_BYTES = 200_000  # of a body besides its pictures: the fields, and the headers of the parts


class Limits(Settings):
    """The limits on requests; an MB is 10^6 bytes."""

    pictures: int = Field(default=32, ge=1)  # of a request
    picture_mb: float = Field(default=25, gt=0)  # of one picture
    total_mb: float = Field(default=150, gt=0)  # of all pictures of a request
    pixels: int = Field(default=60_000_000, ge=1)  # per decoded picture; the largest of the contest have 24 million
    waiting: int = Field(default=400, ge=1)  # requests that are being read, wait or are computed; more get 503
    seconds: float = Field(default=120, gt=0)  # until the whole request must have arrived

    @property
    def body_bytes(self) -> int:
        """The maximum number of bytes of a request's body."""
        return round(self.total_mb * BYTES) + ENVELOPE_BYTES

    @property
    def picture_bytes(self) -> int:
        """The maximum number of bytes of one picture."""
        return round(self.picture_mb * BYTES)


def read_limits(file: Path | None) -> Limits:
    """Return the limits in the TOML ``file``, or the defaults; raise InputFault for an unknown key or invalid value."""
    return Limits() if file is None else read_settings(file, Limits)
