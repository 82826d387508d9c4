"""Where the workers of one fit wait for each other, however long one of them reads, before they connect."""

import uuid
from dataclasses import dataclass, field

from distributed import Event, get_client


@dataclass(frozen=True)
class Meeting:
    """A point that ``count`` workers pass together; each attempt at a fit has one of its own.

    A library's own network waits for two minutes and then ends, some with their process. Here a worker waits for as
    long as it takes; when one is lost, whoever started the fit restarts the others.
    """

    count: int
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def arrive(self, rank: int) -> None:
        """Return when every worker has called this, each with its rank from 0 to ``count`` - 1."""
        client = get_client()
        Event(f"{self.name}-{rank}", client=client).set()
        for other in range(self.count):
            Event(f"{self.name}-{other}", client=client).wait()
