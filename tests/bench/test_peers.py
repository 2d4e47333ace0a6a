"""The comparison with other models, with stand-ins for them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from bench import peer_speed
from bench.figures import Reading
from bench.peer_speed import PeerCase, measure_peers


def test_speeds_and_ratios_are_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "one.jpg")
    asked: list[tuple[int, int]] = []
    ran: list[str] = []
    walls = {"devise": 0.4, "devise --fast": 0.25, "open_clip loop": 0.2, "Hugging Face pipeline": 0.05}

    def clocked(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[Reading]]:
        for case in cases.values():
            case()
        return {name: [Reading(walls[name], 1.0)] * rounds for name in cases}

    def pipeline(model: Path, photos: tuple[Path, ...], names: tuple[str, ...]):
        asked.append((len(photos), len(set(names))))
        return lambda: ran.append("pipeline")

    monkeypatch.setattr(peer_speed, "_pipeline", pipeline)
    monkeypatch.setattr(peer_speed, "_loop", lambda case, labels: lambda: ran.append("loop"))
    monkeypatch.setattr(peer_speed, "interleaved", clocked)
    case = PeerCase((tmp_path / "one.jpg",) * 4, slow=1, rounds=1, model=tmp_path)
    figures = {figure.what: figure for figure in measure_peers(case)}
    assert asked == [(1, 1000)]
    assert sorted(ran) == ["loop", "pipeline"]
    ours = figures["devise, 39,990 labels"].value
    assert ours == pytest.approx(4 / 0.4)
    assert figures["open_clip loop, 39,990 labels"].value == pytest.approx(4 / 0.2)
    assert figures["Hugging Face pipeline, 1,000 labels"].value == pytest.approx(1 / 0.05)
    for name in ("open_clip loop", "Hugging Face pipeline"):
        theirs = next(figure.value for what, figure in figures.items() if what.startswith(f"{name},"))
        assert figures[f"devise over {name}"].value == pytest.approx(ours / theirs)
        assert figures[f"devise over {name}"].limit is None, "the targets are those of --fast"
