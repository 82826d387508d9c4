"""Tests of provenance.py: artefacts are fresh, stale, or refused with the differing keys."""

from pathlib import Path

import pytest

from runtime.errors import InputFault
from runtime.provenance import check_inputs, differences, digest_of_code, is_fresh, write_mark


def test_an_artefact_is_fresh_only_with_the_same_inputs_and_all_outputs(tmp_path: Path) -> None:
    mark, output = tmp_path / "run.json", tmp_path / "table"
    assert not is_fresh(mark, {"epochs": 3}, [output])
    write_mark(mark, {"epochs": 3})
    assert not is_fresh(mark, {"epochs": 3}, [output])
    output.touch()
    assert is_fresh(mark, {"epochs": 3}, [output])
    assert not is_fresh(mark, {"epochs": 4}, [output])


def test_a_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    write_mark(tmp_path / "run.json", {"settings": {"epochs": 3, "side": (1, 2)}, "cases": "ab"})
    inputs = {"settings": {"epochs": 4, "side": (1, 2)}, "cases": "ab", "new": 1}
    assert differences(tmp_path / "run.json", inputs) == ["new: 'absent' -> 1", "settings.epochs: 3 -> 4"]
    with pytest.raises(InputFault, match=r"settings\.epochs: 3 -> 4"):
        check_inputs(tmp_path / "run.json", inputs, "take another name")


def test_comments_and_docstrings_do_not_change_the_digest_of_code(tmp_path: Path) -> None:
    file = tmp_path / "step.py"
    texts = [
        '"""Add."""\ndef add(a, b):\n    """Add two."""\n    return a + b\n',
        '"""Sum."""\n\ndef add(a,  b):\n    # why not\n    return a + b\n',
        '"""Add."""\ndef add(a, b):\n    """Add two."""\n    return a - b\n',
    ]
    digests = []
    for text in texts:
        file.write_text(text)
        digests.append(digest_of_code([file]))
    assert digests[0] == digests[1] != digests[2]
