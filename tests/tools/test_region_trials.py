"""The pictures that `tools.region_trials` makes, and how it counts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from devise.model.answers import Level, Region
from devise.taxonomy.wordnet import default_taxonomy
from devise.vision.pipeline import Box
from tools.region_trials import KINDS, Composite, Counts, composites, grid, iou, measured

BOXES = st.builds(Box, st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))


@given(BOXES, BOXES)
def test_overlap_is_counted_in_pixels(one: Box, other: Box):
    planes = np.zeros((2, 20, 20), bool)
    for plane, box in zip(planes, (one, other), strict=True):
        plane[box.y : box.y + box.height, box.x : box.x + box.width] = True
    assert iou(one, other) == pytest.approx(planes.all(axis=0).sum() / planes.any(axis=0).sum())


def test_photos_are_where_the_truth_says(tmp_path: Path):
    colours = {"n02123045": (250, 0, 0), "n02391049": (0, 250, 0), "n03467517": (0, 0, 250), "n02128757": (250, 250, 0)}
    for label, colour in colours.items():
        (tmp_path / label).mkdir()
        Image.new("RGB", (60, 40), colour).save(tmp_path / label / "0.jpg", quality=100)
    made = list(composites(sorted(tmp_path.iterdir()), 2))
    assert [one.kind for one in made] == [*KINDS, *KINDS]
    assert [len(one.truth) for one in made[:4]] == [4, 2, 2, 1]
    for picture in made:
        pixels = np.asarray(picture.image).astype(int)
        small = min((box for _, box in picture.truth), key=lambda box: box.width * box.height)
        for label, box in picture.truth:
            if picture.kind != "inset" or box == small:
                middle = pixels[box.y + box.height // 2, box.x + box.width // 2]
                assert np.abs(middle - colours[label]).max() < 10
        if picture.kind != "inset":
            assert sum(box.width * box.height for _, box in picture.truth) == picture.image.width * picture.image.height
    again = list(composites(sorted(tmp_path.iterdir()), 2))
    assert [one.truth for one in again] == [one.truth for one in made]


def test_a_grid_covers_the_picture_at_two_scales():
    boxes = grid((640, 320))
    assert len(boxes) == 3 + 21
    assert {box.width for box in boxes} == {320, 160}
    assert boxes[0] == Box(0, 0, 320, 320)
    assert boxes[-1] == Box(480, 160, 160, 160)


def region(synset: str, *box: int) -> Region:
    return Region(Box(*box), Level(synset, synset, 0.95, 5.0, True), ())


def test_names_are_counted_by_wordnet():
    """A tabby and a zebra: "cat" finds one, "guitar" is wrong, "Egyptian cat" is another cat and wrong too."""
    tabby, zebra, cat, guitar, egyptian = "n02123045", "n02391049", "n02121808", "n03467517", "n02124075"
    picture = Composite("two", Image.new("RGB", (8, 4)), ((tabby, Box(0, 0, 4, 4)), (zebra, Box(4, 0, 4, 4))))
    counts, taxonomy = Counts(), default_taxonomy()
    measured(counts, taxonomy, picture, [region(cat, 0, 0, 4, 4), region(guitar, 4, 0, 4, 4)], 2, 0.5)
    assert (counts.photos, counts.found, counts.exact, counts.wrong, counts.overlap) == (2, 1, 0, 1, 1.0)
    measured(counts, taxonomy, picture, [region(zebra, 4, 0, 2, 4), region(egyptian, 0, 0, 4, 4)], 2, 0.5)
    assert (counts.photos, counts.found, counts.exact, counts.wrong, counts.overlap) == (4, 2, 1, 2, 1.5)
    assert counts.cells() == ["50", "25", "1.00", "0.75", "2.0", "500"]
