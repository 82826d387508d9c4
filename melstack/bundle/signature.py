"""The signature of a bundle: ed25519 over its manifest, which holds the digest of every other file."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from melstack.bundle.manifest import NAME, SIGNATURE, read_manifest
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.invocation import command, option
from runtime.settings import Settings, check_settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "ed25519"
MAX_BYTES = 10_000  # of a key or a signature
MAKE_KEY = "openssl genpkey -algorithm ed25519 -out key.pem"
MAKE_PUBLIC_KEY = "openssl pkey -in key.pem -pubout -out key.pub.pem"


class SignatureFile(Settings):
    """The content of ``manifest.sig``: the signature and the public key, in base64."""

    algorithm: Literal["ed25519"]
    public_key: str
    signature: str


@dataclass(frozen=True)
class Signer:
    """The key whose signature a bundle has; ``is_required`` if it is the key that the user asks for."""

    fingerprint: str
    is_required: bool

    def __str__(self) -> str:
        """Return a sentence; a key that the user did not name may be anybody's."""
        if self.is_required:
            return f"signed by the required key {self.fingerprint}"
        return (
            f"signed by the key {self.fingerprint}, which may be anybody's: "
            f"{option('require_signature', 'key.pub.pem')} checks whose it is"
        )


def sign_bundle(folder: Path, key_file: Path) -> Signer:
    """Check the bundle in ``folder``, sign its manifest with the private key in ``key_file``, and return the signer.

    An older signature is replaced. Raises InputFault for a damaged bundle, and a file without such a key.
    """
    read_manifest(folder)
    key = _read_private_key(key_file)
    public_key = key.public_key().public_bytes_raw()
    signature = key.sign((folder / NAME).read_bytes())
    content = {"public_key": public_key, "signature": signature}
    texts = {name: base64.b64encode(value).decode("ascii") for name, value in content.items()}
    write_json(folder / SIGNATURE, {"algorithm": ALGORITHM, **texts})
    return Signer(_fingerprint(public_key), is_required=False)


def check_signature(folder: Path, required_key: Path | None = None) -> Signer | None:
    """Return whose signature the manifest of the bundle in ``folder`` has; None if it is not signed.

    Raises InputFault for a signature that does not fit the manifest; with ``required_key``, the file of a public key,
    also for a bundle that is not signed, or by another key.
    """
    expectation = None if required_key is None else _read_public_key(required_key)
    if not (folder / SIGNATURE).is_file():
        if required_key is not None:
            raise InputFault(
                f"{folder}: not signed, but a signature of {required_key} is required; its maker signs it with "
                f"{command('sign')}"
            )
        return None
    public_key = _verified_key(folder)
    if expectation is not None and public_key != expectation:
        raise InputFault(
            f"{folder}: signed by the key {_fingerprint(public_key)}, but {required_key} is {_fingerprint(expectation)}"
            "; do not use it unless you trust the first key too"
        )
    return Signer(_fingerprint(public_key), is_required=expectation is not None)


def describe_signature(folder: Path, required_key: Path | None = None) -> str:
    """Return one line on who signed the bundle in ``folder``; raise InputFault as ``check_signature`` does."""
    signer = check_signature(folder, required_key)
    return f"bundle: {'not signed' if signer is None else signer}"


def _verified_key(folder: Path) -> bytes:
    """Return the public key in the bundle's signature after checking that the manifest was signed with it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    path = folder / SIGNATURE
    if path.stat().st_size > MAX_BYTES:
        raise InputFault(f"{path}: {path.stat().st_size:,} bytes; a signature has fewer than {MAX_BYTES:,}")
    content = read_json(path)
    content = check_settings(content if isinstance(content, dict) else {}, SignatureFile, str(path))
    try:
        public_key = base64.b64decode(content.public_key, validate=True)
        signature = base64.b64decode(content.signature, validate=True)
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, (folder / NAME).read_bytes())
    except InvalidSignature as error:
        raise InputFault(
            f"{path}: not the signature of this {NAME}: the bundle was changed after it was signed; get it again from "
            "its maker"
        ) from error
    except ValueError as error:
        raise InputFault(f"{path}: not a signature ({error}); get the bundle again from its maker") from error
    return public_key


def _read_private_key(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_key_bytes(path, MAKE_KEY), password=None)
    except (ValueError, TypeError) as error:  # TypeError: a key with a password
        raise InputFault(f"{path}: not a private key without a password ({error}); {MAKE_KEY} makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputFault(f"{path}: a private key of another kind; {MAKE_KEY} makes one")
    return key


def _read_public_key(path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_key_bytes(path, MAKE_PUBLIC_KEY))
    except ValueError as error:
        raise InputFault(f"{path}: not a public key ({error}); {MAKE_PUBLIC_KEY} makes it from key.pem") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputFault(f"{path}: a public key of another kind; {MAKE_PUBLIC_KEY} makes it from an ed25519 key")
    return key.public_bytes_raw()


def _key_bytes(path: Path, remedy: str) -> bytes:
    if not path.is_file():
        raise InputFault(f"{path}: no such file; {remedy} makes one")
    if path.stat().st_size > MAX_BYTES:
        raise InputFault(f"{path}: {path.stat().st_size:,} bytes; a key has fewer than {MAX_BYTES:,}")
    return path.read_bytes()


def _fingerprint(public_key: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a public key."""
    return f"{ALGORITHM}:{hashlib.sha256(public_key).hexdigest()[:16]}"
