"""python -m bench.page A.json B.json: make docs/benchmarks.md from what `make bench` wrote on several machines."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from bench.figures import Figure, number
from bench.machine import ROOT

__all__ = ["MADE_FROM", "main", "page"]

MADE_FROM = ("bench/avx512.json", "bench/avx2.json")
"""The committed runs, in the order of the columns."""

_TEMPLATE = Path(__file__).with_name("page.md")
_TARGET = ROOT / "docs" / "benchmarks.md"


def main(arguments: list[str] | None = None) -> int:
    """Write the page; SystemExit for a file that no measurement wrote."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="Make docs/benchmarks.md.")
    parser.add_argument("runs", metavar="JSON", nargs="*", type=Path, help="files of `make bench`; default: committed")
    parser.add_argument("--out", type=Path, default=_TARGET)
    asked = parser.parse_args(arguments)
    made = page([_read(run) for run in asked.runs or [ROOT / name for name in MADE_FROM]])
    asked.out.write_text(made, encoding="utf-8")
    return 0


def page(runs: Sequence[dict[str, Any]]) -> str:
    """Fill the template with one column per run."""
    template = _TEMPLATE.read_text(encoding="utf-8")
    machines = "\n".join(_machine(run) for run in runs)
    return template.replace("{machines}", machines).replace("{tables}", _tables(runs))


def _read(path: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        quick, _ = run["quick"], run["seconds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"bench.page: {path} is not a file of `make bench` ({error})") from None
    if not isinstance(quick, bool):
        raise SystemExit(f"bench.page: {path} is not a file of `make bench`")
    return run


def _machine(run: dict[str, Any]) -> str:
    """One item of a list."""
    machine = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    before, after = machine["load"], machine["load_after"]
    load = f"load {before[0]} before and {after[0]} after" if before and after else "load unknown"
    facts = (
        f"{machine['cpu']}, {machine['cores']} cores",
        *(("**a run of `--quick`: it shows that all parts work, and measures nothing**",) if run["quick"] else ()),
        f"{run['photos']}",
        f"{sum(run['seconds'].values()) / 60:.0f} minutes, {load}",
        f"commit {machine['commit']}",
        f"Python {machine['python']}, {versions}",
        *((f"set in the environment: {', '.join(machine['environment'])}",) if machine["environment"] else ()),
    )
    lines = (fill(fact, 118, initial_indent="    - ", subsequent_indent="      ") for fact in facts)
    return f"- **{machine['instructions']}**:\n" + "\n".join(lines)


def _tables(runs: Sequence[dict[str, Any]]) -> str:
    """One table per section; a figure that a run lacks is a dash."""
    columns = [
        {(one["section"], one["what"], one["unit"]): Figure.from_dict(one) for one in run["figures"]} for run in runs
    ]
    judged = [not run["quick"] for run in runs]
    names = [run["machine"]["instructions"] for run in runs]
    keys = dict.fromkeys(key for column in columns for key in column)
    lines: list[str] = []
    for section in dict.fromkeys(section for section, *_ in keys):
        lines += ["", f"### {section}", f"| What | {' | '.join(names)} | Limit |", "|---|" + "---|" * (len(runs) + 1)]
        for key in keys:
            if key[0] == section:
                lines.append(_row(key[1], [column.get(key) for column in columns], judged))
    return "\n".join(lines).strip("\n")


def _row(what: str, figures: Sequence[Figure | None], judged: Sequence[bool]) -> str:
    limit = next((one for one in figures if one is not None and one.limit is not None), None)
    bound = "" if limit is None else f"{'at least' if limit.at_least else 'at most'} {_number(limit.limit or 0)}"
    return f"| {what.strip()} | {' | '.join(map(_cell, figures, judged))} | {bound} |"


def _cell(figure: Figure | None, judged: bool) -> str:
    """The median, its range and, where it is judged, whether its limit was missed."""
    if figure is None:
        return "-"
    if figure.what.endswith("not measured"):
        return figure.note
    shown = f"{_number(figure.value)} {figure.unit}".strip()
    if figure.runs > 1 and figure.low is not None and figure.high is not None:
        shown += f" ({_number(figure.low)} to {_number(figure.high)})"
    return f"**{shown}: missed**" if judged and figure.met is False else shown


def _number(value: float) -> str:
    """Three digits that count, with commas.

    >>> _number(1281167.0), _number(0.4567)
    ('1,281,167', '0.457')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else number(value)


if __name__ == "__main__":
    sys.exit(main())
