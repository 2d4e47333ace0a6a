"""How fast a folder is labelled, against what decoding and the network alone allow; what 39,990 labels cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import local
from unittest.mock import patch

import numpy as np

from bench import command
from bench.figures import Figure, Reading, interleaved, median, ratio
from bench.machine import cores
from bench.photos import Photos, large_photo, many_of
from devise.bundle.parts import BACKBONE
from devise.model.labeller import LabelRequest, LabelRun, load
from devise.vision.decoding import read_picture
from devise.vision.pipeline import one_thread
from devise.vision.preprocessing import Planes, Preprocessing
from devise.vision.runtime import import_openvino

__all__ = ["TWO_AT_ONCE", "decode", "measure_candidates", "measure_labelling", "measure_large"]

_SECTION = "Labelling a folder, every label a candidate"
_SHARE, _LARGE_SHARE = 0.92, 0.9
_MORE_LABELS = 1.05
_BATCHES = (1, 2, 8)
_LOOPED = 1000  # photos: it has no start, so more take longer and say no more
TWO_AT_ONCE = ("devise.vision.backbone._PAIRS_PAY", 2)
"""For `patch`: the network takes two photos at once from the start, as after 2,000 of a folder."""

Forward = Callable[[Planes], None]
"""Runs the network on one picture."""


class Bare:
    """The network without devise: OpenVINO compiled in float32 for a fixed batch, fed with the same input."""

    def __init__(self, onnx: bytes, crop: int, batch: int, streams: int) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        network = core.read_model(onnx)
        network.reshape([batch, 3, crop, crop])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams}
        self.name = f"batch {batch}, {streams} stream{'s' if streams > 1 else ''}"
        self._batch = batch
        self._compiled = core.compile_model(network, "CPU", settings)
        self._queue = openvino.AsyncInferQueue(self._compiled, streams)
        self._planes = np.random.default_rng(0).standard_normal((batch, 3, crop, crop), dtype=np.float32)
        self._own = local()
        self.forward(batch)  # the first run of a process must be alone, see devise.vision.backbone

    def forward(self, count: int) -> None:
        """So many pictures through the network, all streams busy."""
        for _ in range(count // self._batch):
            self._queue.start_async({0: self._planes})
        self._queue.wait_all()

    def one(self, plane: Planes) -> None:
        """One picture, from any thread."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        self._own.request.infer({0: plane}, share_inputs=False)


def measure_labelling(
    photos: Photos, scratch: Path, *, rounds: int, part: int, commands: int, many: int
) -> list[Figure]:
    """rounds: of the in-process comparison, each on `part` photos. commands: runs of the whole command on all photos.

    many: links to them, over and over, for fewer runs of the command, in which its start counts less.
    """
    here = _InProcess(photos.paths[:part], rounds)
    more = Photos(scratch / "more", many_of(photos.paths, many, scratch / "more"), "")
    return [
        *here.figures(_SECTION, _SHARE),
        *_whole_command(photos, here, commands),
        *_whole_command(more, here, 1 + commands // 4),
    ]


def measure_large(photos: Photos, scratch: Path, *, rounds: int, count: int) -> list[Figure]:
    """The in-process comparison on a few of the photos, enlarged to 12 megapixels."""
    made = [large_photo(path, scratch / f"large-{number}.jpg") for number, path in enumerate(photos.paths[:count])]
    return _InProcess(made, rounds).figures("Labelling photos of 12 megapixels, every label a candidate", _LARGE_SHARE)


def measure_candidates(photos: Photos, *, rounds: int, part: int) -> list[Figure]:
    """The same photos with all labels and with the 1,000 trained ones as candidates."""
    model = load()
    runs = {"all": model.run(LabelRequest()), "1000": model.run(LabelRequest(candidates="seen"))}
    numbers = {name: f"{len(run.candidates):,}" for name, run in runs.items()}
    section = f"{numbers['all']} candidate labels against {numbers['1000']}"
    some = photos.paths[:part]
    whole = interleaved({name: partial(_answer, run, some) for name, run in runs.items()}, rounds)
    block = list(model.features(some[:128]))  # as many as are scored at once, on one thread as they are then
    with one_thread():
        scoring = interleaved({name: partial(run.answers_of, block) for name, run in runs.items()}, 3 * rounds)
    figures = [
        Figure.of(
            section,
            f"{kind} of labelling with {numbers['all']} over {numbers['1000']}",
            ratio([getattr(r, clock) for r in whole["all"]], [getattr(r, clock) for r in whole["1000"]]),
            "",
            limit=_MORE_LABELS,
        )
        for kind, clock in (("core time", "core"), ("wall time", "wall"))
    ]
    alone = {name: [1e3 * reading.per(len(block)).core for reading in scoring[name]] for name in runs}
    for name, number in numbers.items():
        figures.append(Figure.of(section, f"scoring alone, {number} labels", alone[name], "core ms per photo"))
    few = median(1e3 * reading.per(len(some)).core for reading in whole["1000"])
    more = 1 + (median(alone["all"]) - median(alone["1000"])) / few
    note = "1 + difference in scoring alone / labelling: less noise"
    return [*figures, Figure(section, "core time, from these", more, "", limit=_MORE_LABELS, note=note)]


def _answer(run: LabelRun, photos: Sequence[Path]) -> None:
    _drain(run.answers(photos))


class _InProcess:
    """Decoding, the network alone, the bare loop and devise on the same photos, in turn."""

    @patch(*TWO_AT_ONCE)
    def __init__(self, photos: Sequence[Path], rounds: int) -> None:
        model = load()
        self.preprocessing = model.parts.bundle.preprocessing()
        onnx = model.parts.bundle.part_bytes(BACKBONE)
        self._bare = _fastest(onnx, self.preprocessing.crop, rounds)
        self.one = Bare(onnx, self.preprocessing.crop, 1, cores()).one
        forwards = max(_BATCHES) * -(-len(photos) // max(_BATCHES))
        answering = model.run(LabelRequest())
        self.cases: dict[str, Callable[[], object]] = {
            "decode": lambda: _drain(_normalised(path, self.preprocessing) for path in photos),
            "forward": lambda: self._bare.forward(forwards),
            "loop": lambda: _loop(photos, self.preprocessing, self.one),
            "devise": lambda: _answer(answering, photos),
        }
        self.counts = {name: forwards if name == "forward" else len(photos) for name in self.cases}
        self._readings = interleaved(self.cases, rounds)

    def figures(self, section: str, share: float) -> list[Figure]:
        """share: of the bound, at least."""
        each = {name: [one.per(self.counts[name]) for one in found] for name, found in self._readings.items()}
        cost = _cost(self._readings, self.counts)
        allowed = [cores() / one for one in cost]
        devise, loop = each["devise"], each["loop"]
        rates = [1 / reading.wall for reading in devise]
        by_core = ratio(cost, [reading.core for reading in devise])
        by_loop = ratio([reading.wall for reading in loop], [reading.wall for reading in devise])
        noise = "other work moves it less than wall time, but moves it"
        return [
            _milliseconds(section, "decode and preprocess", each["decode"]),
            _milliseconds(section, f"bare OpenVINO forward ({self._bare.name})", each["forward"]),
            Figure.of(section, "the bound from these two on all cores", allowed, "images/s"),
            _milliseconds(section, "a bare loop of threads (decode, forward, no labels)", loop),
            _milliseconds(section, "devise, in one process", devise),
            Figure.of(section, "devise, in one process", rates, "images/s"),
            Figure.of(section, "its share of the bound", ratio(rates, allowed), "", limit=share, at_least=True),
            Figure.of(section, "its share by core time", by_core, "", limit=share, at_least=True, note=noise),
            Figure.of(
                section, "its speed relative to the bare loop", by_loop, "", note="wall time, same disturbance for both"
            ),
        ]


def _whole_command(photos: Photos, here: _InProcess, runs: int) -> list[Figure]:
    """`devise label FOLDER`, start of the process included, in turn with the bare loop and with the bound.

    here: its `decode` and `forward` are measured again beside every command. The loop takes at most `_LOOPED` photos.
    """
    count, looped = len(photos.paths), photos.paths[:_LOOPED]
    readings = interleaved(
        {
            "decode": here.cases["decode"],
            "forward": here.cases["forward"],
            "command": lambda: command.run("label", str(photos.folder), "--format", "jsonl"),
            "loop": lambda: _loop(looped, here.preprocessing, here.one),
        },
        runs,
        warm=False,
    )
    cost = _cost(readings, here.counts)
    each = [reading.per(count) for reading in readings["command"]]
    loop = ratio([one.per(len(looped)).wall for one in readings["loop"]], [one.wall for one in each])
    shares = [one_cost / cores() / reading.wall for one_cost, reading in zip(cost, each, strict=True)]
    by_core = ratio(cost, [reading.core for reading in each])
    what = f"devise label FOLDER, {count:,} photos"
    return [
        Figure.of(_SECTION, what, [1 / reading.wall for reading in each], "images/s"),
        Figure.of(_SECTION, f"{what}: share of the bound", shares, "", limit=_SHARE, at_least=True),
        Figure.of(_SECTION, f"{what}: share by core time", by_core, "", limit=_SHARE, at_least=True),
        Figure.of(_SECTION, f"{what}: relative to the bare loop", loop, "", note="the loop loads no model or label"),
    ]


def _cost(readings: Mapping[str, Sequence[Reading]], counts: Mapping[str, int]) -> list[float]:
    """Core seconds to decode a photo and run the network on it, round by round."""
    pairs = zip(readings["decode"], readings["forward"], strict=True)
    return [d.core / counts["decode"] + f.core / counts["forward"] for d, f in pairs]


def _fastest(onnx: bytes, crop: int, rounds: int) -> Bare:
    """Of some settings the one that takes the fewest core seconds a picture."""
    tried = [Bare(onnx, crop, batch, cores()) for batch in _BATCHES]
    tried += [Bare(onnx, crop, 1, 1)] if cores() > 1 else []
    count = 2 * max(_BATCHES)
    found = interleaved({one.name: partial(one.forward, count) for one in tried}, rounds)
    return min(tried, key=lambda one: min(reading.core for reading in found[one.name]))


def decode(paths: Sequence[Path], preprocessing: Preprocessing) -> None:
    """Decode and crop one photo after the other."""
    for path in paths:
        preprocessing.apply(read_picture(path, min_side=preprocessing.decode_side))


def _normalised(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """What any program has to compute of a photo before the network; channels last, as it is in memory."""
    crop = preprocessing.apply(read_picture(path, min_side=preprocessing.decode_side))
    lines = crop.reshape(len(crop), -1)
    values = lines - np.tile(np.array(preprocessing.mean, np.float32), len(crop))
    values /= np.tile(np.array(preprocessing.std, np.float32), len(crop))
    return values.reshape(1, *crop.shape)


def _loop(paths: Sequence[Path], preprocessing: Preprocessing, forward: Forward) -> None:
    """What any program must do: each core takes a photo, decodes it and runs the network."""

    def work(path: Path) -> None:
        forward(np.ascontiguousarray(_normalised(path, preprocessing).transpose(0, 3, 1, 2)))

    with ThreadPoolExecutor(cores()) as pool:
        _drain(pool.map(work, paths))


def _drain(items: Iterable[object]) -> None:
    for _ in items:
        pass


def _milliseconds(section: str, what: str, readings: Sequence[Reading]) -> Figure:
    return Figure.of(section, what, [1e3 * reading.core for reading in readings], "core ms per photo")
