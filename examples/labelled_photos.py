"""A picture of photos with their labels, softmax and devise side by side: the one at the top of the README.

    python examples/labelled_photos.py coffee.png chelsea.png --out labelled.png

The photos of the README are inside the scikit-image package: coffee.png (by Rachel Michetti) and chelsea.png (by
Stefan van der Walt), both CC0.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import devise

__all__ = ["main", "sheet"]

SIDE, WIDTH, ROW, GAP, SCALE = 190, 820, 214, 12, 2
INK, SOFT, LINE, BLUE, RUST = "#1c1b19", "#5c5952", "#dcd9d0", "#2f5f9e", "#b4530b"


def sheet(model: devise.Model, photos: Sequence[Path]) -> Image.Image:
    """One row a photo: the photo, what the softmax says, what devise says with all its labels."""
    page = Image.new("RGB", (WIDTH * SCALE, (len(photos) * ROW + GAP) * SCALE), "white")
    draw = ImageDraw.Draw(page)
    for number, path in enumerate(photos):
        top = GAP + number * ROW
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((SIDE * SCALE, SIDE * SCALE), Image.Resampling.LANCZOS)
        page.paste(photo, (GAP * SCALE, top * SCALE))
        _column(draw, 226, top, "Softmax over 1,000 classes", model.label(path, top=4, method="softmax"))
        title = f"DeViSE over {len(model.labels):,} nouns"
        _column(draw, 526, top, title, model.label(path, top=4, method="devise"))
    return page


def _column(draw: ImageDraw.ImageDraw, x: int, y: int, title: str, answer: devise.Answer) -> None:
    _text(draw, x, y + 14, title, INK, 14)
    for number, guess in enumerate(answer.guesses):
        top = y + 28 + 40 * number
        unseen = "" if guess.label.seen else "  (no training photo)"
        _text(draw, x, top + 16, guess.label.name, INK if guess.label.seen else RUST, 15)
        wide = draw.textlength(guess.label.name, font=ImageFont.load_default(15 * SCALE)) / SCALE
        _text(draw, x + wide, top + 16, unseen, SOFT, 11)
        for length, colour in ((270, LINE), (max(270 * guess.score, 2), BLUE)):
            draw.rectangle([x * SCALE, (top + 23) * SCALE, (x + length) * SCALE, (top + 28) * SCALE], fill=colour)


def _text(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str, size: int) -> None:
    draw.text((x * SCALE, y * SCALE), text, fill=colour, font=ImageFont.load_default(size * SCALE), anchor="ls")


def main() -> None:
    """Read the photos, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("labelled.png"))
    asked = parser.parse_args()
    sheet(devise.load(), asked.photos).quantize(128).save(asked.out, optimize=True)


if __name__ == "__main__":
    main()
