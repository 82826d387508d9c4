"""Write a bundle again with probabilities that are updated to the cases of another clinic."""

import shutil
from pathlib import Path

from level2_stack.calibration.local_update import LocalUpdate
from level2_stack.portable.facts import StackFacts, Update
from level2_stack.portable.stack import FACTS
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
from level2_stack.thresholds.operating_point import OperatingPoint, read_operating_points, write_operating_points
from melstack.bundle.manifest import CARD, NAME, SIGNATURE, STACK, bundle_digest, read_manifest, write_manifest
from melstack.bundle.parts_list import write_parts_list
from runtime.errors import InputFault
from runtime.files import read_json, write_json, write_text
from runtime.settings import check_settings


def write_updated_bundle(source: Path, update: LocalUpdate, cases: str, folder: Path) -> None:
    """Write the bundle in ``source`` with ``update`` to ``folder``; its manifest and card say so.

    ``cases`` says in words on which cases the update was chosen. The thresholds move with the probabilities, so that
    the same cases are predicted malignant; only those of a cost stay, because they are probabilities of their own. The
    updated bundle is not signed. Raises InputFault if ``folder`` exists and is not empty, or if the bundle is updated
    already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputFault(f"{folder}: exists already; name a new folder for the updated bundle")
    manifest, facts = read_manifest(source), read_stack_facts(source)
    if facts.update is not None:
        raise InputFault(f"{source}: updated already; update the bundle that its run made, and not twice")
    before = bundle_digest(source)
    partial_folder = folder.with_name(f".{folder.name}-writing")
    shutil.rmtree(partial_folder, ignore_errors=True)
    shutil.copytree(source, partial_folder, ignore=shutil.ignore_patterns(NAME, SIGNATURE))
    change = Update(intercept=update.intercept, slope=update.slope)
    write_json(partial_folder / STACK / FACTS, facts.model_copy(update={"update": change}).model_dump(mode="json"))
    if points := read_operating_points(source / THRESHOLDS):
        write_operating_points(partial_folder / THRESHOLDS, [_move_threshold(point, update) for point in points])
    sentence = (
        f"log odds = {update.intercept:.4f} + {update.slope:.4f} x those of bundle {before}, chosen on {cases} by "
        "closed testing"
    )
    card = (source / CARD).read_text(encoding="utf-8")
    note = f"\n\n## Updated calibration\n\n{sentence[0].upper()}{sentence[1:]}. All figures above are of that bundle.\n"
    write_text(partial_folder / CARD, card.rstrip() + note)
    write_parts_list(partial_folder, manifest.run)
    new_facts = {**manifest.facts, "update": sentence}
    write_manifest(partial_folder, manifest.model_copy(update={"facts": new_facts}))
    shutil.rmtree(folder, ignore_errors=True)
    partial_folder.replace(folder)


def read_stack_facts(bundle: Path) -> StackFacts:
    """Return the facts of the stack in ``bundle``."""
    path = bundle / STACK / FACTS
    return check_settings(read_json(path), StackFacts, str(path))


def _move_threshold(point: OperatingPoint, update: LocalUpdate) -> OperatingPoint:
    if point.rule == "net_benefit" or point.threshold in (0.0, 1.0):
        return point
    return point.model_copy(update={"threshold": update.of_one(point.threshold)})
