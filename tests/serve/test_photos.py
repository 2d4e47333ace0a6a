"""The index that `devise index` makes, as the service searches it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PhotoIndexError
from devise.labeller.model import Model
from devise.labeller.typed import parse_labels
from devise.serve.photos import PhotoSearch, open_photos

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def index(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from devise.labeller.photoindex import index_photos

    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    for name in ("chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.jpg")
    out = tmp_path_factory.mktemp("index") / "mine"
    index_photos(model, [folder], out)
    (folder / "rocket.jpg").unlink()
    return out


def test_found_by_a_word_and_shown(model: Model, index: Path):
    photos = open_photos(index, model)
    assert isinstance(photos, PhotoSearch)
    assert len(photos) == 3
    found = photos.find(parse_labels("cat")[0], 2)
    assert found.hits[0].name == "chelsea.jpg"
    assert len(found.hits) == 2
    small = photos.thumbnail(found.hits[0].photo)
    assert small is not None
    assert max(Image.open(BytesIO(small)).size) == 320


def test_no_thumbnail_of_a_photo_that_is_gone_or_was_never_there(model: Model, index: Path):
    photos = open_photos(index, model)
    rocket = next(hit.photo for hit in photos.find(parse_labels("rocket")[0], 3).hits if hit.name == "rocket.jpg")
    assert photos.thumbnail(rocket) is None
    assert photos.thumbnail(-1) is None
    assert photos.thumbnail(3) is None


def test_a_folder_that_is_no_index(model: Model, tmp_path: Path):
    with pytest.raises(PhotoIndexError, match=str(np.str_(tmp_path.name))):
        open_photos(tmp_path, model)
