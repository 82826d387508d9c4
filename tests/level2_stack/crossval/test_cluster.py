"""Level two on a real Dask cluster of separate processes: the same tables to the byte, whoever dies; fits in parts."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

from distributed import Client

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from features.meeting import Meeting
from level2_stack.crossval.cluster import OnCluster, fits_at
from level2_stack.crossval.fits import table_of
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.explain.fits import members_of, scored_folds, tasks_of
from level2_stack.finished import OUTPUTS
from level2_stack.learner_contract import without_unused_categories
from level2_stack.learners import find, lgbm, xgb
from level2_stack.partitions import Rows, StoredRows, dealt
from runtime.cluster.scheduler import Cluster
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.level2_stack.crossval.test_nested import drawn, recipe
from tests.level2_stack.learners.test_contract import design
from tests.runtime.cluster.local_cluster import cluster, kill_a_busy_worker
from tests.workshop import ROOT

RECIPE = """
seeds = 2
learners = ["lgbm", "xgb", "ridge", "logistic", "rank_mean"]
blend = ["lgbm", "xgb", "ridge"]
[lgbm]
rounds = 60
[xgb]
rounds = 60
[tuning]
trials = 3
"""
COLUMNS = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"

BOOSTERS = ["lgbm", "xgb"]


def make_run(folder: Path) -> Run:
    """Return a run of 600 cases without pictures, with two networks of others of which one knows something."""
    random = np.random.default_rng(2)
    lines, known = {"train": [f"{COLUMNS},target"], "test": [COLUMNS]}, {"train": "oof", "test": "test"}
    scores = {(role, name): ["image_name,pred"] for role in lines for name in ("good", "poor")}
    for number in range(600):
        role, malignant = ("train" if number < 480 else "test"), number % 3 == 0
        case, truth = f"c{number:03d}", f",{int(malignant)}" if role == "train" else ""
        sex, age = random.choice(["male", "female"]), 20 + 5 * random.integers(12)
        lines[role].append(f"{case},p{number // 4},{sex},{age},torso{truth}")
        for name, signal in (("good", 1.5), ("poor", 0.3)):
            scores[role, name].append(f"{case},{1 / (1 + np.exp(-random.normal() - signal * malignant)):.6f}")
    folder.mkdir()
    for role, table in lines.items():
        (folder / f"{role}.csv").write_text("\n".join(table) + "\n")
    for (role, name), table in scores.items():
        (folder / "foreign" / name).mkdir(parents=True, exist_ok=True)
        (folder / "foreign" / name / f"{known[role]}.csv").write_text("\n".join(table) + "\n")
    (folder / "quick.toml").write_text(RECIPE)
    run = Run(folder / "run")
    freeze_cases(run, Request(folder, folds=4))
    return run


def stack(run: Run, *options: str) -> str:
    """Return what the command says in a process of its own."""
    place = run.folder.parent
    command = [sys.executable, "-m", "melstack", "stack", "--run", str(run.folder), *options]
    command += ["--recipe", str(place / "quick.toml"), "--foreign", str(place / "foreign"), "--trust", "good poor"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def tables(run: Run) -> dict[str, bytes]:
    names = [*OUTPUTS, "ablation.csv"]
    return {name: (run.level2 / "quick" / name).read_bytes() for name in names}


@pytest.mark.full
def test_a_stack_on_a_cluster_is_that_of_one_machine_to_the_byte_although_a_busy_worker_is_killed(
    tmp_path: Path,
) -> None:
    """Tuning, nested cross-validation and ablation; the killed worker was at a fit, which another one does again."""
    here, there = make_run(tmp_path / "here"), make_run(tmp_path / "there")
    stack(here)
    with cluster() as (address, _), ThreadPoolExecutor() as beside:
        killed = beside.submit(kill_a_busy_worker, address, lambda: (there.level2 / "quick" / "tuning").is_dir())
        said = stack(there, "--cluster", address)
        assert "at_worker" in killed.result()
    assert "level two: fitting" in said
    assert [name for name, table in tables(here).items() if tables(there)[name] != table] == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "cases.parquet").write_bytes(b"the same for all")
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster(workers=3) as (found, _):
        yield found


@contextmanager
def machines(address: str, place: Path) -> Iterator[OnCluster]:
    with fits_at(address, place) as found:
        assert found is not None
        yield found


def spread(address: str, place: Path, name: str, parts: list[Rows] | list[StoredRows], rounds: int = 100):
    """Return learner ``name`` fitted to ``parts``, each on a worker of its own."""
    learner = find(name)
    with machines(address, place) as found:
        return learner.fit_parts(learner.Params(rounds=rounds), parts, seed=0, cluster=found.cluster)


def many(rows: int, seed: int = 0):
    X, y, groups = design(rows, seed)
    return X, y, groups


@pytest.mark.full
@pytest.mark.parametrize("name", BOOSTERS)
def test_a_fit_over_workers_is_like_that_of_one_process_and_equal_to_itself(
    address: str, place: Path, name: str, tmp_path: Path
) -> None:
    X, y, groups = many(6000)
    new, truth, _ = many(4000, seed=1)
    alone = find(name).fit(find(name).Params(rounds=100), X, y, groups=groups, seed=0)(new)
    fitted = spread(address, place, name, dealt(X, y, 3))
    assert auc(truth, fitted(new)) == pytest.approx(auc(truth, alone), abs=0.002)
    assert pd.Series(fitted(new)).corr(pd.Series(alone), method="spearman") > 0.99
    assert not np.array_equal(fitted(new), alone)
    np.testing.assert_array_equal(spread(address, place, name, dealt(X, y, 3))(new), fitted(new))
    find(name).save(fitted, tmp_path)
    np.testing.assert_array_equal(find(name).load(tmp_path)(new), fitted(new))


@pytest.mark.parametrize("name", BOOSTERS)
def test_parts_that_workers_read_themselves_make_the_booster_of_parts_that_are_sent(
    address: str, place: Path, name: str, tmp_path: Path
) -> None:
    X, y, _ = many(2000)
    sent = dealt(X, y, 2)
    for number, part in enumerate(sent):
        part.X.assign(target=part.y).to_parquet(tmp_path / f"{number}.parquet")
    stored = [StoredRows(tmp_path / f"{number}.parquet", "target") for number in range(2)]
    np.testing.assert_array_equal(spread(address, place, name, stored)(X), spread(address, place, name, sent)(X))


def test_a_part_of_benign_cases_alone_is_no_hindrance(address: str, place: Path) -> None:
    X, y, _ = many(2000)
    order = np.argsort(y, kind="stable")
    parts = [Rows(X.iloc[rows], y[rows]) for rows in np.array_split(order, 2)]
    assert not parts[0].y.any()
    for name in BOOSTERS:
        assert auc(y, spread(address, place, name, parts)(X)) > 0.75


@pytest.mark.full
def test_parts_that_are_unlike_each_other_are_refused_by_name(address: str, place: Path) -> None:
    X, y, _ = many(600)
    first, second = dealt(X, y, 2)
    with pytest.raises(InputFault, match=r"part 1: columns that not all parts have: 1 \(metadata.age\)"):
        spread(address, place, "lgbm", [first, Rows(second.X.drop(columns="metadata.age"), second.y)])
    other = second.X.assign(**{"metadata.site": pd.Categorical(["elbow"] * len(second.X))})
    with pytest.raises(InputFault, match=r"part 1: metadata.site: categories that the first part .* 1 \(elbow\)"):
        spread(address, place, "xgb", [first, Rows(other, second.y)])


@pytest.mark.full
@pytest.mark.parametrize("name", BOOSTERS)
def test_a_fit_over_workers_that_loses_one_begins_anew_and_ends_the_same(
    place: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y, _ = many(6000)
    with cluster(workers=3) as (address, _), ThreadPoolExecutor() as beside:
        whole = spread(address, place, name, dealt(X, y, 3), rounds=300)(X)
        killed = beside.submit(kill_a_busy_worker, address, lambda: True)
        again = spread(address, place, name, dealt(X, y, 3), rounds=300)(X)
        assert "at_worker" in killed.result()
    assert "a fit over 3 workers lost tcp://" in capsys.readouterr().out
    np.testing.assert_array_equal(again, whole)


class TakenOnce:
    """How LightGBM's workers meet, except that the first time somebody else listens where the second worker would."""

    def __init__(self) -> None:
        self.ports: list[str | int] = []

    @contextmanager
    def __call__(self, cluster: Cluster, workers: Sequence[str]) -> "Iterator[list[lgbm.Place]]":
        with lgbm._machines(cluster, workers) as places, socket.socket() as other:
            self.ports.append(places[1][1]["local_listen_port"])
            if len(self.ports) == 1:
                other.bind(("", int(self.ports[0])))
            yield places


def test_a_port_that_is_taken_when_lightgbm_would_listen_there_costs_one_attempt(
    address: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y, _ = many(2000)
    parts, seen = dealt(X, y, 2), without_unused_categories(X).iloc[:0]
    given, meet = [(lgbm.Params(rounds=30), part, seen, 0) for part in parts], TakenOnce()
    with machines(address, place) as found:
        text = found.cluster.together(lgbm._fit_part, given, meet)
        assert f"was cut off (LightGBM: Binding port {meet.ports[0]} failed)" in capsys.readouterr().out
        assert text == found.cluster.together(lgbm._fit_part, given, lgbm._machines)  # to the byte
    assert len(meet.ports) == 2


def abort_once(part: Path, place: int) -> str:
    """Abort the second worker at its first attempt, as an error in a thread of a library does."""
    (part / f"{place}-{os.getpid()}").touch()
    if place == 1 and not (part / "aborted").exists():
        (part / "aborted").touch()
        os.abort()
    return f"from {place}"


def test_a_worker_that_aborts_costs_one_attempt(
    address: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def in_order(cluster: Cluster, workers: Sequence[str]) -> Iterator[Sequence[int]]:
        yield range(len(workers))

    with machines(address, place) as found:
        assert found.cluster.together(abort_once, [tmp_path, tmp_path], in_order) == "from 0"
    assert capsys.readouterr().out.count("a fit over 2 workers lost tcp://") == 1
    assert len(list(tmp_path.glob("1-*"))) == 2  # in one process, and in another


def pass_gate(part: Path, place: tuple[int, Meeting]) -> bool | None:
    """Come late as the second worker; return whether the first one had waited."""
    rank, meeting = place
    time.sleep(rank)
    (part / f"{rank}").touch()
    meeting.arrive(rank)
    return (part / "1").exists() if rank == 0 else None


def test_no_worker_connects_before_the_slowest_has_read_its_part(address: str, place: Path, tmp_path: Path) -> None:
    @contextmanager
    def at_the_gate(cluster: Cluster, workers: Sequence[str]) -> Iterator[Sequence[tuple[int, Meeting]]]:
        meeting = cluster.meeting(len(workers))
        yield [(rank, meeting) for rank in range(len(workers))]

    with machines(address, place) as found:
        assert found.cluster.together(pass_gate, [tmp_path, tmp_path], at_the_gate)


def test_who_is_there_is_asked_of_the_scheduler_whatever_the_client_has_just_asked_for_itself(
    address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dask's client remembers lacks the workers after each of its own refreshes, every two seconds.

    Here such a refresh always comes between a question and its answer; on a busy machine it sometimes does.
    """
    refresh = Client._update_scheduler_info

    async def twice(client: Client, n_workers: int = 0) -> None:
        await refresh(client, n_workers)
        await refresh(client)

    with machines(address, place) as found:
        monkeypatch.setattr(Client, "_update_scheduler_info", twice)
        assert len(found.cluster.alive()) == 3


def test_fits_in_parts_and_whole_ones_are_cross_validated_together_and_each_as_it_is(address: str, place: Path) -> None:
    mixed = recipe("lgbm", "xgb", xgb={"rounds": 20, "eta": 0.1, "partitions": 2})
    table = drawn(240)
    with machines(address, place) as found:
        both = cross_validate(table, mixed, processes=found)
    here = cross_validate(table, recipe("lgbm", "xgb"), processes=1)
    np.testing.assert_array_equal(both.scores["lgbm"].train, here.scores["lgbm"].train)
    assert not np.array_equal(both.scores["xgb"].train, here.scores["xgb"].train)
    assert auc(table.y, both.scores["xgb"].outer(both.folds)) == pytest.approx(
        auc(table.y, here.scores["xgb"].outer(here.folds)), abs=0.03
    )


def test_what_a_stack_leans_on_is_the_same_to_the_bit_wherever_its_fits_are_made_again(
    address: str, place: Path
) -> None:
    table, made = table_of(drawn(120, 12)), recipe("lgbm", "logistic")
    members = members_of(made, ["lgbm", "logistic"], {})
    tasks = tasks_of(members, made, {}, 4)
    with machines(address, place) as found:
        there = list(scored_folds(tasks, members, table, found))
    here = list(scored_folds(tasks, members, table, 1))
    assert [each[:2] for each in there] == [each[:2] for each in here]
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one[2].score, other[2].score)
        np.testing.assert_array_equal(one[2].split.parts, other[2].split.parts)


def test_more_parts_than_workers_and_parts_without_a_cluster_are_refused(
    address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.WORKER_SECONDS", 0.5)
    X, y, _ = many(400)
    with pytest.raises(InputFault, match="5 parts take as many workers, and 3 are there"):
        spread(address, place, "lgbm", dealt(X, y, 5))
    table: Design = drawn(120)
    with pytest.raises(InputFault, match=r"\[lgbm\] partitions = 2 takes a cluster"):
        cross_validate(table, recipe("lgbm", lgbm={"partitions": 2}), processes=1)


def test_parts_while_tuning_are_refused() -> None:
    with pytest.raises(InputFault, match=r"\[xgb\] partitions has no effect while tuning.trials = 2"):
        recipe("lgbm", "xgb", xgb={"partitions": 2}, tuning={"trials": 2})


def test_cards_are_dealt_so_that_every_part_is_like_the_whole() -> None:
    X, y, _ = many(10)
    parts = dealt(X, y, 3)
    assert [list(part.X.index) for part in parts] == [list(X.index[start::3]) for start in range(3)]
    assert [len(part.y) for part in parts] == [4, 3, 3]


def test_workers_without_the_boosters_of_this_machine_are_refused(
    address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.workers.version", lambda name: "9.9" if name == "lightgbm" else "1.0")
    with pytest.raises(InputFault, match=r"lightgbm is [\d.]+ there, 9\.9 here"), machines(address, place):
        pass


def test_params_of_one_process_are_the_default() -> None:
    assert (lgbm.Params().partitions, xgb.Params().partitions) == (1, 1)
