"""Tests of a bundle's signature and of its list of parts."""

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cyclonedx.model.bom import Bom

from benchmarks.fuzzing.bundles import write_sound_bundle
from melstack.bundle.manifest import CARD, NAME, PARTS_LIST, SIGNATURE, digest, read_manifest, write_manifest
from melstack.bundle.parts_list import write_parts_list
from melstack.bundle.signature import describe_signature, sign_bundle
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from tests.command_line import run_melstack


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_sound_bundle("mean", tmp_path / "bundle")
    return tmp_path / "bundle"


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new pair of keys as openssl does; return the private and the public one."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_bundle_is_signed_by_the_key_that_is_required(bundle: Path, tmp_path: Path) -> None:
    private, public = make_key(tmp_path, "maker")
    assert describe_signature(bundle) == "bundle: not signed"
    signer = sign_bundle(bundle, private)
    assert "may be anybody's" in describe_signature(bundle)
    assert describe_signature(bundle, public) == f"bundle: signed by the required key {signer.fingerprint}"
    read_manifest(bundle)


def test_a_missing_signature_and_one_of_another_key_are_refused(bundle: Path, tmp_path: Path) -> None:
    _, public = make_key(tmp_path, "maker")
    stranger, _ = make_key(tmp_path, "stranger")
    with pytest.raises(InputFault, match="not signed, but"):
        describe_signature(bundle, public)
    sign_bundle(bundle, stranger)
    with pytest.raises(InputFault, match="do not use it"):
        describe_signature(bundle, public)


def test_digests_that_are_made_anew_do_not_fit_the_signature(bundle: Path, tmp_path: Path) -> None:
    private, _ = make_key(tmp_path, "maker")
    sign_bundle(bundle, private)
    manifest = read_manifest(bundle)
    (bundle / CARD).write_text("# Another card\n")
    write_manifest(bundle, manifest)
    with pytest.raises(InputFault, match="changed after it was signed"):
        describe_signature(bundle)


def test_a_signature_of_another_algorithm_is_refused(bundle: Path, tmp_path: Path) -> None:
    sign_bundle(bundle, make_key(tmp_path, "maker")[0])
    content = read_json(bundle / SIGNATURE)
    write_json(bundle / SIGNATURE, content | {"algorithm": "none"})
    with pytest.raises(InputFault, match=r"manifest\.sig: algorithm = 'none'"):
        describe_signature(bundle)


def test_files_that_are_no_keys_are_refused(bundle: Path, tmp_path: Path) -> None:
    _, public = make_key(tmp_path, "maker")
    with pytest.raises(InputFault, match="openssl genpkey"):
        sign_bundle(bundle, public)
    with pytest.raises(InputFault, match="openssl pkey"):
        describe_signature(bundle, bundle / NAME)
    (bundle / SIGNATURE).write_text('{"algorithm": "ed25519", "public_key": "?", "signature": ""}')
    with pytest.raises(InputFault, match="not a signature"):
        describe_signature(bundle)


def test_the_commands_sign_check_and_require(bundle: Path, tmp_path: Path) -> None:
    private, public = make_key(tmp_path, "maker")
    line = ("check-bundle", "--bundle", str(bundle), "--require-signature", str(public))
    assert run_melstack(*line).code == 2
    assert run_melstack("sign", "--bundle", str(bundle), "--key", str(private)).code == 0
    output = run_melstack(*line)
    assert output.code == 0
    assert "signed by the required key ed25519:" in output.out


def test_the_list_of_parts_is_cyclonedx_and_has_every_file_and_package(bundle: Path) -> None:
    write_parts_list(bundle, "drawn")
    content = read_json(bundle / PARTS_LIST)
    assert (content["bomFormat"], content["specVersion"], content["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", content["serialNumber"])
    parts = {part["bom-ref"]: part for part in content["components"]}
    assert len(parts) == len(content["components"])
    files = {part["name"]: part["hashes"] for part in parts.values() if part["type"] == "file"}
    expected = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    assert files.keys() == expected.keys() - {NAME, PARTS_LIST}
    assert all(hashes == [{"alg": "SHA-256", "content": digest(expected[name])}] for name, hashes in files.items())
    libraries = {part["name"]: part for part in parts.values() if part["type"] == "library"}
    assert {"lightgbm", "onnxruntime", "numpy", "melstack"} <= libraries.keys()
    assert libraries["numpy"]["scope"] == "required"
    assert libraries["tensorflow"]["scope"] == "excluded"
    assert all(part["purl"].startswith("pkg:pypi/") for part in libraries.values())
    # The library of CycloneDX reads it without a loss.
    assert len(Bom.from_json(json.loads(json.dumps(content))).components) == len(parts)


def test_the_same_bundle_has_the_same_list_of_parts(bundle: Path) -> None:
    write_parts_list(bundle, "drawn")
    before = (bundle / PARTS_LIST).read_bytes()
    write_parts_list(bundle, "drawn")
    assert (bundle / PARTS_LIST).read_bytes() == before
