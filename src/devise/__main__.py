"""The command `devise`, also as `python -m devise`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; Ctrl-C while its modules are read ends it as any other does."""
    try:
        from devise.cli.app import main as run
    except KeyboardInterrupt:
        print("devise: stopped", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
