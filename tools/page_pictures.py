"""The pictures of the service's page in docs/service.md, taken in Debian's Chromium.

It writes docs/pictures/page-label.jpg and three more, then page-grid.jpg and page-arabic.jpg (alone with --collection).
The photos are scikit-image's. It needs the extras `serve`, `search`, `photos` and `dev`, and /usr/bin/chromium.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from devise.cli.demo_output import sample_folder
from tools import parser

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ADDRESS, PORT = "http://127.0.0.1", 8917
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
CHROMIUM = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox", "--disable-gpu", "--disable-quic"]}
HOLIDAYS = (
    *("camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "horse.png"),
    *("hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "rocket.jpg"),
)
SHOTS = (("page-label", WIDE, "light"), ("page-dark", WIDE, "dark"), ("page-phone", PHONE, "light"))


@contextmanager
def service(*arguments: str) -> Iterator[str]:
    """The address of a service that answers."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "devise", "serve", "--port", str(PORT), "--labels-db", f"{folder}/own.sqlite"]
        command += arguments
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                try:
                    urlopen(f"{ADDRESS}:{PORT}/readyz").close()
                    break
                except (URLError, ConnectionError):
                    time.sleep(0.2)
            else:
                sys.exit(f"the service ended with {process.returncode}: is port {PORT} free?")
            yield f"{ADDRESS}:{PORT}/"
        finally:
            process.terminate()
            process.wait()


def labelled(page: Page, address: str, photo: Path) -> None:
    """The page with the answer for a photo."""
    page.goto(address)
    page.set_input_files("input[type=file]:not([webkitdirectory]):not([capture])", str(photo))
    page.get_by_text("Answered in").wait_for()


def collection(folder: Path) -> None:
    """The grid of an index in French, with corrections, and one answer in Arabic."""
    with TemporaryDirectory() as scratch, ExitStack() as stack:
        photos, index = Path(scratch) / "photos", Path(scratch) / "holidays"
        photos.mkdir()
        for name in HOLIDAYS:
            shutil.copyfile(folder / name, photos / name)
        subprocess.run([sys.executable, "-m", "devise", "index", str(photos), "--out", str(index)], check=True)
        options = ["--index", str(index), "--lang", "fr", "--lang", "ar", "--corrections"]
        address = stack.enter_context(service(*options))
        browser = stack.enter_context(sync_playwright()).chromium.launch(**CHROMIUM)  # type: ignore[arg-type]
        page = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
        page.goto(f"{address}#search")
        page.locator("#hits .tile").first.wait_for()
        for key in ("a", "r", "a"):
            page.keyboard.press("ArrowRight")
            page.keyboard.press(key)
            page.locator("#hits li:focus-within [aria-pressed=true]").first.wait_for()
        page.wait_for_timeout(1500)  # the small copies arrive
        page.screenshot(path=PICTURES / "page-grid.jpg", quality=60)
        page.select_option("#lang", "ar")
        labelled(page, address, folder / "chelsea.png")
        page.screenshot(path=PICTURES / "page-arabic.jpg", quality=60)
        browser.close()


def main() -> None:
    """Take all pictures."""
    options = parser("page_pictures", __doc__)
    options.add_argument("--collection", action="store_true", help="only the two of a collection")
    asked = options.parse_args()
    folder = sample_folder()
    if folder is None:
        sys.exit("scikit-image is not installed: pip install scikit-image")
    collection(folder)
    if asked.collection:
        return
    with service() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**CHROMIUM)  # type: ignore[arg-type]
        for name, size, scheme in SHOTS:
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            labelled(page, address, folder / "chelsea.png")
            page.screenshot(path=PICTURES / f"{name}.jpg", quality=85)
        page = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
        page.goto(f"{address}#space")
        page.get_by_text("30,956 labels.").wait_for()
        page.fill("#space-query", "snow leopard")
        page.click("#space-form button.main")
        page.locator("#space-status", has_text="snow leopard").wait_for()
        page.wait_for_timeout(1500)  # the map moves to the label
        page.screenshot(path=PICTURES / "page-space.jpg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()
