"""Audit the locked versions against published advisories with pip-audit, and say plainly where none could be reached.

pip-audit calls a version sound that its service does not know; where the service is out of reach that is every
version, and "no known vulnerabilities" would be said of nothing.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def judged(report: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Return what pip-audit's ``report`` says: versions with advisories, names it could not audit, how many it did."""
    found, skipped, audited = [], [], 0
    for dependency in report["dependencies"]:
        if "skip_reason" in dependency:
            skipped.append(str(dependency["name"]))
            continue
        audited += 1
        for advisory in dependency["vulns"]:
            mended = ", ".join(advisory["fix_versions"]) or "no version yet"
            found.append(f"{dependency['name']} {dependency['version']}: {advisory['id']}, mended in {mended}")
    return found, skipped, audited


def audit(lock: Path) -> list[str]:
    """Audit one lock file, print what was found, and return the versions with advisories."""
    command = [sys.executable, *COMMAND, "--requirement", str(lock)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout.startswith("{"):
        print(f"{lock.name}: NOT audited: {ran.stderr.strip().splitlines()[-1:]}")
        return []
    found, skipped, audited = judged(json.loads(ran.stdout))
    if not audited:
        print(f"{lock.name}: NOT audited: no advisories can be reached from here")
        return []
    unknown = f"; not known to the advisories: {', '.join(skipped)}" if skipped else ""
    print(f"{lock.name}: {audited} versions audited, {len(found)} with an advisory{unknown}")
    return found


def main(locks: Sequence[str]) -> int:
    """Return 0 where no audited version has an advisory, else 1."""
    found = sorted({line for lock in locks for line in audit(Path(lock))})
    for line in found:
        print(f"  {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
