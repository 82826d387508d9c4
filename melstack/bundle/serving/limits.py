"""The limits on one request, on each of its pictures, and on the number of requests that wait."""

from pathlib import Path

from pydantic import Field

from runtime.settings import Settings, read_settings

BYTES = 1_000_000  # per MB
ENVELOPE_BYTES = 200_000  # of a body besides its pictures: the fields, and the headers of the parts


class Limits(Settings):
    """The limits on requests; an MB is 10^6 bytes."""

    pictures: int = Field(default=32, ge=1)  # of one patient
    picture_mb: float = Field(default=25, gt=0)  # of one picture
    total_mb: float = Field(default=150, gt=0)  # of all pictures of one patient
    pixels: int = Field(default=60_000_000, ge=1)  # per decoded picture; the largest of the contest have 24 million
    scans: int = Field(default=100, ge=1)  # of a progressive JPEG; programs write about ten
    memory_mb: float = Field(default=800, ge=100)  # to decode one picture, besides what the process has at its start
    decode_seconds: float = Field(default=10, gt=0)  # to decode one picture
    batch_pictures: int = Field(default=2000, ge=1)  # of a batch of patients
    batch_mb: float = Field(default=4000, gt=0)  # of all pictures of a batch
    waiting: int = Field(default=400, ge=1)  # requests that are being read, wait or are computed; more get 503
    head_seconds: float = Field(default=10, gt=0)  # until the head of a request must have arrived
    seconds: float = Field(default=120, gt=0)  # until the whole request must have arrived
    grace_seconds: float = Field(default=20, gt=0)  # to answer what is in flight after SIGTERM

    @property
    def picture_bytes(self) -> int:
        """The maximum number of bytes of one picture."""
        return round(self.picture_mb * BYTES)


def read_limits(file: Path | None) -> Limits:
    """Return the limits in the TOML ``file``, or the defaults; raise InputFault for an unknown key or invalid value."""
    return Limits() if file is None else read_settings(file, Limits)
