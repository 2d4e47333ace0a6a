"""devise serve: label pictures over HTTP, and in a browser."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.options import FastOption, ModelOption
from devise.cli.terminal import tell
from devise.errors import DeviseError, UsageError
from devise.files import text_of

__all__ = ["serve"]

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic", "starlette")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reached from this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    index: Annotated[Path | None, typer.Option(help="Photo index to search, made by devise index.")] = None,
    labels_db: Annotated[
        Path | None,
        typer.Option(help="File that keeps labels of your own. [default: in your data folder]", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that calls must carry. [default: $DEVISE_TOKEN]", show_default=False),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let everybody who reaches this machine use the service, without a token.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name requests may give in 'Host' beside localhost; may be repeated.")
    ] = None,
    queue: Annotated[int, typer.Option(help="Pictures that may wait; more are refused with 429.")] = 64,
    max_megabytes: Annotated[int, typer.Option(help="Largest picture file of a request.")] = 20,
    max_megapixels: Annotated[int, typer.Option(help="Largest picture; each may take 10 bytes of memory.")] = 50,
    max_labels: Annotated[int, typer.Option(help="Labels typed in one request, and kept, each.")] = 1000,
    seconds: Annotated[float, typer.Option(help="For a body to arrive, and for a picture to be taken up.")] = 30.0,
    decode_seconds: Annotated[float, typer.Option(help="Of the processor, for decoding one picture.")] = 10.0,
    fast: FastOption = False,
    model: ModelOption = None,
) -> None:
    """Serve the model: a page for people at /, an API for programs at /v1 (described by /openapi.json).

    Stop it with Ctrl-C or SIGTERM: it finishes what it took. Each request is one line of JSON on standard error.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a picture a core keeps them all busy already
    token = _token(token_file)
    try:
        from devise.serve.server import address, bound, is_loopback
        from devise.serve.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _NEEDED:
            raise
        raise UsageError(f"the service needs {error.name}: pip install 'devise-zsl[serve]'") from None
    from devise.model.labeller import load
    from devise.serve.own_labels import OwnLabels
    from devise.serve.photos import open_photos
    from devise.serve.service import Service
    from devise.serve.settings import Limits
    from devise.serve.telemetry import log_to_stderr

    limits = Limits(
        megabytes=max_megabytes,
        held_megabytes=max(256, max_megabytes),
        megapixels=max_megapixels,
        labels=max_labels,
        queue=queue,
        seconds=seconds,
        decode_seconds=decode_seconds,
    )
    listening = bound(host, port, public=token is not None or open_to_all)
    loaded = load(model, fast=fast)
    photos = open_photos(index, loaded) if index is not None else None
    service = Service(loaded, OwnLabels(_labels_file(labels_db), max_labels), photos, limits)
    service.warm()
    log_to_stderr()
    if token is None and not is_loopback(listening):
        tell("--open: everybody who reaches this machine may use the service, and see the photos of its index")
    tell(f"serving at {address(listening)} (Ctrl-C stops)")
    run(service, listening, token=token, hosts=allowed_host or ())
    print("devise: stopped, everything that was taken is answered", file=sys.stderr)


def _token(file: Path | None) -> str | None:
    """From the file, else from the environment; DeviseError if there is none in it."""
    if file is None:
        given = os.environ.get("DEVISE_TOKEN")
        where = "$DEVISE_TOKEN"
    else:
        try:
            # A pipe is welcome: a secret may come from a program.
            given, where = text_of(file.read_bytes(), f"--token-file: {file}", UsageError), str(file)
        except OSError as error:
            raise DeviseError(f"--token-file: {file} cannot be read ({error}): give a file with one line") from None
    if given is None:
        return None
    token = given.strip()
    if not token or not token.isascii() or any(c.isspace() for c in token):
        raise UsageError(f"{where} must hold one word of ASCII letters and signs: write a token into it")
    return token


def _labels_file(asked: Path | None) -> Path:
    path = asked or Path(typer.get_app_dir("devise")) / "labels.sqlite"
    if asked is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.absolute().parent.is_dir():
        raise UsageError(f"--labels-db needs a file in a folder that exists, got {path}")
    return path
