"""Videos made by PyAV: each frame has a colour that tells its place, and a white corner at its top left."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["STEP", "ramp", "turned", "write_sound", "write_video"]

STEP = 4  # levels of red from one frame to the next


def ramp(count: int, size: tuple[int, int] = (96, 64)) -> list[np.ndarray]:
    """Frames whose red grows by STEP each; the left upper quarter is white."""
    width, height = size
    frames = [np.full((height, width, 3), (STEP * number, 128, 64), np.uint8) for number in range(count)]
    for frame in frames:
        frame[: height // 2, : width // 2] = 255
    return frames


def write_video(path: Path, frames: list[np.ndarray], *, rate: int = 5, every: int = 12, aspect: int = 1) -> Path:
    """Write the frames, with a key frame at least every so many. aspect: width of a pixel, of its height."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as video:
        stream: Any = video.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", every, 8_000_000
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write an MP4 of one second of silence."""
    import av

    with av.open(str(path), "w") as video:
        stream: Any = video.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        video.mux(stream.encode(frame))
        video.mux(stream.encode())
    return path


def turned(data: bytes) -> bytes:
    """Return an MP4 that is shown turned to the right by a quarter, as phones write upright videos."""
    matrix = data.index(b"tkhd") + 44
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    return data[:matrix] + quarter + data[matrix + 36 :]
