"""devise serve: label pictures over HTTP and in a browser."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from devise.cli.app import app, one_blas_thread
from devise.cli.options import DeviceOption, FastOption, ModelOption, PrecisionOption, opener
from devise.cli.terminal import tell
from devise.errors import DeviseError, UsageError
from devise.files import text_of
from devise.xmp import require_xmp

__all__ = ["serve"]

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic", "starlette")


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is reachable only from this machine.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.", min=0, max=65535)] = 8000,
    index: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photo index to search, made by devise index; enables search. May be repeated: the page and "
            "requests choose one by the name of its folder.",
            show_default=False,
        ),
    ] = None,
    corrections: Annotated[
        bool,
        typer.Option(
            "--corrections",
            help="Let users of the page accept and reject the names of photos of the index: this writes XMP sidecars "
            "next to the photos. devise corrections exports them.",
        ),
    ] = False,
    labels_db: Annotated[
        Path | None,
        typer.Option(help="File that stores your own labels. [default: in your data folder]", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that requests must send. [default: $DEVISE_TOKEN]", show_default=False),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let everybody who can reach this machine use the service without a token.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Host name to allow in 'Host', in addition to localhost; may be repeated.")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address under which browsers see the page, such as http://photos.lan, if a proxy changes 'Host'; may "
            "be repeated.",
        ),
    ] = None,
    queue: Annotated[int, typer.Option(help="Most pictures in the queue; further ones get 429.")] = 64,
    max_megabytes: Annotated[int, typer.Option(help="Largest picture file of a request, in megabytes.")] = 20,
    max_megapixels: Annotated[
        int, typer.Option(help="Largest picture, in megapixels; each pixel may take 10 bytes of memory.")
    ] = 50,
    max_labels: Annotated[int, typer.Option(help="Most typed labels per request, and most stored labels.")] = 1000,
    seconds: Annotated[
        float,
        typer.Option(help="Time limit for receiving a body, for waiting in the queue and for a search, in seconds."),
    ] = 30.0,
    decode_seconds: Annotated[
        float, typer.Option(help="Limit of processor time for decoding one picture, in seconds.")
    ] = 10.0,
    lang: Annotated[
        list[str] | None,
        typer.Option(
            "--lang",
            metavar="CODE|FILE",
            help="Show and understand nouns in another language (docs/languages.md). May be repeated: the page and "
            "requests choose one, or English; the first is the default.",
            show_default=False,
        ),
    ] = None,
    fast: FastOption = False,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "f32",
    model: ModelOption = None,
) -> None:
    """Serve the model: a web page at /, an API at /v1 (described by /openapi.json).

    Stop it with Ctrl-C or SIGTERM: it finishes accepted requests. It logs one line of JSON per request on standard
    error.
    """
    one_blas_thread()
    token = _token(token_file)
    origins = [_origin(address) for address in allowed_origin or ()]
    try:
        from devise.serve.server import address, bound, is_loopback
        from devise.serve.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _NEEDED:
            raise
        raise UsageError(f"the service needs {error.name}: pip install 'devise-zsl[serve]'") from None
    from devise.serve.limits import Limits
    from devise.serve.own_labels import OwnLabels
    from devise.serve.photos import open_indexes
    from devise.serve.service import Service, open_languages
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
    if corrections:
        if not index:
            raise UsageError("--corrections is for photos of an index: give --index too")
        require_xmp()
    listening = bound(host, port, public=token is not None or open_to_all)
    opened = opener(model, device, precision, fast=fast)
    languages = open_languages(lambda language: opened(language=language), lang or ())
    for one in languages.values():
        if one.parts.language_note:
            tell(one.parts.language_note)
    loaded = next(iter(languages.values()))
    indexes = open_indexes(index or (), loaded)
    own = OwnLabels(_labels_file(labels_db), max_labels)
    service = Service(loaded, own, indexes, limits, languages, corrections)
    service.warm()
    log_to_stderr()
    if token is None and not is_loopback(listening):
        change = ", and change the keywords in their sidecars" if corrections else ""
        tell(
            "--open: everybody who can reach this machine can use the service and see the photos of its index" + change
        )
    tell(f"serving at {address(listening)} (Ctrl-C stops)")
    run(service, listening, token=token, hosts=allowed_host or (), origins=origins)
    print("devise: stopped; every accepted request was answered", file=sys.stderr)


def _token(file: Path | None) -> str | None:
    """Read the token from the file, else from the environment; DeviseError if it has none."""
    if file is None:
        given = os.environ.get("DEVISE_TOKEN")
        where = "$DEVISE_TOKEN"
    else:
        try:
            # A pipe is welcome: a secret may come from a program.
            given, where = text_of(file.read_bytes(), f"--token-file: {file}", UsageError), str(file)
        except OSError as error:
            reason = error.strerror or error
            raise DeviseError(
                f"--token-file: {file} cannot be read ({reason}): give a file with the token on one line"
            ) from None
    if given is None:
        return None
    token = given.strip()
    if not token or not token.isascii() or any(c.isspace() for c in token):
        raise UsageError(f"{where} must contain one word of printable ASCII: write a token into it")
    return token


def _origin(address: str) -> str:
    """Return the address of a page as browsers send it in `Origin`; UsageError if it is another kind of address.

    >>> _origin("https://Photos.lan/"), _origin("http://photos.lan:8080")
    ('https://photos.lan', 'http://photos.lan:8080')
    """
    origin = address.lower().removesuffix("/")
    if not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[^\s/?#@:\[\]*]+)(:[0-9]+)?", origin):
        raise UsageError(f"--allowed-origin {address}: give scheme and name of the page, such as http://photos.lan")
    return origin


def _labels_file(asked: Path | None) -> Path:
    path = asked or Path(typer.get_app_dir("devise")) / "labels.sqlite"
    if asked is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.absolute().parent.is_dir():
        raise UsageError(f"--labels-db needs a file in an existing folder, got {path}")
    return path
