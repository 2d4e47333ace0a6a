"""devise train: train a model from labelled photos."""

from importlib import import_module

import typer

from devise.cli.app import app

__all__ = ["train"]

_COMMANDS = ("classifier", "ensemble", "fast", "fetch", "finetune", "surgery")

train = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train a model from labelled photos: classifier, surgery, fine-tuning. torchrun runs it in several processes.",
)
app.add_typer(train, name="train")
for _name in _COMMANDS:
    import_module(f"devise.cli.train.{_name}")
