"""Regions: several things in a photo, each once, with its box."""

import copy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from devise.errors import UsageError
from devise.model.answers import Hedge, Level, Region
from devise.model.labeller import LabelRequest, Model
from devise.model.regions import merged, sure_regions
from devise.vision.pipeline import Box
from devise.vision.runtime import Placement

PARENTS = {"cat": "animal", "dog": "animal", "animal": "entity", "cup": "entity", "entity": ""}


def above(one: str) -> list[str]:
    return [one, *above(PARENTS[one])] if one else []


def related(one: str, other: str) -> bool:
    return one in above(other) or other in above(one)


def region(name: str, share: float, *box: int, bits: float = 4.0) -> Region:
    level = Level(name, name, share, bits, True)
    return Region(Box(*box), level, (level,))


def told(regions: tuple[Region, ...]) -> list[tuple[str, float, tuple[int, int, int, int]]]:
    return [(r.name.id, r.name.share, (r.box.x, r.box.y, r.box.width, r.box.height)) for r in regions]


def test_boxes_of_one_name_that_overlap_become_one_around_both():
    found = [region("cat", 0.92, 0, 0, 10, 10), region("cat", 0.95, 5, 5, 10, 10)]
    assert told(merged(found, related)) == [("cat", 0.95, (0, 0, 15, 15))]


def test_the_same_thing_twice_stays_two_if_the_boxes_are_apart():
    found = [region("cat", 0.92, 0, 0, 10, 10), region("cat", 0.95, 10, 0, 10, 10)]
    assert told(merged(found, related)) == [("cat", 0.95, (10, 0, 10, 10)), ("cat", 0.92, (0, 0, 10, 10))]


def test_a_wider_name_is_the_same_thing_and_another_kind_is_not():
    found = [region("animal", 0.91, 0, 0, 10, 10), region("cat", 0.93, 5, 0, 10, 10), region("dog", 0.92, 6, 0, 10, 10)]
    assert told(merged(found, related)) == [("cat", 0.93, (0, 0, 15, 10)), ("dog", 0.92, (6, 0, 10, 10))]


def test_a_region_that_grew_reaches_a_further_one():
    found = [
        region("cat", 0.99, 0, 0, 10, 10),
        region("cat", 0.98, 20, 0, 10, 10),
        region("cat", 0.91, 8, 0, 14, 10),
        region("cup", 0.95, 0, 0, 30, 10),
    ]
    assert told(merged(found, related)) == [("cat", 0.99, (0, 0, 30, 10)), ("cup", 0.95, (0, 0, 30, 10))]


BOXES = st.builds(Box, st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12))
REGIONS = st.lists(
    st.builds(
        lambda name, share, box: region(name, share, box.x, box.y, box.width, box.height, bits=len(above(name))),
        st.sampled_from(sorted(PARENTS)),
        st.sampled_from([0.9, 0.95, 1.0]),
        BOXES,
    ),
    max_size=8,
)


@given(REGIONS, st.randoms(use_true_random=False))
def test_no_two_are_the_same_thing_whatever_the_order_and_nothing_is_lost(found: list[Region], random):
    kept = merged(found, related)
    for one, other in combinations(kept, 2):
        assert not (related(one.name.id, other.name.id) and one.box.overlaps(other.box))
    shuffled = list(found)
    random.shuffle(shuffled)
    assert merged(shuffled, related) == kept
    for one in found:
        assert any(one.box.around(box) == box for box in (other.box for other in kept))
    assert {r.name.id for r in kept} <= {r.name.id for r in found}
    assert [r.name.share for r in kept] == sorted((r.name.share for r in kept), reverse=True)
    assert merged(kept, related) == kept


@given(BOXES, BOXES)
def test_boxes_overlap_if_they_have_a_pixel_in_common(one: Box, other: Box):
    pixels = [{(x, y) for x in range(b.x, b.x + b.width) for y in range(b.y, b.y + b.height)} for b in (one, other)]
    assert one.overlaps(other) == other.overlaps(one) == bool(pixels[0] & pixels[1])
    around = one.around(other)
    whole = {
        (x, y) for x in range(around.x, around.x + around.width) for y in range(around.y, around.y + around.height)
    }
    assert pixels[0] | pixels[1] <= whole
    assert around == other.around(one)


def test_parts_without_a_name_or_with_one_that_says_nothing_are_left_out():
    cat, entity = Level("cat", "cat", 0.95, 4.0, True), Level("entity", "entity", 1.0, 0.0, False)
    deeper = Level("tabby", "tabby", 0.5, 5.0, True)
    boxes = [Box(0, 0, 5, 5), Box(10, 0, 5, 5), Box(20, 0, 5, 5), Box(30, 0, 5, 5)]
    hedges = [
        None,
        Hedge(0.9, None, (), ()),
        Hedge(0.9, entity, (), (entity, cat)),
        Hedge(0.9, cat, (), (entity, cat, deeper)),
    ]
    assert sure_regions(boxes, hedges, related) == (Region(boxes[3], cat, (entity, cat)),)


def test_only_the_fused_scorer_alone_names_regions():
    with pytest.raises(UsageError, match="regions need the method fused, got conse"):
        LabelRequest(method="conse", regions=True)
    with pytest.raises(UsageError, match="regions are parts of one photo, but context uses the other photos"):
        LabelRequest(context=True, regions=True)


@pytest.mark.parametrize("place", [Placement("cuda", "f32"), Placement("cpu", "bf16")])
def test_another_device_is_refused_rather_than_left_aside(packaged: Model, place: Placement):
    parts = copy.copy(packaged.parts)
    parts.place = place
    with pytest.raises(UsageError, match="regions are named on the CPU in float32: leave out --device and --precision"):
        parts.feature_maps()


@pytest.fixture(scope="module")
def cat_and_coffee() -> Image.Image:
    """A cat on the left, a cup of coffee on the right, 400 x 400 pixels each."""
    data = pytest.importorskip("skimage.data")
    page = Image.new("RGB", (800, 400))
    for x, photo in ((0, data.chelsea()), (400, data.coffee())):
        page.paste(ImageOps.fit(Image.fromarray(photo), (400, 400)), (x, 0))
    return page


def overlap(one: Box, other: Box) -> float:
    pixels = np.zeros((2, 400, 800), bool)
    for plane, box in zip(pixels, (one, other), strict=True):
        plane[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return float(pixels.all(axis=0).sum() / pixels.any(axis=0).sum())


def test_two_photos_side_by_side_are_two_things_where_they_are(packaged: Model, cat_and_coffee: Image.Image):
    answer = packaged.label(cat_and_coffee, regions=True)
    assert answer.regions is not None
    assert (answer.regions.width, answer.regions.height) == (800, 400)
    found = {one.name.name: one for one in answer.regions.found}
    assert set(found) == {"espresso", "animal"}
    assert overlap(found["animal"].box, Box(0, 0, 400, 400)) > 0.7
    assert overlap(found["espresso"].box, Box(400, 0, 400, 400)) > 0.7
    assert all(one.name.share >= 0.7 and one.way[-1] == one.name for one in found.values())


def test_the_photo_itself_gets_the_names_that_it_has_without_regions(packaged: Model, cat_and_coffee: Image.Image):
    with_regions = packaged.label(cat_and_coffee, sure=0.7, regions=True)
    without = packaged.label(cat_and_coffee, sure=0.7)
    assert (with_regions.guesses, with_regions.hedge) == (without.guesses, without.hedge)
    assert without.regions is None


def test_boxes_are_in_pixels_of_the_upright_photo(packaged: Model, cat_and_coffee: Image.Image, tmp_path: Path):
    """Whatever the scale a JPEG is decoded at, and whichever way it is stored."""
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left
    large = cat_and_coffee.resize((3200, 1600)).transpose(Image.Transpose.ROTATE_90)
    large.save(tmp_path / "turned.jpg", exif=exif)
    regions = packaged.label(tmp_path / "turned.jpg", regions=True).regions
    assert regions is not None
    assert (regions.width, regions.height) == (3200, 1600)
    found = {one.name.name: one.box for one in regions.found}
    box = found["espresso"]
    assert overlap(Box(box.x // 4, box.y // 4, box.width // 4, box.height // 4), Box(400, 0, 400, 400)) > 0.7


def test_own_labels_and_kinds_compete_in_parts_too(packaged: Model, cat_and_coffee: Image.Image):
    answer = packaged.label(cat_and_coffee, labels="cat, beverage, car", candidates="typed", regions=True)
    assert answer.regions is not None
    assert {one.name.name for one in answer.regions.found} == {"cat", "beverage"}


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((640, 100), "no regions: 640 x 100 pixels are too small, the short side needs 130"),
        ((150, 700), "no regions: 150 x 700 pixels are more than 4 times as long as wide"),
    ],
)
def test_a_photo_of_odd_size_is_named_as_a_whole_and_says_why(packaged: Model, size: tuple[int, int], why: str):
    answer = packaged.label(Image.new("RGB", size, "teal"), regions=True)
    assert answer.note == why
    assert answer.guesses
    assert answer.regions is not None
    assert answer.regions.found == ()


def test_a_network_without_a_map_is_refused_before_a_picture_is_read(small: Model, monkeypatch: pytest.MonkeyPatch):
    from devise.vision import regions

    def unfit(network: object) -> object:
        raise regions._unfit()

    monkeypatch.setattr(regions, "_map_of", unfit)
    monkeypatch.setattr(small, "_feature_maps", None)
    with pytest.raises(UsageError, match="regions need a convolutional network"):
        small.run(LabelRequest(regions=True))


def test_the_parts_of_a_picture_see_their_own_colours(small: Model):
    """The features of the small model are half the mean colour in parts, and it has four cells a side."""
    red, blue = (np.full((32, 16, 3), colour, np.uint8) for colour in ((250, 10, 10), (10, 10, 250)))
    extracted = next(small.features([np.concatenate([red, blue], axis=1)], regions=True))
    assert extracted.windows is not None
    assert extracted.windows.size == (32, 32)
    by_box = dict(zip(extracted.windows.boxes, extracted.windows.features.tolist(), strict=True))
    assert len(by_box) == 9
    assert by_box[Box(0, 0, 16, 16)] == pytest.approx([(one - 127) / 256 for one in (250, 10, 10)], abs=0.1)
    assert by_box[Box(16, 16, 16, 16)] == pytest.approx([(one - 127) / 256 for one in (10, 10, 250)], abs=0.1)
    assert by_box[Box(8, 8, 16, 16)] == pytest.approx([(one - 127) / 256 for one in (130, 10, 130)], abs=0.1)
    assert next(small.features([red])).windows is None
