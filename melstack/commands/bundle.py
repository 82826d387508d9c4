"""Commands that apply a bundle: predict a folder, serve the page, check the files, sign them."""

from pathlib import Path
from typing import Annotated

import typer

from melstack.option_groups import expand_groups
from melstack.option_types import setting
from melstack.options import DAILY, MAINTAINING, BundleOptions, MappingFile, PublicKey, Threads
from runtime.progress import say, warn

app = typer.Typer()


@app.command(rich_help_panel=DAILY, epilog="Example: melstack predict --bundle bundle --data newdata --out predicted")
@expand_groups
def predict(
    bundle_options: BundleOptions,
    out: Annotated[Path | None, setting("folder of the tables", "FOLDER", "RUN/predicted")] = None,
    mapping: MappingFile = None,
    foreign: Annotated[
        Path | None, setting("<network>/test.csv of networks that the bundle lacks", "FOLDER", "")
    ] = None,
    threads: Threads = None,
    require_signature: PublicKey = None,
) -> None:
    """Predict the cases of a data folder with a bundle, without training: probabilities, reasons, notices."""
    from melstack.bundle.origin import another_stack
    from melstack.bundle.predicting import predict_folder
    from melstack.bundle.signature import describe_signature

    say(describe_signature(bundle_options.bundle_folder, require_signature))
    if sentence := another_stack(bundle_options.bundle_folder):
        warn(sentence)
    tables = out or bundle_options.folder / "predicted"
    predict_folder(bundle_options.bundle_folder, bundle_options.data_folder, tables, mapping, foreign, threads=threads)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack validate --bundle bundle --data labelled --out validated")
@expand_groups
def validate(
    bundle_options: BundleOptions,
    out: Annotated[
        Path | None, setting("folder of the page and the tables", "FOLDER", "RUN/validated/<name of DATA>")
    ] = None,
    mapping: MappingFile = None,
    foreign: Annotated[
        Path | None, setting("<network>/test.csv of networks that the bundle lacks", "FOLDER", "")
    ] = None,
    update: Annotated[
        Path | None, setting("folder of a bundle with the calibration updated to these cases", "FOLDER", "")
    ] = None,
    auc_width: Annotated[
        float | None, setting("width of the AUC's interval that the sample size is for", "NUMBER", "0.1", min=0.001)
    ] = None,
    threads: Threads = None,
    require_signature: PublicKey = None,
) -> None:
    """Validate a bundle on labelled cases it was not trained on: one page and tables beside the run's own figures."""
    from melstack.bundle.signature import describe_signature
    from melstack.validation.validate import ValidationRequest, validate_folder

    folder, data = bundle_options.bundle_folder, bundle_options.data_folder
    say(describe_signature(folder, require_signature))
    tables = out or bundle_options.folder / "validated" / data.resolve().name
    validate_folder(ValidationRequest(folder, data, tables, mapping, foreign, update, auc_width, threads))


@app.command(rich_help_panel=DAILY, epilog="Example: melstack serve --bundle bundle --port 8000")
@expand_groups
def serve(
    bundle_options: BundleOptions,
    host: Annotated[str, setting("address that the server listens on", "ADDRESS")] = "127.0.0.1",
    port: Annotated[int, setting("0: one that is free", "N", min=0, max=65535)] = 8000,
    address: Annotated[
        str | None, setting("URL under which others reach it, behind a proxy", "URL", "that of HOST and PORT")
    ] = None,
    token_file: Annotated[
        Path | None, setting("file with the token that requests must bear", "FILE", "none, on this machine alone")
    ] = None,
    certificate: Annotated[Path | None, setting("certificate (PEM) for TLS", "FILE", "")] = None,
    key_file: Annotated[Path | None, setting("private key (PEM) of the certificate", "FILE", "")] = None,
    log: Annotated[
        Path | None, setting("JSON line per request, without names; -: to standard output", "FILE", "none")
    ] = None,
    keep: Annotated[Path | None, setting("folder that gets every request's pictures and answer", "FOLDER", "")] = None,
    limits: Annotated[Path | None, setting("TOML with other limits on requests", "FILE", "built-in limits")] = None,
    threads: Threads = None,
    require_signature: PublicKey = None,
) -> None:
    """Serve a bundle: a page for one patient, and an interface for programs."""
    from melstack.bundle.serving.limits import read_limits
    from melstack.bundle.serving.operation.request_log import open_log
    from melstack.bundle.serving.serve import Listener, open_listener
    from melstack.bundle.serving.serve import serve as serve_bundle
    from runtime.files import check_writable

    listener = Listener(host, port, address or "", token_file, certificate, key_file)
    listener.check()
    if keep is not None:
        check_writable(keep)
    limits_of_page, request_log = read_limits(limits), open_log(log)
    open_listener(host, port).close()  # a bundle takes a while to load
    from melstack.bundle.loading import Bundle
    from melstack.bundle.origin import another_stack
    from melstack.bundle.signature import describe_signature

    say(describe_signature(bundle_options.bundle_folder, require_signature))
    if sentence := another_stack(bundle_options.bundle_folder):
        warn(sentence)
    bundle = Bundle.load(bundle_options.bundle_folder, threads=threads)
    bundle.check_networks()  # so that the first request does not wait for it
    serve_bundle(bundle, limits_of_page, listener, keep=keep, log=request_log)


@app.command("check-bundle", rich_help_panel=MAINTAINING, epilog="Example: melstack check-bundle --bundle bundle")
@expand_groups
def check(bundle_options: BundleOptions, require_signature: PublicKey = None) -> None:
    """Check the digest of every file of a bundle, its signature, and that its models can be loaded."""
    from melstack.bundle.manifest import bundle_digest, read_manifest
    from melstack.bundle.signature import describe_signature

    folder = bundle_options.bundle_folder
    manifest = read_manifest(folder)
    say(describe_signature(folder, require_signature))
    from melstack.bundle.loading import Bundle

    Bundle.load(folder, threads=1).check_networks()
    say(f"bundle: {len(manifest.files)} files are unchanged, {bundle_digest(folder)}")


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack sign --bundle bundle --key key.pem")
@expand_groups
def sign(
    bundle_options: BundleOptions,
    key: Annotated[Path, setting("private key: openssl genpkey -algorithm ed25519 -out key.pem", "FILE")],
) -> None:
    """Sign a bundle, so that others can check who made it; the signature is manifest.sig in the bundle."""
    from melstack.bundle.signature import sign_bundle

    signer = sign_bundle(bundle_options.bundle_folder, key)
    say(f"bundle: {bundle_options.bundle_folder} is signed by the key {signer.fingerprint}")
