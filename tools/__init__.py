"""What only builds the package and its figures: not part of the wheel."""

import argparse

__all__ = ["parser"]


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command `python -m tools.NAME`; text: the module's docstring."""
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=f"python -m tools.{name}", description=text, formatter_class=kind)
