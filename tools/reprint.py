"""Run the commands of README and docs/results.md that print a table, and report the rows that differ from the page.

Left out: commands that train, and those whose tables are merged with another's (`--fast`, `--precision`).
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tools import parser

__all__ = ["PAGES", "differing_rows", "main", "table_commands"]

_BLOCK = re.compile(r"^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"devise (?:evaluate|reproduce zeroshot) \$DATA/[^#\n]*?(?:#\w+)?(?: --markdown)?")
PAGES = ("README.md", "docs/results.md")


def table_commands(page: str) -> Iterator[tuple[str, str]]:
    """Return each command whose table the page has, and the text from there to the next command."""
    blocks = list(_BLOCK.finditer(page))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        (*_, last) = block[1].splitlines()
        if len(block[1].splitlines()) == 1 and _TABLE.fullmatch(last) and "--fast" not in last:
            yield last, page[block.end() : after.start() if after else len(page)]


def differing_rows(text: str, printed: str) -> list[str]:
    """Return the rows of printed Markdown tables that the text does not have."""
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    return [row for row in rows if row not in text.splitlines()] if rows else ["no table was printed"]


def main(run: Callable[[str], str] | None = None) -> None:
    """Run the commands; exit with 1 if a row differs."""
    options = parser("reprint", __doc__)
    options.add_argument("data", type=Path, help="folder that contains photos/ and splits/")
    data = options.parse_args().data
    differ = 0
    for page in PAGES:
        for command, text in table_commands(Path(page).read_text(encoding="utf-8")):
            whole = command if "--markdown" in command else f"{command} --markdown"
            rows = differing_rows(text, (run or _printed)(whole.replace("$DATA", str(data))))
            print(
                f"{page}: {command}: " + ("the same" if not rows else f"{len(rows)} rows differ"),
                *rows,
                sep="\n  ",
                flush=True,
            )
            differ += bool(rows)
    sys.exit(int(differ > 0))


def _printed(command: str) -> str:
    """Run a command; where it fails, its message is on standard error, and no table is printed."""
    program, *arguments = command.split(" ")
    run = [sys.executable, "-m", program, *arguments]
    return subprocess.run(run, stdout=subprocess.PIPE, text=True, check=False).stdout


if __name__ == "__main__":
    main()
