"""Pictures and requests that cost a service the most, made here: what SECURITY.md bounds."""

import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import httpx
from PIL import Image

__all__ = ["HOSTILE_REQUESTS", "SIDE", "address", "hostile_pictures", "post_slowly", "sixteen_bit_png"]

SIDE = 7000
"""Pixels of a side: 49 megapixels, just under what the service takes by default."""


def hostile_pictures(side: int = SIDE) -> dict[str, bytes]:
    """Picture files by what is wrong with them; `side` pixels wide and high where their size is what costs."""
    grey = Image.linear_gradient("L").resize((side, side))
    png = sixteen_bit_png(side)
    return {
        "no picture": b"no picture",
        "progressive JPEG, 400 more scans": _with_scans(_encoded(grey, "JPEG", progressive=True), 400),
        "JPEG of fill bytes": _encoded(grey, "JPEG")[:2] + b"\xff" * 2_000_000,
        "16-bit PNG": png,
        "16-bit PNG, cut off": png[: len(png) * 9 // 10],
        "JPEG 2000": _encoded(grey.convert("RGB"), "JPEG2000"),
        "AVIF": _encoded(grey, "AVIF", speed=10),
        "AVIF, a third smaller": _encoded(grey.resize((side * 4 // 5, side * 4 // 5)), "AVIF", speed=10),
    }


def sixteen_bit_png(side: int) -> bytes:
    """A PNG of 16 bits per colour: 6 bytes per pixel, nearly nothing when compressed."""
    pack = zlib.compressobj(1)
    rows = (b"\0" + struct.pack(">H", number % 65536) * 3 * side for number in range(side))
    data = b"".join([*map(pack.compress, rows), pack.flush()])
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, (b"IHDR", b"IDAT", b"IEND"), (head, data, b"")))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _with_scans(jpeg: bytes, more: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * more + jpeg[-2:]


def _huge_labels(url: str) -> int:
    """300 MB for a label of one's own, without a length; the sender may be cut off before it reads the answer."""

    def pieces() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(300):
            yield b"a" * 1_000_000

    return httpx.put(f"{url}/v1/labels", content=pieces(), timeout=60).status_code


def _other_host(url: str) -> int:
    return httpx.get(f"{url}/v1/labels", headers={"host": "[::1].evil"}, timeout=60).status_code


def _trickle(url: str) -> int:
    return post_slowly(url, "PUT /v1/labels", b"x" * 1000, 1, 0.5)


HOSTILE_REQUESTS: dict[str, tuple[Callable[[str], int], tuple[int, ...]]] = {
    "label of 300 MB": (_huge_labels, (413, 429)),
    "body of a byte each half second": (_trickle, (408,)),
    "foreign Host": (_other_host, (400,)),
}
"""By name: what sends one to an address and returns the status, and the statuses that are right."""


def post_slowly(url: str, route: str, body: bytes, piece: int, pause: float) -> int:
    """Send a body in pieces with a pause before each, until it is sent or an answer comes; its status."""
    with socket.create_connection(address(url), timeout=60) as slow:
        slow.sendall(f"{route} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for begin in range(0, len(body), piece):
            if _answered(slow, pause):
                break
            slow.sendall(body[begin : begin + piece])
        slow.settimeout(60)
        return int(slow.recv(100).split()[1])


def _answered(connection: socket.socket, seconds: float) -> bool:
    """Whether something can be read within so many seconds, which are waited for in any case if not."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        return True
    return False


def address(url: str) -> tuple[str, int]:
    """Host and port of `http://HOST:PORT`."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)
