"""Pictures of the README (answers that the softmax cannot give, five searches) and of docs/collection.md (regions).

It writes docs/pictures/unseen.jpg, search.jpg and regions.jpg.
The photos are inside the packages scikit-image and scikit-learn. The comment of each picture is what is
written on it, as JSON: a test works that out again and compares, so that a picture of another model is noticed.
"""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

import devise
from devise.cli.app import main as command
from devise.cli.demo_output import SAMPLES, SHEET, sample_folder
from tools import parser

__all__ = ["PICTURES", "main", "regions_found", "searched", "unseen_answers"]

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
UNSEEN = ("rocket.jpg", "china.jpg")  # right on the demo's sheet, and no trained class is one or, for the pagoda, near
WORDS = ("animal", "drink", "vehicle", "building", "plant")
TOGETHER = ("chelsea.png", "coffee.png", "motorcycle_left.png")  # side by side in one picture
CELL = 320
WIDTH, GAP, SCALE = 820, 12, 2
INK, SOFT, LINE, BLUE, RUST = "#1c1b19", "#5c5952", "#dcd9d0", "#2f5f9e", "#b4530b"
Answers = list[dict[str, Any]]


def photos() -> list[Path]:
    """The samples of the demo and of its sheet that are installed."""
    names = sorted({sample.file for sample in SAMPLES} | set(SHEET))
    folders = [folder for package in ("skimage", "sklearn") if (folder := sample_folder(package)) is not None]
    return [folder / name for name in names for folder in folders if (folder / name).is_file()]


def unseen_answers() -> Answers:
    """For each photo, the best names of the softmax among its classes and of devise among the demo's nouns."""
    model = devise.load()
    nouns = "; ".join(SHEET.values())
    answers = []
    for path in (path for name in UNSEEN for path in photos() if path.name == name):
        softmax = model.label(path, top=4, method="softmax")
        ours = model.label(path, top=4, labels=nouns, candidates="typed")
        answers.append({"photo": path.name, "softmax": _rows(softmax), "devise": _rows(ours)})
    return answers


def searched() -> Answers:
    """For each word, the first photo that `devise search` finds among all of them."""
    with TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")
        _run("index", *map(str, photos()), "--out", index)
        found = [
            json.loads(_run("search", index, word, "--top", "1", "--format", "json", "--quiet"))[0] for word in WORDS
        ]
    return [
        {"word": word, "photo": Path(hit["path"]).name, "score": round(hit["score"], 2)}
        for word, hit in zip(WORDS, found, strict=True)
    ]


def regions_found() -> Answers:
    """The regions of three photos side by side, as `devise label --regions` names them."""
    found = devise.load().label(_together(), regions=True).regions
    assert found is not None
    return [
        {
            "name": one.name.name,
            "share": round(one.name.share, 2),
            "box": [one.box.x, one.box.y, one.box.width, one.box.height],
        }
        for one in found.found
    ]


def _together() -> Image.Image:
    page = Image.new("RGB", (CELL * len(TOGETHER), CELL))
    for number, name in enumerate(TOGETHER):
        path = next(path for path in photos() if path.name == name)
        page.paste(ImageOps.fit(Image.open(path).convert("RGB"), (CELL, CELL)), (CELL * number, 0))
    return page


def _rows(answer: devise.Answer) -> list[list[Any]]:
    """Name, score to two places, and whether it was trained on."""
    return [[guess.label.name, round(guess.score, 2), guess.label.seen] for guess in answer.guesses]


def _run(*arguments: str) -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        try:
            command(list(arguments))
        except SystemExit as stop:
            if stop.code:
                raise
    return written.getvalue()


def draw_unseen(answers: Answers) -> Image.Image:
    """One row a photo: the photo, what the softmax says, what devise says."""
    row = 214
    page, draw = _page(GAP + len(answers) * row)
    for number, one in enumerate(answers):
        top = GAP + number * row
        _photo(page, one["photo"], GAP, top, 200, 190)
        _column(draw, 236, top, "Softmax, of its 1,000 classes", one["softmax"])
        _column(draw, 536, top, f"devise, of {len(SHEET)} nouns it was given", one["devise"])
    return page


def draw_search(answers: Answers) -> Image.Image:
    """One column a word: the word, the photo found, its score."""
    wide = (WIDTH - GAP) // len(answers)
    page, draw = _page(176)
    for number, one in enumerate(answers):
        x = GAP + number * wide
        _text(draw, x, 26, one["word"], INK, 15)
        _photo(page, one["photo"], x, 38, wide - GAP, 112)
        _text(draw, x, 162, f"{one['score']:.2f}  {one['photo']}", SOFT, 11)
    return page


def draw_regions(answers: Answers) -> Image.Image:
    """The three photos with the boxes and their names."""
    page = _together()
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    for one in answers:
        x, y, width, height = one["box"]
        draw.rectangle([x + 1, y + 1, x + width - 2, y + height - 2], outline="#ffd84d", width=3)
        text = f"{one['name']} {100 * one['share']:.0f} %"
        place = (x + width / 2, y + height / 2)
        draw.text(place, text, fill="white", font=font, anchor="mm", stroke_width=3, stroke_fill="black")
    return page


def _column(draw: ImageDraw.ImageDraw, x: int, y: int, title: str, rows: Sequence[Sequence[Any]]) -> None:
    _text(draw, x, y + 14, title, INK, 14)
    for number, (name, score, seen) in enumerate(rows):
        top = y + 28 + 40 * number
        _text(draw, x, top + 16, name, INK if seen else RUST, 15)
        wide = draw.textlength(name, font=ImageFont.load_default(15 * SCALE)) / SCALE
        remark = f"  {100 * score:.0f} %" + ("" if seen else ", unseen")
        _text(draw, x + wide, top + 16, remark, SOFT, 11)
        for length, colour in ((270, LINE), (max(270 * score, 2), BLUE)):
            draw.rectangle([x * SCALE, (top + 23) * SCALE, (x + length) * SCALE, (top + 28) * SCALE], fill=colour)


def _page(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    return page, ImageDraw.Draw(page)


def _photo(page: Image.Image, name: str, x: int, y: int, wide: int, high: int) -> None:
    path = next(path for path in photos() if path.name == name)
    photo = Image.open(path).convert("RGB")
    photo.thumbnail((wide * SCALE, high * SCALE), Image.Resampling.LANCZOS)
    page.paste(photo, (x * SCALE, y * SCALE))


def _text(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str, size: int) -> None:
    draw.text((x * SCALE, y * SCALE), text, fill=colour, font=ImageFont.load_default(size * SCALE), anchor="ls")


def main() -> None:
    """Work out the answers, write the pictures."""
    parser("readme_pictures", __doc__).parse_args()
    made = (
        ("unseen", unseen_answers(), draw_unseen),
        ("search", searched(), draw_search),
        ("regions", regions_found(), draw_regions),
    )
    for name, answers, draw in made:
        written = json.dumps(answers)
        draw(answers).save(
            PICTURES / f"{name}.jpg", quality=65, optimize=True, progressive=True, comment=written.encode()
        )
        print(f"{name}.jpg: {written}")


if __name__ == "__main__":
    main()
