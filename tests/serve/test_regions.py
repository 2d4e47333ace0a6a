"""`regions` over HTTP and on the page: the answer is the model's."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from devise.errors import UsageError
from devise.model.labeller import Model


@pytest.fixture(scope="module")
def pair() -> bytes:
    """A cat on the left, a cup of coffee on the right."""
    data = pytest.importorskip("skimage.data")
    page = Image.new("RGB", (800, 400))
    for x, photo in ((0, data.chelsea()), (400, data.coffee())):
        page.paste(ImageOps.fit(Image.fromarray(photo), (400, 400)), (x, 0))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def test_regions_are_the_models(served, model: Model, pair: bytes):
    with served.client() as client:
        softmax, fused = client.label(pair, methods=["softmax", "fused"], regions=True).answers
        (without,) = client.label(pair).answers
    assert without.regions is None
    assert softmax.regions is None
    wanted = model.label(pair, regions=True).regions
    assert wanted is not None
    assert fused.regions is not None
    assert (fused.regions.width, fused.regions.height) == (800, 400)
    assert [(one.id, one.x, one.y, one.width, one.height) for one in fused.regions.found] == [
        (one.name.id, one.box.x, one.box.y, one.box.width, one.box.height) for one in wanted.found
    ]
    assert [one.share for one in fused.regions.found] == pytest.approx([one.name.share for one in wanted.found])


def test_a_picture_too_small_says_why(served):
    buffer = BytesIO()
    Image.new("RGB", (90, 80)).save(buffer, "PNG")
    with served.client() as client:
        answer = client.label(buffer.getvalue(), regions=True)
    assert answer.notes == ["no regions: 90 x 80 pixels are too small, the short side needs 130"]
    assert answer.answers[0].regions is not None
    assert answer.answers[0].regions.found == []


def test_regions_of_other_methods_are_refused(served, pair: bytes):
    with served.client() as client, pytest.raises(UsageError, match="regions need the method fused"):
        client.label(pair, methods=["conse"], regions=True)


def test_the_page_draws_boxes_and_takes_them_away(page, pair: bytes, model: Model, tmp_path: Path):
    (tmp_path / "pair.png").write_bytes(pair)
    page.check("#regions")
    page.set_input_files("#file", tmp_path / "pair.png")
    page.wait_for_selector("#boxes rect")
    wanted = model.label(pair, regions=True).regions
    assert wanted is not None
    assert page.locator("#boxes").get_attribute("viewBox") == "0 0 800 400"
    assert page.locator("#boxes text").all_text_contents() == [one.name.name for one in wanted.found]
    drawn, photo = page.locator("#boxes").bounding_box(), page.locator("#preview").bounding_box()
    assert drawn == pytest.approx(photo, abs=1)
    page.uncheck("#regions")
    page.wait_for_selector("#boxes rect", state="detached")
