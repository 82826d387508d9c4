"""Choose the networks of a run that a stack may use: those that the user named, imported ones only while imported."""

from collections.abc import Collection, Iterator

from runtime.invocation import option
from runtime.run_folder import Run


def imported_networks(run: Run) -> list[str]:
    """Return the sorted names of the finished networks of a run that were imported, not trained in it."""
    return [name for name in run.networks() if not (run.level1 / name / "begun.json").is_file()]


def networks_to_stack(run: Run, models: Collection[str], *, has_foreign: bool) -> list[str] | None:
    """Return the networks that a stack may use; None: all networks of the run.

    ``models`` are the names of the only networks to use; without names, all networks count. Names of imported networks
    choose among the imported ones, all other names among those trained in the run. ``has_foreign``: the
    run has a folder of predictions to import; without one, networks that were imported earlier are left out.
    """
    imports = imported_networks(run)
    if not models and (has_foreign or not imports):
        return None
    own = [name for name in run.networks() if name not in imports and (not models or name in models)]
    chosen_imports = [name for name in imports if name in models]
    return sorted([*own, *((chosen_imports or imports) if has_foreign else [])])


def left_out(run: Run, networks: Collection[str] | None, *, has_foreign: bool) -> Iterator[str]:
    """Yield a sentence for every network of the run that is not in ``networks``, with the option that adds it."""
    imports = imported_networks(run)
    for name in [] if networks is None else [each for each in run.networks() if each not in networks]:
        if name in imports and not has_foreign:
            yield f"{name} is left out: it was imported earlier; {option('foreign', 'folder')} imports it again"
        else:
            yield f"{name} is left out: {option('models')} does not name it"
