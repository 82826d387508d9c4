"""What plain English leaves out: idioms in any text of the project, and names that are a past participle.

    python -m tests.plain_english [FOLDER or FILE ...]

prints every place; without words it reads the whole project. `test_plain_english.py` holds it at none.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.sources import ROOT

ROOMS = ("runtime", "features", "level1_cnn", "level2_stack", "melstack", "benchmarks", "tests", "docs", ".ci")
TEXTS = {".py", ".md", ".j2", ".html", ".toml", ".js"}

# What a newcomer would have to decipher -> what the field, or plain English, says.
IDIOMS = {
    r"that (?:are|is) none": "invalid ..., ... is not a ...",
    r"to stop for": "blocking findings",
    r"cannot be meant": "implausible values",
    r"when the world": "exit codes",
    r"(?:became|become) other\b": "changed since",
    r"\bspared\b": "predicted benign",
    r"\bchoice gains\b": "gain of the stack",
    r"\bput to the proof\b": "test, check",
    r"\blets? (?:it )?go\b": "releases",
    r"\bhungry\b": "needs external pictures",
    r"\bspeaks? of\b": "mentions",
    r"\btells? of\b": "reports, describes",
    r"\bwithout a word\b": "without a message",
    r"\b(?:is|are) meant\b": "name what it is",
    r"\bwhat (?:is|are) (?:no|not)\b": "name the thing: an invalid ..., other than ...",
    r"\bthat is no\b": "that is not a",
    r"\b(?:is|are|was|were) no (?!longer|more\b|less\b|better|worse|other\b|need|way|such)[a-z]": "is not a ...",
    r"\banew\b": "again",
    r"\bfor want of\b": "for lack of",
    r"\bmend(?:s|ed|ing|able)?\b": "repair, fix, correct",
    r"\bletters\b": "characters",
    r"\bgives? \w+ (?:\w+ ){0,3}away\b": "reveals, leaks",
    r"\b(?:lie|lies|lay|lying) (?:in|beside|there|on|outside|within)\b": "is in, is next to",
    r"\bbut for\b": "except",
    r"\ball but\b": "almost; all except",
    r"\bnothing but\b": "only",
    r"\bspoilt\b": "damaged",
    r"\bput away\b": "closed, removed",
    r"\bnobody\b": "name who, or say what is missing",
    r"\bdealt?s?\b": "assigned, split",
    r"\baccused?\b": "reported, flagged",
    r"\bobeys?\b": "follows, interprets",
    r"\btakes? no part\b": "is not used",
    r"\bgoes with\b|\bgo with\b": "agrees with, correlates with",
    r"\bso it is\b": "therefore",
    r"\b(?:is|are) told\b": "is given; is printed",
    r"\bas such\b": "read as ...",
    r"\bwhat is there\b": "what exists",
    r"\bof one kind\b": "of the same kind",
    r"\bworth what\b": "how much each contributes",
    r"\bwherever\b|\bwhatever\b|\bwhoever\b": "say where, what or who",
    r"\bone thing it can\b": "unambiguous",
    r"\bvouch": "confirm",
    r"\bput right\b": "corrected",
    r"\bleans? on\b": "most important columns",
    r"\bhow alike\b": "how similar",
    r"\bgoes? on\b": "continues",
    r"\bof before\b": "older, earlier",
    r"\bshared out\b": "added in proportion",
    r"\bshall\b": "must, will",
    r"\bbelieves?\b": "accepts, trusts",
    r"\bdied there\b": "was killed",
    r"\bfor harmless\b": "low predicted probability",
    r"\bworker after worker\b": "several workers",
    r"\bthe other way (?:round|about)\b": "reversed",
    r"\bhand(?:ed|s)? over\b": "passed, given",
    r"\bin the place of\b": "instead of",
    r"\bby heart\b|\bin vain\b|\bbeforehand\b|\bhenceforth\b|\bthereof\b|\btherein\b|\bwhereof\b": "plain words",
}

IRREGULAR = """
found asked told seen said spoken made known held kept given taken drawn shown brought dealt left written gone done met
built meant thought heard sent lost chosen frozen broken torn worn grown thrown sought bought caught taught fed led paid
laid sold stood understood won begun felt hidden bound wound ground spun stuck struck swept spent lent bent hung born
borne bitten forgotten driven risen ridden eaten fallen flown blown sung sunk wicked
"""
# Nouns, verbs in the present and terms of the field that only look like a past participle.
ALLOWED = "seed need feed speed embed exceed red shed proceed expected spread read split cut hit put set cast"
# Names that are keys on disk, or of another library.
KEYS = "BitsAllocated BitsStored submitted_ submitted trained refused preferred"
KEYS += " data_received eof_received on_headers_finished"


def is_participle(name: str) -> bool:
    """Return whether a name is a past participle alone, which names a state and not a thing."""
    if name.startswith(("test_", "is_", "has_")):  # sentences and conditions
        return False
    word = name.strip("_").lower()
    if name in KEYS.split() or word.rpartition("_")[2] in ALLOWED.split():
        return False
    return word in IRREGULAR.split() or (len(word) > 3 and word.endswith("ed"))


def names_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of every class, function, parameter, variable and attribute that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def texts(paths: list[Path]) -> list[Path]:
    """Return the files with text below ``paths``, except this one and its test, which quote what is looked for."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [file for file in files if file.suffix in TEXTS and not file.stem.endswith("plain_english")]


def idioms_in(path: Path) -> list[str]:
    """Return a line for every idiom in a file."""
    text = path.read_text(encoding="utf-8")
    places = [
        (text.count("\n", 0, match.start()) + 1, match[0], remedy)
        for pattern, remedy in IDIOMS.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    return [f"{path}:{number}: {words!r} -> {remedy}" for number, words, remedy in sorted(places)]


def participles_in(path: Path) -> list[str]:
    """Return a line for every name in a Python file that is a past participle."""
    names = names_of(ast.parse(path.read_text(encoding="utf-8"))) if path.suffix == ".py" else ()
    return [f"{path}:{line}: the name {name!r} is a past participle" for line, name in names if is_participle(name)]


def findings(paths: list[Path]) -> list[str]:
    """Return a line for every idiom and every such name below ``paths``."""
    return [line for path in texts(paths) for line in (*idioms_in(path), *participles_in(path))]


if __name__ == "__main__":
    words = [Path(word) for word in sys.argv[1:]]
    lines = findings(words or [ROOT / room for room in ROOMS] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
    print(*lines, f"{len(lines)} places", sep="\n")
