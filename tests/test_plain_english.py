"""Tests of the project's English: no idiom of the list, and no name that is a past participle."""

from pathlib import Path

from tests.plain_english import IDIOMS, ROOMS, findings, idioms_in, participles_in
from tests.sources import ROOT


def test_no_text_uses_an_idiom_and_no_name_is_a_past_participle() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    assert findings([ROOT / room for room in ROOMS] + pages) == []


def test_an_idiom_and_a_participle_are_found_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text('"""Labels that are none."""\nfound = 1\n\ndef tuned(seed): ...\n')
    (idiom,) = idioms_in(path)
    assert idiom.startswith(f"{path}:1: 'that are none' -> ")
    assert sorted(participles_in(path)) == [
        f"{path}:2: the name 'found' is a past participle",
        f"{path}:4: the name 'tuned' is a past participle",
    ]
    assert len(IDIOMS) > 40
