"""The hostile inputs of the soak are what they are called, and a short soak ends well."""

import socket
import threading
from io import BytesIO

import pytest
from PIL import Image

from bench import soak
from bench.hostile import hostile_pictures, post_slowly, sixteen_bit_png
from devise.errors import PictureError
from devise.vision.decoding import read_picture
from devise.vision.limits import PictureLimits

REASONS = {
    "no picture": "not a picture",
    "progressive JPEG, 400 more scans": "scans, over the limit",
    "JPEG of fill bytes": "not a photo: over 65,536 bytes",
    "16-bit PNG, cut off": "cut off or damaged",
    "AVIF": "over the limit of",
    "JPEG 2000": "over the limit of",  # of 49 megapixels it is read at a smaller scale
}


def test_each_hostile_picture_is_refused_for_what_it_is_called_or_read():
    side = 280  # as near to the limit as 49 megapixels are to 50
    limits = PictureLimits.of(side * side * 50 // 49)
    for name, data in hostile_pictures(side).items():
        if name in REASONS:
            with pytest.raises(PictureError, match=REASONS[name]):
                read_picture(data, min_side=224, limits=limits)
        else:
            assert min(read_picture(data, min_side=224, limits=limits).shape[:2]) >= 224, name


def test_the_sixteen_bit_png_is_one():
    data = sixteen_bit_png(20)
    assert data[24:26] == b"\x10\x02"  # depth, colours
    with Image.open(BytesIO(data)) as image:
        image.load()
        assert image.size == (20, 20)


def test_an_answer_ends_a_slow_body():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert post_slowly(url, "PUT /v1/labels", bytes(10**9), 1, 30) == 408
        thread.join()


@pytest.mark.slow
def test_a_short_soak(capsys: pytest.CaptureFixture[str]):
    code = soak.main(["--minutes", "0.2", "--clients", "8", "--side", "1000"])
    out = capsys.readouterr().out
    assert code == 0, out
    assert "| label a photo | 200: " in out
    assert "FAULT" not in out
