"""python -m bench.reduced PHOTOS: what decoding large JPEG photos at a reduced scale changes.

Photos are enlarged to a short side of four times what decoding keeps, and decoded whole and at the reduced scale.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from devise.model.parts import ModelParts
from devise.vision.decoding import read_picture
from devise.vision.folders import find_pictures

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Print how many photos keep their best label, and how near the features stay."""
    parser = argparse.ArgumentParser(prog="python -m bench.reduced", description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("--count", type=int, default=100, help="photos taken, evenly from the folder (default: 100)")
    asked = parser.parse_args(arguments)
    parts = ModelParts.open()
    backbone, keep = parts.backbone(), parts.bundle.preprocessing().decode_side
    found = [one.path for one in find_pictures([asked.photos])]
    chosen = found[:: max(1, len(found) // asked.count)][: asked.count]
    features: dict[int | None, list[np.ndarray]] = {None: [], keep: []}
    for path in chosen:
        data = _enlarged(path, 4 * keep)
        for side, rows in features.items():
            pixels = read_picture(data, min_side=side)
            rows.append(backbone.features(backbone.preprocessing.apply(pixels)[None])[0])
    whole, reduced = (np.stack(rows) for rows in features.values())
    same = (parts.classifier.logits(whole).argmax(axis=1) == parts.classifier.logits(reduced).argmax(axis=1)).sum()
    cosines = (whole * reduced).sum(axis=1) / np.linalg.norm(whole, axis=1) / np.linalg.norm(reduced, axis=1)
    print(
        f"{same} of {len(chosen)} photos keep the softmax's best label; cosine of features at least {cosines.min():.4f}"
    )
    return 0


def _enlarged(path: Path, short_side: int) -> bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    scale = short_side / min(picture.size)
    large = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=92)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
