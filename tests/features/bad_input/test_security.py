"""Tests of the section "Paths, markup and formulas" of docs/bad_input.md: input that could harm its reader."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from features.folder.data_folder import DataFolder
from level1_cnn.inference.onnx_session import open_session
from melstack.bundle.manifest import Manifest, NetworkEntry, read_manifest, write_manifest
from melstack.report.data_page.page import explore
from melstack.report.model_card.writing import escape_markdown
from melstack.report.run_page.gallery_section import read_galleries
from melstack.report.run_page.page import make_report
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.features.bad_input.table import check, outcome_of
from tests.melstack.bundle.serving.doubles import SMALL, DarknessPredictor, PageClient, files, jpeg
from tests.melstack.report.written_runs import EVIL, cases_of, write_run


def bundle(folder: Path, network: str = "net") -> Path:
    """Write a bundle with a manifest and one file."""
    (folder / "stack").mkdir(parents=True)
    (folder / "stack" / "stack.json").write_text("{}")
    values = {"run": "r", "recipe": "default", "blocks": (), "contrasts": (), "metadata": {}, "reference": None}
    entry = NetworkEntry.model_construct(name=network, foreign=False)
    empty = {"ugly_limit": None, "facts": {}, "versions": {}, "files": {}}
    write_manifest(folder, Manifest.model_construct(format=1, networks=(entry,), **values, **empty))
    return folder


def changed_bundle(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def reading(folder: Path) -> object:
        change(bundle(folder / "bundle"))
        return read_manifest(folder / "bundle")

    return reading


def add_to_manifest(name: str) -> Callable[[Path], object]:
    """Return a function that adds a file to the list in the manifest."""

    def change(folder: Path) -> None:
        (folder.parent / "secret").write_text("s")
        manifest = read_json(folder / "manifest.json")
        manifest["files"] |= {name: manifest["files"]["stack/stack.json"]}
        write_json(folder / "manifest.json", manifest)

    return change


def link_outside(folder: Path) -> None:
    (folder / "stack" / "stack.json").rename(folder.parent / "stack.json")
    (folder / "stack" / "stack.json").symlink_to(folder.parent / "stack.json")


def network_with_weights_at(location: str) -> Callable[[Path], object]:
    """Return a function that opens an ONNX network with its weights in another file."""

    def reading(folder: Path) -> object:
        (folder / "secret.bin").write_bytes(np.arange(3, dtype=np.float32).tobytes())
        weights = TensorProto(name="w", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
        entry = weights.external_data.add()
        entry.key, entry.value = "location", location
        ends = [helper.make_tensor_value_info(name, 1, [3]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
        network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / "inside").mkdir()
        onnx.save(network, folder / "inside" / "network.onnx")
        return open_session(folder / "inside" / "network.onnx")

    return reading


def gallery_outside(folder: Path) -> object:
    (folder / "secret.jpg").write_bytes(jpeg())
    item = {"image_name": "a", "picture": "../../secret.jpg"}
    gallery = {"name": "x", "kind": "cases", "title": "t", "items": [item]}
    write_json(folder / "run" / "galleries" / "index.json", {"galleries": [gallery]})
    return read_galleries(Run(folder / "run"))


HARMFUL: dict[str, Callable[[Path], object]] = {
    "bundle_lists_a_path_outside": changed_bundle(add_to_manifest("../secret")),
    "bundle_lists_an_absolute_path": changed_bundle(add_to_manifest("/etc/passwd")),
    "bundle_link_outside": changed_bundle(link_outside),
    "bundle_network_is_a_path": lambda folder: read_manifest(bundle(folder / "bundle", "../../elsewhere")),
    "bundle_file_changed": changed_bundle(lambda folder: (folder / "stack" / "stack.json").write_text("{ }")),
    "bundle_file_added": changed_bundle(lambda folder: (folder / "stack" / "more.py").write_text("")),
    "bundle_file_missing": changed_bundle(lambda folder: (folder / "stack" / "stack.json").unlink()),
    "bundle_manifest_not_json": changed_bundle(lambda folder: (folder / "manifest.json").write_text("{")),
    "bundle_manifest_a_list": changed_bundle(lambda folder: (folder / "manifest.json").write_text("[]")),
    "bundle_missing": lambda folder: read_manifest(folder / "bundle"),
    "network_weights_outside": network_with_weights_at("../secret.bin"),
    "network_weights_absolute": network_with_weights_at("/etc/passwd"),
    "gallery_tile_outside": gallery_outside,
}


@pytest.mark.parametrize("name", HARMFUL)
def test_references_to_outside_files_are_refused(name: str, tmp_path: Path) -> None:
    check(name, outcome_of(lambda _: HARMFUL[name](tmp_path)))


def page_of_the_data(folder: Path) -> str:
    run = Run(folder / "run")
    texts = {"sex": [EVIL, "male"] * 6, "anatom_site_general_challenge": EVIL, "diagnosis": EVIL}
    write_table(run.cases, cases_of(8, 4, **texts))
    write_json(run.cases_mark, {"made_from": {}, "data": EVIL})
    return explore(run).read_text(encoding="utf-8")


def report(folder: Path) -> str:
    return make_report(write_run(folder / "run", site=EVIL), "default").read_text(encoding="utf-8")


def served_page(folder: Path) -> str:
    """Return the page for one patient, for a model whose card contains markup."""

    class MarkupPredictor(DarknessPredictor):
        card, name = f"# {EVIL}", EVIL

    return str(PageClient(MarkupPredictor(), SMALL).get("/").text)


MARKUP: dict[str, Callable[[Path], str]] = {
    "markup_in_report": report,
    "markup_in_data_page": page_of_the_data,
    "markup_in_served_page": served_page,
    "markup_in_model_card": lambda _: str(escape_markdown(EVIL)),
}


@pytest.mark.parametrize("name", MARKUP)
def test_markup_is_escaped(name: str, tmp_path: Path) -> None:
    page = MARKUP[name](tmp_path)
    assert "<script>alert(" not in page
    check(name, ("read", page, None))


FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "=HYPERLINK(0)")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_in_an_upload_is_text_in_the_csv(formula: str) -> None:
    client = PageClient(DarknessPredictor(), SMALL)
    uploads = files(jpeg(), names=(f"{formula}.jpg",))
    answer = client.post("/v1/predict.csv", files=uploads, data={"site": formula.strip()})
    assert answer.status_code == 200, answer.text
    cells = re.split(r'[,\n]"?', answer.text)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t")) or re.match(r"-\D", cell)]
    check("formula_in_upload", ("read", answer.text, None))


def test_markup_and_formulas_in_an_upload_are_text_in_the_pdf() -> None:
    client = PageClient(DarknessPredictor(), SMALL)
    uploads = files(jpeg(), names=("<b>**=1+1**</b>.jpg",))
    answer = client.post("/v1/predict.pdf", files=uploads, data={"site": "<a href='http://x'>=1</a>"})
    content = answer.content
    assert b"/URI" not in content
    assert b"/JavaScript" not in content
    check("markup_in_pdf", ("read", content[:5].decode(), None))


def test_a_case_with_a_formula_as_its_name_is_refused(tmp_path: Path) -> None:
    from features.cases.new_cases import read_new_cases

    (tmp_path / "=1+1.jpg").write_bytes(jpeg())
    with pytest.raises(InputFault, match="spreadsheets compute it"):
        read_new_cases(DataFolder.open(tmp_path))


def test_control_characters_in_a_name_are_escaped_in_messages() -> None:
    from runtime.errors import list_names

    assert list_names(["a\x1b[2J", "b"]) == "2 ('a\\x1b[2J', b)"
    assert pd.Series([len(list_names(["x" * 9000]))]).lt(100).all()
