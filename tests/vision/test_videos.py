"""Frames of videos: which ones, how they stand, and what is said of files that are none."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from videofiles import STEP, ramp, turned, write_sound, write_video

from devise.arrays import Pixels
from devise.errors import PictureError
from devise.vision import decoder_process, videos
from devise.vision.decoder_process import Decoder
from devise.vision.decoding import data_uri, thumbnail
from devise.vision.folders import Found
from devise.vision.limits import PictureLimits
from devise.vision.pipeline import extract
from devise.vision.preprocessing import Preprocessing
from devise.vision.videos import read_frames

pytest.importorskip("av", reason="needs PyAV (the extra video)")

LIMITS = PictureLimits()
SMALL = Preprocessing(20, 16, "bicubic", (127.0,) * 3, (128.0,) * 3)


def frames_of(path: Path, count: int = 5, *, min_side: int = 64, limits: PictureLimits = LIMITS) -> list[Pixels]:
    return list(read_frames(path, count, min_side=min_side, limits=limits))


def places(frames: list[Pixels]) -> list[float]:
    """The number of each frame, by its colour in the middle of the right side."""
    return [float(frame[frame.shape[0] // 4 * 3, -8:, 0].mean()) / STEP for frame in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.M4V", "a.3gp"])
@pytest.mark.parametrize("every", [1, 12, 600])
def test_frames_are_in_the_middles_of_equal_spans(name: str, every: int, tmp_path: Path):
    """Of 60 frames and five spans of 12, the middles are 6, 18 and so on; a key frame up to 3 before one will do."""
    found = places(frames_of(write_video(tmp_path / name, ramp(60), every=every)))
    assert [0 <= wanted - place + 1 <= 5 for wanted, place in zip((6, 18, 30, 42, 54), found, strict=True)] == [
        True
    ] * 5


def test_a_long_video_is_not_decoded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded = 0

    def counted(frames: Any, most: int) -> Any:
        nonlocal decoded
        for frame, _ in zip(frames, range(most), strict=False):
            decoded += 1
            yield frame

    monkeypatch.setattr(videos, "islice", counted)
    path = write_video(tmp_path / "a.mp4", ramp(60) * 20, every=20)
    assert len(frames_of(path, 3)) == 3
    assert decoded <= 3 * 20


@pytest.mark.parametrize("count", [1, 2])
def test_a_video_of_a_frame_or_two_gives_them_again(count: int, tmp_path: Path):
    assert [round(place) in range(count) for place in places(frames_of(write_video(tmp_path / "a.mp4", ramp(count))))]


def test_a_frame_is_upright_and_scaled_with_square_pixels(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", ramp(5, (96, 64)))
    (plain,) = frames_of(path, 1, min_side=32)
    assert (plain.shape, plain[4, 4].min() > 240, plain[4, -4].min() < 100) == ((32, 48, 3), True, True)
    path.write_bytes(turned(path.read_bytes()))
    (upright,) = frames_of(path, 1, min_side=32)
    assert (upright.shape, upright[4, -4].min() > 240, upright[4, 4].min() < 100) == ((48, 32, 3), True, True)
    (wide,) = frames_of(write_video(tmp_path / "b.mp4", ramp(5, (96, 64)), aspect=2), 1, min_side=32)
    assert wide.shape == (32, 96, 3)


def test_what_cannot_be_read_has_a_reason(tmp_path: Path):
    noise = np.random.default_rng(1).integers(0, 256, (40, 64, 96, 3), dtype=np.uint8)
    whole = {name: write_video(tmp_path / f"a.{name}", [*noise]).read_bytes() for name in ("mp4", "mkv", "avi", "mov")}
    cases = {
        "cut.mp4": (whole["mp4"][: len(whole["mp4"]) * 19 // 20], "cut off or damaged: the file ends before its last"),
        "cut.avi": (whole["avi"][: len(whole["avi"]) // 2], "cut off or damaged: the file ends before its last"),
        "cut.mkv": (whole["mkv"][: len(whole["mkv"]) // 2], "cut off or damaged: no frame at 5.6 of 8.0 seconds"),
        "cut.mov": (whole["mov"][: len(whole["mov"]) // 2], "cut off, damaged or not a video"),  # its index is last
        "empty.mp4": (b"", "empty"),
        "text.mp4": (b"no video", "cut off, damaged or not a video"),
        "list.mp4": (f"#EXTM3U\n#EXTINF:3,\n{tmp_path}/a.mp4\n#EXT-X-ENDLIST\n".encode(), "cut off, damaged or not"),
        "chain.mp4": (b"ffconcat version 1.0\nfile a.mp4\n", "cut off, damaged or not a video"),
    }
    for name, (data, why) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PictureError, match=why):
            frames_of(tmp_path / name)
    with pytest.raises(PictureError, match="no pictures in it, only sound"):
        frames_of(write_sound(tmp_path / "sound.mp4"))
    with pytest.raises(PictureError, match=r"96 x 64 pixels, over the limit of 0\.006 megapixels"):
        frames_of(tmp_path / "a.mp4", limits=PictureLimits(6000))
    with pytest.raises(PictureError, match="no such file"):
        frames_of(tmp_path / "none.mp4")
    with pytest.raises(PictureError, match="not a regular file"):
        frames_of(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(PictureError, match="not a regular file"):
            frames_of(tmp_path / "pipe.mp4")


def test_a_name_is_never_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "http:a.mp4", os.fsdecode(b"\xff.mp4"), "a%03d.mp4"):
        assert len(frames_of(write_video(tmp_path / "b.mp4", ramp(5)).rename(name), 2)) == 2


def test_a_process_reads_them_as_this_one_does(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", ramp(30))
    expected = [SMALL.apply(frame) for frame in frames_of(path, 3, min_side=SMALL.decode_side)]
    decoder = Decoder(LIMITS, 60)
    try:
        assert (decoder.frames(path, 3, SMALL) == np.stack(expected)).all()
        assert decoder.thumbnail(path, 32) == thumbnail(path, 32)
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(PictureError, match="empty"):
            decoder.frames(tmp_path / "empty.mp4", 3, SMALL)
        assert len(decoder.frames(path, 2, SMALL)) == 2
    finally:
        decoder.close()
    assert data_uri(path, 32).startswith("data:image/jpeg;base64,/9j/")


def test_a_video_that_takes_too_long_is_refused(tmp_path: Path):
    decoder = Decoder(LIMITS, 0.0)
    try:
        with pytest.raises((PictureError, TimeoutError)):
            decoder.frames(write_video(tmp_path / "a.mp4", ramp(60) * 20, every=600), 50, SMALL)
    finally:
        decoder.close()


def test_the_features_of_a_video_are_the_mean_of_its_frames(tmp_path: Path, mean_colour: Any):
    path, picture = write_video(tmp_path / "a.mp4", ramp(60)), np.full((20, 20, 3), 9, np.uint8)
    (tmp_path / "b.mp4").touch()
    sources = [Found(path, frames=5), picture, Found(tmp_path / "b.mp4", frames=5), Found(path, frames=1)]
    many, photo, broken, one = extract(sources, mean_colour)
    how = mean_colour.preprocessing
    each = [mean_colour.features(how.apply(frame)[None])[0] for frame in frames_of(path, min_side=how.decode_side)]
    assert many.features is not None
    assert one.features is not None
    np.testing.assert_allclose(many.features, np.mean(each, axis=0), rtol=1e-6)
    assert (photo.problem, broken.problem) == (None, "empty")
    (middle,) = frames_of(path, 1, min_side=how.decode_side)
    np.testing.assert_allclose(one.features, mean_colour.features(how.apply(middle)[None])[0], rtol=1e-6)


def test_a_crash_of_the_decoder_loses_one_video(tmp_path: Path, mean_colour: Any, monkeypatch: pytest.MonkeyPatch):
    exchange = decoder_process._exchange

    def crashing(process: Any, asked: Any, data: bytes) -> tuple[bool, bytes]:
        if asked["path"].endswith("b.mp4"):
            process.kill()
            process.wait()
        return exchange(process, asked, data)

    monkeypatch.setattr(decoder_process, "_exchange", crashing)
    paths = [write_video(tmp_path / f"{name}.mp4", ramp(10)) for name in "abc"]
    found = list(extract([Found(path, frames=2) for path in paths], mean_colour, workers=1))
    why = "cannot be decoded (the decoder crashed): save it again"
    assert [one.problem for one in found] == [None, why, None]


def test_a_cover_is_no_video(tmp_path: Path):
    """The picture in the tags of a sound file is a stream of pictures for FFmpeg."""
    from av.stream import Disposition

    path = tmp_path / "song.mp4"
    import av

    Image.new("RGB", (32, 32)).save(tmp_path / "cover.png")
    with av.open(str(tmp_path / "cover.png")) as cover, av.open(str(path), "w") as video:
        sound: Any = video.add_stream("aac", rate=44100, layout="mono")
        stream: Any = video.add_stream_from_template(cover.streams.video[0])
        stream.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        video.mux(sound.encode(frame))
        video.mux(sound.encode())
        for packet in cover.demux():
            if packet.size:
                packet.stream = stream
                video.mux(packet)
    with pytest.raises(PictureError, match="no pictures in it, only sound"):
        frames_of(path)
