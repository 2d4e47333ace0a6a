"""What the Containerfile promises, without a container: another user, no rights, a root that is read only."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'devise-zsl[serve]'")

from devise.serve.client import Client

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
USER = int(re.search(r"^USER (\d+)$", CONTAINERFILE, re.MULTILINE)[1])  # type: ignore[index]
ENTRY = json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", CONTAINERFILE, re.MULTILINE)[1])  # type: ignore[index]
PYTHON = Path("/media", Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve()))
PATHS = f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}"
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
AS_USER += [
    "env",
    "-i",
    "HOME=/mnt",
    "PYTHONDONTWRITEBYTECODE=1",
    "PYTHONHOME=/media",
    "LD_LIBRARY_PATH=/media/lib",
    f"PYTHONPATH={PATHS}",
    str(PYTHON),
]
ALONE = """set -e
mount --bind "$1" /mnt
mount --bind "$2" /media
mount -o remount,ro,bind /
mount -o remount,ro,bind /media
shift 2
exec "$@"
"""  # /mnt stands for /data; /media for Python, which may live where only root can read


def unshared(data: Path, *arguments: str) -> list[str]:
    namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ALONE, "sh", str(data), sys.base_prefix]
    return [*namespace, *AS_USER, *arguments]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume; skips where no such process can be made."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("only root may put a process on a root that is read only")
    volume = tmp_path / "data"
    volume.mkdir()
    os.chown(volume, USER, USER)
    if subprocess.run(
        unshared(volume, "-c", "import devise"), check=False, capture_output=True, timeout=120
    ).returncode:
        pytest.skip("no process of another user on a root that is read only can be made here, or it cannot read devise")
    return volume


@pytest.fixture
def service(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    assert ENTRY[:2] == ["devise", "serve"]
    entry = [word.replace("/data/", "/mnt/") for word in ENTRY[1:]]
    process = subprocess.Popen(
        unshared(data, "-m", "devise", *entry, "--open", "--port", "0"), stderr=subprocess.PIPE, text=True
    )
    told = ""
    assert process.stderr is not None
    for line in process.stderr:
        told += line
        if found := re.search(r"serving at http://[^\s]+:(\d+)", line):
            break
    else:
        raise AssertionError(told)
    yield process, f"http://127.0.0.1:{found[1]}"
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=60)


def test_it_serves_as_another_user_with_nothing_writable_but_its_volume(service, data: Path, photo: bytes):
    process, url = service
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    mounts = [line.split() for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()]
    assert {fields[4]: fields[5].split(",")[0] for fields in mounts if fields[4] in ("/", "/mnt")} == {
        "/": "ro",
        "/mnt": "rw",
    }
    with Client(url) as client:
        assert client.label(photo, top=1).answers[0].guesses
        client.put_label("zedonk", "offspring of a zebra and a donkey")
        assert [one.name for one in client.find_labels().own] == ["zedonk"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    kept = [path for path in data.rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["labels.sqlite"]
    assert kept[0].stat().st_uid == USER
