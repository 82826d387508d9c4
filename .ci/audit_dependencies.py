"""Audit the locked versions against published advisories with pip-audit, and report when none could be reached.

pip-audit reports no advisory for a version that its service does not know. When the service cannot be reached, that is
every version, and "no known vulnerabilities" would be misleading; so this script counts the audited versions.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def summarise(report: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Return versions with advisories, names that could not be audited, and the number of audited versions.

    ``report`` is the JSON output of pip-audit.
    """
    advisories, unknown_names, count = [], [], 0
    for dependency in report["dependencies"]:
        if "skip_reason" in dependency:
            unknown_names.append(str(dependency["name"]))
            continue
        count += 1
        for advisory in dependency["vulns"]:
            fixes = ", ".join(advisory["fix_versions"]) or "no version yet"
            advisories.append(f"{dependency['name']} {dependency['version']}: {advisory['id']}, fixed in {fixes}")
    return advisories, unknown_names, count


def audit(lock: Path) -> list[str]:
    """Audit one lock file, print a summary, and return the versions with advisories."""
    command = [sys.executable, *COMMAND, "--requirement", str(lock)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.stdout.startswith("{"):
        print(f"{lock.name}: NOT audited: {result.stderr.strip().splitlines()[-1:]}")
        return []
    advisories, unknown_names, count = summarise(json.loads(result.stdout))
    if not count:
        print(f"{lock.name}: NOT audited: the advisories cannot be reached from this machine")
        return []
    unknown = f"; not known to the advisories: {', '.join(unknown_names)}" if unknown_names else ""
    print(f"{lock.name}: {count} versions audited, {len(advisories)} with an advisory{unknown}")
    return advisories


def main(locks: Sequence[str]) -> int:
    """Return 1 when an audited version has an advisory, else 0."""
    advisories = sorted({line for lock in locks for line in audit(Path(lock))})
    for line in advisories:
        print(f"  {line}")
    return 1 if advisories else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
