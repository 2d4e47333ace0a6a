"""The index that `devise index` makes, as the service searches it."""

import asyncio
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PhotoIndexError
from devise.model.labeller import Model
from devise.search.expression import parse_expression
from devise.serve.engine import Engine
from devise.serve.limits import Limits
from devise.serve.photos import Thumbnails, open_photos
from devise.serve.problems import ServiceError
from devise.vision.decoder_process import Decoder
from devise.vision.decoding import thumbnail
from devise.vision.preprocessing import Crop, Preprocessing


@pytest.fixture(scope="module")
def index(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyarrow")
    from devise.search.photoindex import index_photos

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
    assert len(photos) == 3
    found = photos.find(parse_expression("cat"), 2, 0.0, lambda: None)
    assert photos.shown_path(found.hits[0].photo) == "chelsea.jpg"
    assert len(found.hits) == 2
    path = photos.path(found.hits[0].photo)
    assert path is not None
    assert path.name == "chelsea.jpg"
    assert photos.path(-1) is None
    assert photos.path(3) is None


class Here(Decoder):
    """A reader in this process that counts."""

    def __init__(self) -> None:
        self.made = 0

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def crop(self, data: bytes, preprocessing: Preprocessing) -> Crop:
        raise AssertionError

    def thumbnail(self, path: Path, side: int) -> bytes:
        self.made += 1
        return thumbnail(path, side)


def asked(thumbnails: Thumbnails, *paths: Path) -> list[bytes | None]:
    """All at once."""

    async def work() -> list[bytes | None]:
        return list(await asyncio.gather(*(thumbnails.of(path) for path in paths)))

    return asyncio.run(work())


@pytest.fixture
def reader() -> Here:
    return Here()


@pytest.fixture
def engine(reader: Here) -> Iterator[Engine]:
    made = Engine(None, Limits(queue=3), workers=1, reader=lambda: reader)  # type: ignore[arg-type]
    yield made
    made.close()


def test_a_thumbnail_is_made_once_for_all_who_ask(tmp_path: Path, engine: Engine, reader: Here):
    for name in "ab":
        Image.new("RGB", (640, 480), "teal").save(tmp_path / f"{name}.png")
    thumbnails = Thumbnails(engine, 20)
    found = asked(thumbnails, *[tmp_path / "a.png", tmp_path / "b.png"] * 20)
    assert len(found) == 40
    assert {Image.open(BytesIO(small)).size for small in found if small is not None} == {(320, 240)}
    assert asked(thumbnails, tmp_path / "a.png") == [found[0]]
    assert reader.made == 2


def test_no_thumbnail_of_a_photo_that_is_gone_changed_or_broken(tmp_path: Path, engine: Engine, reader: Here):
    path = tmp_path / "a.png"
    Image.new("RGB", (640, 480), "teal").save(path)
    thumbnails = Thumbnails(engine, 20)
    (first,) = asked(thumbnails, path)
    Image.new("RGB", (64, 480), "navy").save(path)
    (second,) = asked(thumbnails, path)
    assert first is not None
    assert second is not None
    assert Image.open(BytesIO(second)).size == (43, 320)
    path.write_bytes(b"no picture")
    assert asked(thumbnails, path, path) == [None, None]
    path.unlink()
    assert asked(thumbnails, path, Path("a\0b")) == [None, None]


def test_kept_thumbnails_are_bounded(tmp_path: Path, engine: Engine, reader: Here):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        Image.new("RGB", (64, 48), (40 * number, 9, 9)).save(path)
    size = len(thumbnail(paths[0], 320))
    thumbnails = Thumbnails(engine, 20, most=3 * size + 100)
    first = [asked(thumbnails, path)[0] for path in paths]
    assert [asked(thumbnails, path)[0] for path in paths] == first
    assert thumbnails._file is not None
    assert thumbnails._file.seek(0, 2) <= 3 * size + 100


def test_thumbnails_wait_in_the_queue_of_pictures(tmp_path: Path, engine: Engine, reader: Here, monkeypatch):
    opened = threading.Event()
    monkeypatch.setattr(reader, "thumbnail", lambda path, side: opened.wait(20) and b"small")
    for number in range(6):
        (tmp_path / str(number)).touch()

    async def work() -> list[object]:
        thumbnails = Thumbnails(engine, 20)
        waiting = [asyncio.ensure_future(thumbnails.of(tmp_path / str(number))) for number in range(6)]
        await asyncio.sleep(0)
        opened.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(work())
    refused = [one for one in found if isinstance(one, ServiceError)]
    assert refused
    assert {one.status for one in refused} == {429}
    assert set(found) - set(refused) == {b"small"}


def test_a_folder_that_is_no_index(model: Model, tmp_path: Path):
    with pytest.raises(PhotoIndexError, match=str(np.str_(tmp_path.name))):
        open_photos(tmp_path, model)
