"""One photo in a new process, from the start to the printed answer, and where the time goes."""

import json
from pathlib import Path

from bench import command
from bench.figures import Figure, Reading, interleaved, timed

__all__ = ["STEPS", "measure_cold_start", "measure_import"]

_SECTION = "One photo, new process, page cache warm"
_SECONDS = 1.5
_IMPORT_SECONDS = 0.3

STEPS = Path(__file__).with_name("cold_steps.py")
"""The script that takes the steps of the command one after the other and prints their times."""


def measure_cold_start(photo: Path, *, runs: int) -> list[Figure]:
    """The whole command, then each of its steps in a process of its own."""
    command.run("label", str(photo))  # modules compiled, files in the page cache
    found: list[command.Answered] = []
    readings = [timed(lambda: found.append(command.answered("label", str(photo)))) for _ in range(runs)]
    answers = [one.printed for one in found]
    figures = [
        Figure.of(_SECTION, "devise label PHOTO, the answer is printed", answers, "s", limit=_SECONDS),
        Figure(_SECTION, "the slowest of them", max(answers), "s", limit=_SECONDS),
        Figure.of(_SECTION, "the process has ended", [one.ended for one in found], "s"),
        Figure.of(_SECTION, "its core time", [reading.core for reading in readings], "core s"),
    ]
    steps: dict[str, list[float]] = {}
    for _ in range(runs):
        for step, seconds in json.loads(command.python(str(STEPS), str(photo))).items():
            steps.setdefault(step, []).append(1e3 * seconds)
    return figures + [Figure.of(_SECTION, f"  step: {step}", values, "ms") for step, values in steps.items()]


def measure_import(*, runs: int) -> list[Figure]:
    """`import devise`, above what Python itself takes to start."""
    section = "Import"
    cases = {
        "nothing": lambda: command.python("-c", "pass"),
        "import devise": lambda: command.python("-c", "import devise"),
        "the command's modules": lambda: command.python(
            "-c", "import devise.cli.app; devise.cli.app.main(['--version'])"
        ),
        "all that labelling needs": lambda: command.python("-c", "import devise; devise.load"),
    }
    found = interleaved(cases, runs)
    return [
        Figure.of(
            section,
            name,
            [1e3 * seconds for seconds in _above(found[name], found["nothing"])],
            "ms",
            limit=1e3 * _IMPORT_SECONDS if name == "import devise" else None,
            note="above a bare start of Python",
        )
        for name in cases
        if name != "nothing"
    ]


def _above(some: list[Reading], base: list[Reading]) -> list[float]:
    return [one.wall - other.wall for one, other in zip(some, base, strict=True)]
