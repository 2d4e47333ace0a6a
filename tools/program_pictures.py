"""Pictures of other programs: the grid of devise search in kitty, and a sidecar of devise label --xmp in digiKam.

It writes docs/pictures/terminal-grid.jpg and digikam.jpg. The photos are those of scikit-image and scikit-learn. Other
programs that read the sidecars are asked too, and what they found is printed: exiftool, exiv2 and darktable.
As root: apt-get install xvfb xdotool imagemagick kitty digikam sqlite3 dbus darktable libimage-exiftool-perl exiv2
"""

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import parser
from tools.readme_pictures import photos as samples

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
DISPLAY = ":87"
SCREEN = (1280, 800)
SEARCHES = ("vehicle", "building")
NAMED = ("camera.png", "chelsea.png", "coffee.png")  # with a sure name
DEVISE = [sys.executable, "-m", "devise"]
LONG = 120.0  # seconds after which a program that does not answer is given up

# Where digiKam 7.9 has them, in a window of this size at the corner of the screen.
DIGIKAM = (1120, 640)
CLICKS = {"album": (105, 120), "captions": (1105, 330), "tags": (900, 77), "albums": (12, 90), "assigned": (1042, 524)}
PHOTO, WIDEST = (270, 200), (880, 220)
SETTINGS = """[General Settings]
Version=7.9.0

[Album Settings]
Show Splash=false

[Database Settings]
Database Type=QSQLITE
Database Name={0}/
Database Name Thumbnails={0}/
Database Name Face={0}/
Database Name Similarity={0}/

[Metadata Settings]
Use XMP Sidecar For Reading=true
"""


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until this holds; end with a line if it does not."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > LONG:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.3)


@contextmanager
def running(*command: str, **environment: str) -> Iterator[None]:
    """Run a program with its children, which are killed at the end."""
    process = subprocess.Popen(
        command,
        env={**os.environ, "DISPLAY": DISPLAY, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shell(*command: str) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, env={**os.environ, "DISPLAY": DISPLAY}, capture_output=True, text=True, check=False)
    return done.stdout


def screenshot(name: str, size: tuple[int, int]) -> None:
    """Write the upper left corner of the screen as a JPEG."""
    shell("import", "-window", "root", "-crop", f"{size[0]}x{size[1]}+0+0", "-quality", "80", str(PICTURES / name))


def press(place: tuple[int, int], *keys: str) -> None:
    """Click, press keys, and give the program time to draw."""
    shell(
        "xdotool",
        "mousemove",
        str(place[0]),
        str(place[1]),
        "click",
        "1",
        *(part for key in keys for part in ("key", key)),
    )
    time.sleep(1.5)


def terminal(folder: Path, scratch: Path) -> None:
    """Two searches with --grid in kitty."""
    subprocess.run([*DEVISE, "index", str(folder), "--out", str(scratch / "my-index")], check=True)
    lines = ["cd " + shlex.quote(str(scratch))]
    for words in SEARCHES:
        lines.append("echo '$ devise search my-index " + shlex.quote(words).replace("'", '"') + " --grid'")
        lines.append(shlex.join([*DEVISE, "search", "my-index", words, "--grid", "--top", "3", "--quiet"]))
    (scratch / "show.sh").write_text("\n".join([*lines, "touch shown", "sleep 600"]))
    size = (760, 680)
    options = ("initial_window_width=760", "initial_window_height=680", "remember_window_size=no", "font_size=10")
    command = ["kitty", "--config", "NONE", *(part for one in options for part in ("-o", one)), "bash", "show.sh"]
    with running(*command[:-1], str(scratch / "show.sh"), LIBGL_ALWAYS_SOFTWARE="1"):
        until("the grid in kitty", (scratch / "shown").exists)
        time.sleep(2)
        screenshot("terminal-grid.jpg", size)


def digikam(folder: Path, scratch: Path) -> None:
    """The tags that digiKam reads from the sidecars; it makes its database first, then it gets the folder."""
    base, home = scratch / "digikam", scratch / "home"
    (home / ".config").mkdir(parents=True)
    base.mkdir()
    (home / ".config" / "digikamrc").write_text(SETTINGS.format(base))
    command = ["dbus-run-session", "digikam", "--database-directory", str(base)]
    options = {"HOME": str(home), "QTWEBENGINE_DISABLE_SANDBOX": "1", "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox"}

    def asked(query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(base / "digikam4.db", timeout=30)) as database:
            try:
                found = database.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []
            database.commit()
            return found

    with running(*command, **options):
        until("digiKam's database", lambda: asked("SELECT name FROM sqlite_master WHERE name = 'ImageTagProperties'"))
        time.sleep(5)
    asked(
        "INSERT INTO AlbumRoots (label, status, type, identifier, specificPath) "
        f"VALUES ('photos', 0, 1, 'volumeid:?path={folder}', '/')"
    )
    with running(*command, **options):
        tags = "SELECT name, Tags.name FROM ImageTags JOIN Images ON imageid = Images.id JOIN Tags ON tagid = Tags.id"
        tags = tags.replace("SELECT name", "SELECT Images.name")
        until("the tags in digiKam", lambda: len(asked(tags)) >= len(NAMED))
        print(shell("digikam", "--version").strip() or "digikam", asked(tags))
        until("digiKam's window", lambda: shell("xdotool", "search", "--name", "Download required files"))
        time.sleep(3)
        shell("xdotool", "key", "--window", shell("xdotool", "search", "--name", "Download required").strip(), "Escape")
        time.sleep(2)
        window = main_window()
        shell("xdotool", "windowmove", window, "0", "0", "windowsize", window, *map(str, DIGIKAM))
        time.sleep(2)
        for name in ("album", "captions", "tags", "albums"):
            press(CLICKS[name])
        press(PHOTO)
        press(CLICKS["assigned"])
        press(WIDEST, "asterisk")
        screenshot("digikam.jpg", DIGIKAM)


def main_window() -> str:
    """Return the number of digiKam's main window: the largest one that has just its name."""
    sizes = {}
    for one in shell("xdotool", "search", "--class", "digikam").split():
        if shell("xdotool", "getwindowname", one).strip() == "digiKam":
            size = shell("xdotool", "getwindowgeometry", one).split()[-1]
            width, height = size.split("x")
            sizes[int(width) * int(height)] = one
    return sizes[max(sizes)]


def darktable(folder: Path, scratch: Path) -> None:
    """Print the tags that darktable imports with the photos; it writes the sidecars anew."""
    places = ["--configdir", f"{scratch}/dt", "--cachedir", f"{scratch}/dt", "--library", f"{scratch}/library.db"]
    with running("darktable", *places, "--disable-opencl", str(folder)):
        until("darktable's library", (scratch / "library.db").exists)
        time.sleep(30)
    found: dict[str, list[str]] = {}
    query = (
        "SELECT filename, data.tags.name FROM images JOIN tagged_images ON imgid = images.id "
        "JOIN data.tags ON tagid = data.tags.id WHERE data.tags.name NOT LIKE 'darktable|%'"
    )
    with closing(sqlite3.connect(scratch / "library.db")) as database:
        database.execute("ATTACH ? AS data", (f"{scratch}/dt/data.db",))
        for name, tag in database.execute(query):
            found.setdefault(name, []).append(tag)
    print("darktable", json.dumps(found))


def main() -> None:
    """Take the pictures, and print what other programs read."""
    parser("program_pictures", __doc__).parse_args()
    with TemporaryDirectory() as name, ExitStack() as stack:
        scratch, folder, named = Path(name), Path(name) / "photos", Path(name) / "named"
        for target, chosen in ((folder, None), (named, NAMED)):
            target.mkdir()
            for photo in samples():
                if chosen is None or photo.name in chosen:
                    shutil.copyfile(photo, target / photo.name)
        subprocess.run([*DEVISE, "label", str(named), "--xmp"], check=True)
        stack.enter_context(running("Xvfb", DISPLAY, "-screen", "0", f"{SCREEN[0]}x1024x24"))
        time.sleep(2)
        terminal(folder, scratch)
        digikam(named, scratch)
        sidecar = str(named / "coffee.png.xmp")
        print("exiftool", shell("exiftool", "-s", "-Subject", "-TagsList", sidecar))
        print("exiv2", shell("exiv2", "-PXkt", sidecar))
        darktable(named, scratch)
        for command in (["label", "--xmp"], ["unlabel"]):
            subprocess.run([*DEVISE, *command, str(named)], check=True)
        print("exiftool", shell("exiftool", "-s", "-Subject", "-TagsList", "-XMPToolkit", sidecar))


if __name__ == "__main__":
    main()
