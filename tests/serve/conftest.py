"""A real server on a free port, in this process, with the packaged model read once."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'devise-zsl[serve]'")

import httpx
import uvicorn

from devise.labels import Label
from devise.meaning.senses import ask
from devise.model.labeller import Model, load
from devise.model.parts import DEFAULT_BUNDLE
from devise.search.expression import Expression
from devise.search.results import Filters
from devise.serve.client import Client
from devise.serve.limits import Limits
from devise.serve.own_labels import OwnLabels
from devise.serve.photos import IndexedPhotos, PhotoHit, PhotosFound, open_indexes, open_photos
from devise.serve.server import address, bound, serve
from devise.serve.service import Service


@dataclass
class Served:
    """A running service: where it is, and what it is made of."""

    url: str
    service: Service
    token: str | None = None

    def client(self) -> Client:
        return Client(self.url, token=self.token)

    def http(self, **more: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **more)


class FolderOfThree(IndexedPhotos):
    """A photo index of three pictures whose vectors are those of three labels."""

    NAMES = ("tabby", "zebra", "banjo")

    def __init__(self, model: Model, folder: Path) -> None:
        self._parts = model.parts
        self._folder, self.root = folder, str(folder)
        for name, colour in zip(self.NAMES, [(200, 160, 90), (90, 90, 90), (150, 90, 40)], strict=True):
            Image.new("RGB", (160, 120), colour).save(folder / f"{name}.jpg")
        by_name = {label.name: place for place, label in reversed(list(enumerate(model.labels)))}
        self._vectors = model.parts.space.vectors[[by_name[name] for name in self.NAMES]]

    def __len__(self) -> int:
        return len(self.NAMES)

    def in_language(self, model: Model) -> IndexedPhotos:
        return self

    def passing(self, filters: Filters) -> tuple[Sequence[int], Sequence[str]]:
        return range(len(self)), ()

    def labels_of(self, photos: Sequence[int]) -> Sequence[Label | None]:
        return [None] * len(photos)

    def find(
        self,
        asked: Expression,
        top: int,
        reject: float | str = 0.0,
        check: object = None,
        filters: Filters = Filters(),  # noqa: B008
    ) -> PhotosFound:
        cosines = self._vectors @ ask(self._parts, asked.words[0].name).vector
        order = [int(i) for i in np.argsort(-cosines)][:top]
        return PhotosFound([PhotoHit(i, float(cosines[i])) for i in order], (), len(self))

    def like(self, photo: int, top: int) -> PhotosFound:
        cosines = self._vectors @ self._vectors[photo]
        order = [int(i) for i in np.argsort(-cosines) if i != photo][:top]
        return PhotosFound([PhotoHit(i, float(cosines[i])) for i in order], (), len(self))

    def shown_path(self, photo: int) -> str:
        return f"{self.NAMES[photo]}.jpg"

    def path(self, photo: int) -> Path | None:
        return self._folder / f"{self.NAMES[photo]}.jpg" if photo < len(self.NAMES) else None


@contextmanager
def _running(service: Service, *, token: str | None = None, hosts: Sequence[str] = ()) -> Iterator[Served]:
    listening = bound("127.0.0.1", 0)
    servers: list[uvicorn.Server] = []
    thread = threading.Thread(
        target=serve,
        args=(service, listening),
        kwargs={"token": token, "hosts": hosts, "started": servers.append},
        daemon=True,
    )
    thread.start()
    try:
        yield Served(address(listening), service, token)
    finally:
        servers[0].should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


Start = Callable[..., Served]


@pytest.fixture(scope="session")
def model() -> Model:
    if not DEFAULT_BUNDLE.is_dir():
        pytest.skip("the package has no model: build one with python -m tools.default_model")
    loaded = load()
    loaded.backbone()
    return loaded


@pytest.fixture(scope="session")
def photo_index(model: Model, tmp_path_factory: pytest.TempPathFactory) -> IndexedPhotos:
    return FolderOfThree(model, tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="session")
def running() -> Callable[..., AbstractContextManager[Served]]:
    """Runs a service as long as the block lasts."""
    return _running


@pytest.fixture(scope="session")
def served(model: Model, photo_index: IndexedPhotos, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests that leave it as it was."""
    own = OwnLabels(tmp_path_factory.mktemp("own") / "labels.sqlite", 1000)
    with _running(Service(model, own, {"three": photo_index})) as found:
        yield found


@pytest.fixture(scope="session")
def indexed(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with an index that `devise index` made of three photos; "rocket.jpg" was removed since."""
    pytest.importorskip("pyarrow", reason="the index is an extra: pip install 'devise-zsl[search]'")
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photos")
    from devise.search.photoindex import index_photos

    folder = tmp_path_factory.mktemp("indexed")
    (folder / "photos").mkdir()
    for name in ("chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).save(folder / "photos" / f"{name}.jpg")
    index_photos(model, [folder / "photos"], folder / "index")
    (folder / "photos" / "rocket.jpg").unlink()
    own = OwnLabels(folder / "labels.sqlite", 1000)
    with _running(Service(model, own, {"index": open_photos(folder / "index", model)})) as found:
        yield found


TAKEN = {"cats/chelsea.jpg": "2023:05:01 10:00:00", "cups/coffee.jpg": "2024:06:01 10:00:00"}


@pytest.fixture(scope="session")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/cats/chelsea.jpg of 2023 and photos/cups/coffee.jpg of 2024, the index `all` of both and `cups` of one."""
    pytest.importorskip("pyarrow", reason="the index is an extra: pip install 'devise-zsl[search]'")
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photos")
    from devise.search.photoindex import index_photos

    place = tmp_path_factory.mktemp("collection")
    for name, taken in TAKEN.items():
        photo = place / "photos" / name
        photo.parent.mkdir(parents=True)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[36867] = taken
        Image.fromarray(getattr(data, photo.stem)()).save(photo, exif=exif)
    index_photos(model, [place / "photos"], place / "all")
    index_photos(model, [place / "photos" / "cups"], place / "cups")
    return place


@pytest.fixture(scope="session")
def collection(model: Model, folder: Path) -> Iterator[Served]:
    """A service with two indexes and three languages that keeps corrections."""
    pytest.importorskip("lxml", reason="sidecars are an extra: pip install 'devise-zsl[photos]'")
    languages = {"en": model, "fr": model.in_language("fr"), "ar": model.in_language("ar")}
    indexes = open_indexes([folder / "all", folder / "cups"], model)
    service = Service(model, OwnLabels(None, 9), indexes, languages=languages, corrections=True)
    with _running(service) as found:
        yield found


@pytest.fixture
def photos_corrected(folder: Path) -> Iterator[Path]:
    """The photos of the collection, whose sidecars are removed after the test."""
    yield folder / "photos"
    for one in (folder / "photos").rglob("*.xmp"):
        one.unlink()


@pytest.fixture
def start(model: Model, tmp_path: Path) -> Iterator[Start]:
    """Starts services of one's own: limits, a token, no photos."""
    stack: list[object] = []

    def begin(limits: Limits | None = None, **more: object) -> Served:
        limits = limits or Limits()
        path = tmp_path / f"{len(stack)}.sqlite"
        context = _running(Service(model, OwnLabels(path, limits.labels), limits=limits), **more)
        stack.append(context)
        return context.__enter__()

    yield begin
    for context in stack:
        context.__exit__(None, None, None)


CHROMIUM = os.environ.get("DEVISE_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Debian's chromium (`make chromium`), driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: make chromium installs it")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@contextmanager
def _opened(browser, url: str) -> Iterator[object]:
    """A page at this address; a fault in a script or a broken rule of the policy fails the test."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(120_000)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security" in line.text else None)
        page.goto(url)
        yield page
        assert not faults


@pytest.fixture(scope="session")
def opened() -> Callable[..., AbstractContextManager[object]]:
    """Opens a page of a service, as long as the block lasts."""
    return _opened


@pytest.fixture
def page(browser, served) -> Iterator[object]:
    """The page of the session's service."""
    with _opened(browser, served.url) as found:
        yield found


@pytest.fixture
def page_of_index(browser, indexed) -> Iterator[object]:
    """The page of the service with an index that `devise index` made."""
    with _opened(browser, indexed.url) as found:
        yield found


def jpeg(seed: int = 7, size: tuple[int, int] = (320, 240)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A picture with something in it, the same each time."""
    return jpeg()


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    return [jpeg(seed) for seed in range(12)]
