"""Tests of the Containerfile: the files, extras, options and paths that it names exist, and it needs no rights."""

import re
import tomllib
from pathlib import Path

from typer.main import get_command

from melstack.bundle.serving.operation.bearer_token import OPEN_PATHS
from melstack.commands.bundle import app
from tests.sources import LAYERS, ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n\s*", " ", TEXT).splitlines()


def arguments(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in LINES if line.startswith(f"{instruction} ")]


def test_every_copied_path_exists_and_every_room_of_the_wheel_is_copied() -> None:
    sources = {source.rstrip("/") for line in arguments("COPY") for source in line.split()[:-1]}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {room for room in LAYERS if room not in ("benchmarks", "tests")} <= sources
    assert all((Path(source).name == source) for source in sources)


def test_the_extra_and_the_lock_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (install,) = [line for line in arguments("RUN") if "--no-deps" in line]
    assert re.findall(r"\.\[(\w+)\]", install) == ["predict"]
    assert "predict" in extras
    assert any("--require-hashes -r requirements-predict.lock" in line for line in arguments("RUN"))


def test_the_options_of_the_entry_point_are_those_of_the_command() -> None:
    (entry,) = arguments("ENTRYPOINT")
    words = re.findall(r'"([^"]*)"', entry)
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]  # a group
    options = {option for parameter in serve.params for option in parameter.opts}
    assert words[:2] == ["melstack", "serve"]
    assert {word for word in words if word.startswith("--")} <= options
    assert "--token-file" in words


def test_it_runs_without_rights_and_is_asked_whether_it_lives() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", arguments("USER")[-1])
    (check,) = arguments("HEALTHCHECK")
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", check)
    assert path in OPEN_PATHS
    assert arguments("EXPOSE") == ["8000"]
