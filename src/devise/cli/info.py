"""devise info: show what the model is, its origins and its licences."""

from typing import Annotated

import typer

from devise.cli.app import app
from devise.cli.options import ModelOption

__all__ = ["info"]


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check the hash, format and values of every part, and run the network once."),
    ] = False,
    model: ModelOption = None,
) -> None:
    """Show the model: labels, network, scoring, calibration, parts, origins, licences.

    Also show the devices of this machine for --device, and how --fast multiplies on this processor if the model has
    a fast form.

    Exits with 1 if --verify finds a fault.
    """
    import json

    from devise.bundle.bundle import describe, open_bundle
    from devise.bundle.parts import BACKBONE, FAST
    from devise.cli.info_output import print_info
    from devise.model.parts import DEFAULT_BUNDLE, ModelParts
    from devise.vision.runtime import here

    bundle = open_bundle(DEFAULT_BUNDLE if model is None else model)
    if verify:
        from devise.model.onepass import try_network

        bundle.verify()
        if BACKBONE in {part.name for part in bundle.manifest.parts}:
            try_network(bundle.path)
    described = describe(bundle) | {"withheld": ModelParts(bundle).withheld_counts}
    described["devices"] = [one.to_dict() for one in here()]
    if FAST in {part.name for part in bundle.manifest.parts}:
        from devise.vision.quantised import products_here

        described["fast_here"] = products_here()
    if as_json:
        print(json.dumps(described | ({"verified": True} if verify else {}), indent=1))
    else:
        print_info(bundle, described, verified=verify)
