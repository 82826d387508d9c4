"""What an import prints of its networks, and the warnings that later commands repeat."""

import re
import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from runtime.files import read_json
from runtime.progress import detail, say

WARNING = "WARNING: "  # begins a note that every command repeats at its end
MOST = 160  # characters of a warning


def print_networks(facts: Mapping[str, Any], status: str) -> None:
    """Print the networks of an import, from its ``facts``: what was guessed and the warnings; the rest are details."""
    for note in facts.get("notes", []):
        say(f"foreign networks: {note}")
    for name, network in facts["networks"].items():
        detail(f"foreign network {name}: {'REFUSED' if network['refusal'] else status}")
        readings = network.get("readings", []) if status != "fresh" else []
        for sentence in readings:
            say(f"  {name}: {sentence}")
        for sentence in [text for text in (*network["notes"], *network["refusal"]) if text not in readings]:
            detail(f"  {sentence}")
        for sentence in network["refusal"] if status != "fresh" else []:
            say(f"  {name}: refused: {sentence}")
        for sentence in [] if network["refusal"] else warnings_in(network["notes"]):
            # Not `warn`: the network may be confirmed later in the command, and its end reads what is true then.
            say(f"warning: {name}: {shorten(sentence)}")
    refusals = [name for name, network in facts["networks"].items() if network["refusal"]]
    ending = f"; {len(refusals)} refused: {', '.join(refusals)}" if refusals else ""
    say(f"foreign networks: {len(facts['networks']) - len(refusals)} {status}{ending}")


def imported_networks(run: Path) -> dict[str, dict[str, Any]]:
    """Return name -> notes and refusal of the networks of the last import into ``run``; empty without one."""
    summary = run / "foreign.json"
    return dict(read_json(summary)["networks"]) if summary.is_file() else {}


def import_warnings(run: Path) -> list[str]:
    """Return the warnings on the networks of the last import into ``run``, in short, with their names."""
    networks = imported_networks(run).items()
    return [f"{name}: {shorten(text)}" for name, network in networks for text in warnings_in(network["notes"])]


def warnings_in(notes: Collection[str]) -> list[str]:
    """Return the warnings among the ``notes`` on a network."""
    return [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]


def shorten(note: str) -> str:
    """Return a note on a foreign network without what is in brackets and without the option that admits it."""
    text = re.sub(r" \([^)]*\)", "", note).split("; if you know")[0].split("; accepted because")[0]
    return textwrap.shorten(text, MOST, placeholder=" ...")
