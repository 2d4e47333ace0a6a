"""Chooses how the frames of a video are joined, and how many are taken; prints a table in Markdown.

python -m tools.video_trials --help

The videos are made of photos in class folders that are named by synset, trained classes all: one photo in motion, which
enters and leaves the picture and is blurred at times; three photos of the class after each other; and one photo of the
class for three fifths of the time, between photos of other classes. A name is right if it is the class itself.
"""

import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from devise.errors import DeviseError
from devise.files import atomic_write
from devise.model.labeller import Model, load, surest_frame
from devise.model.methods import make_scorer
from devise.space.evidence import log_sum_exp
from devise.tabletext import markdown_table
from devise.vision.folders import find_pictures
from devise.vision.limits import PictureLimits
from devise.vision.videos import read_frames
from tools import parser

COUNTS = (1, 3, 5, 9)
KINDS = ("one photo in motion", "three photos of the class", "three fifths of the class")
_RATE, _SECONDS, _SIZE = 10, 10, (320, 240)


def main() -> None:
    """Print the table; DeviseError is one line and exit code 1."""
    given = parser("video_trials", __doc__)
    given.add_argument("photos", type=Path, help="folder of class folders")
    given.add_argument("--work", type=Path, required=True, help="folder for the videos; those that are there stay")
    given.add_argument("--videos", type=int, default=3, help="per class and kind [3]")
    options = given.parse_args()
    try:
        run(options.photos, options.work, options.videos)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def run(folder: Path, work: Path, videos: int) -> None:
    """Make the videos, name them by every rule, print."""
    classes = {
        one.name: [found.path for found in find_pictures([one])] for one in sorted(folder.iterdir()) if one.is_dir()
    }
    work.mkdir(parents=True, exist_ok=True)
    model = load()
    found: dict[tuple[str, int, str], list[tuple[bool, bool]]] = {}
    for kind in KINDS:
        for name in classes:
            for number in range(videos):
                video = work / f"{KINDS.index(kind)}-{name}-{number}.mp4"
                if not video.exists():
                    write_video(video, shots(kind, name, number, classes))
                for count in COUNTS:
                    for rule, hits in named(model, video, count, name).items():
                        found.setdefault((rule, count, kind), []).append(hits)
    table = [["joined by", "frames", *(f"{kind}, hit@{k}" for kind in KINDS for k in (1, 5))]]
    for rule, count in dict.fromkeys((rule, count) for rule, count, _ in found):
        shares = [100 * np.mean(found[rule, count, kind], axis=0) for kind in KINDS]
        table.append([rule, str(count), *(f"{one:.1f}" for share in shares for one in share)])
    print(f"{markdown_table(table, left=1)}\n\n{len(classes) * videos} videos of each kind")


def shots(kind: str, name: str, number: int, classes: Mapping[str, list[Path]]) -> Iterator[Image.Image]:
    """Yield the pictures of a video."""
    chance = np.random.default_rng([number, *name.encode(), KINDS.index(kind)])
    own = [classes[name][place] for place in chance.permutation(len(classes[name]))[:3].tolist()]
    others = [one for other in chance.permutation([*classes]).tolist() if other != name for one in classes[other][:1]]
    frames = _RATE * _SECONDS
    if kind == KINDS[0]:
        yield from moved(opened(own[0]), frames, chance)
    elif kind == KINDS[1]:
        for place in range(frames):
            yield opened(own[place * 3 // frames]).resize(_SIZE)
    else:
        for place in range(frames):
            yield opened([others[0], *own[:1] * 3, others[1]][place * 5 // frames]).resize(_SIZE)


def moved(photo: Image.Image, frames: int, chance: np.random.Generator) -> Iterator[Image.Image]:
    """Yield a photo as a camera sees it that comes nearer, sways, leaves it and is out of focus for a third."""
    wide, high = photo.size
    begin = chance.uniform(0, 1)
    for place in range(frames):
        at = place / frames
        share = 0.5 + 0.4 * np.sin(np.pi * at)  # of the photo's sides that are in view
        x = (0.5 + 0.7 * np.sin(2 * np.pi * (at + begin))) * wide * (1 - share)
        y = (0.5 + 0.5 * np.cos(2 * np.pi * (at + begin))) * high * (1 - share)
        view = photo.transform(
            _SIZE, Image.Transform.EXTENT, (x, y, x + wide * share, y + high * share), Image.Resampling.BILINEAR
        )
        yield view.filter(ImageFilter.GaussianBlur(6)) if 1 / 3 < (at + begin) % 1 < 2 / 3 else view


def opened(path: Path) -> Image.Image:
    """Return a photo in RGB."""
    return Image.open(path).convert("RGB")


def write_video(path: Path, pictures: Iterator[Image.Image]) -> None:
    """Write an MP4."""
    import av

    with atomic_write(path, "wb") as file, av.open(file, "w", format="mp4") as video:
        stream: Any = video.add_stream("libx264", rate=_RATE, options={"crf": "28"})
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            video.mux(stream.encode(frame))
        video.mux(stream.encode())


def named(model: Model, video: Path, count: int, wanted: str) -> dict[str, tuple[bool, bool]]:
    """Return by rule whether the wanted label is the first, and among the first five."""
    parts, network = model.parts, model.backbone()
    how = network.preprocessing
    frames = list(read_frames(video, count, min_side=how.decode_side, limits=PictureLimits.usual()))
    features = np.concatenate([network.features(how.apply(frame)[None]) for frame in frames])
    scorer = make_scorer(parts, "fused", parts.space)
    temperature = np.float32(parts.setting("fused", "temperature"))

    def logs(rows: np.ndarray) -> np.ndarray:
        scores = scorer.scores(parts.classifier.evidence(rows))
        scores /= temperature
        return np.asarray(scores - log_sum_exp(scores.copy(), overwrite=True)[:, None])

    each = logs(features)
    classes = parts.classifier.evidence(features).probabilities
    rules = {
        "the frame that shows best what they show (chosen)": each[surest_frame(classes)],
        "the surest frame": each[each.max(axis=1).argmax()],
        "the mean of the features": logs(features.mean(axis=0, keepdims=True))[0],
        "the mean of the probabilities": np.exp(each).mean(axis=0),
        "the mean of the logarithms": each.mean(axis=0),
        "the highest probability": each.max(axis=0),
    }
    place = parts.space.labels.position(wanted)
    ranks = {rule: int((scores > scores[place]).sum()) for rule, scores in rules.items()}
    return {rule: (rank < 1, rank < 5) for rule, rank in ranks.items()}


if __name__ == "__main__":
    main()
