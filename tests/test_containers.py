"""XMP packets inside photos: the packet is replaced, every other byte stays, and damage is an error of one line."""

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from devise.containers import find_packet, packet_in, takes_packet, with_packet

ONE = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"a" * 300 + b"</x:xmpmeta>"
OTHER = ONE.replace(b"aaa", b"bb")
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\1\0mdat" + b"\xff\xd8\xff\xe1\0\x10" * 40


def blobs(seed: int, bands: int = 3) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (31, 45, bands), dtype=np.uint8))


def saved(form: str, image: Image.Image | None = None, **how: object) -> bytes:
    file = io.BytesIO()
    (image or blobs(1)).save(file, form, **how)
    return file.getvalue()


def segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + (len(body) + 2).to_bytes(2, "big") + body


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010E], made[0x0112] = "a description", 6
    return made


def big_endian_tiff() -> bytes:
    """Grey, 2 x 1 pixels, one strip behind the head."""
    tags = ((256, 2), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 2))
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    return b"MM\0*" + struct.pack(">I", 10) + b"\x40\xc0" + struct.pack(">H", len(tags)) + entries + b"\0\0\0\0"


def iptc_jpeg() -> bytes:
    plain = saved("JPEG", exif=exif(), icc_profile=b"p" * 400)
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x09\x1c\x02\x19\0\x04bird\0"
    return plain[:2] + segment(0xED, block) + plain[2:]


PHOTOS: dict[str, bytes] = {
    "plain.jpg": saved("JPEG"),
    "progressive.jpg": saved("JPEG", progressive=True),
    "exif, profile and iptc.jpg": iptc_jpeg(),
    "several pictures.jpg": saved("MPO", save_all=True, append_images=[blobs(2)], exif=exif()),
    "motion.jpg": saved("JPEG", exif=exif()) + VIDEO,
    "plain.png": saved("PNG"),
    "animated.png": saved("PNG", save_all=True, append_images=[blobs(2)]),
    "lossy.webp": saved("WEBP"),
    "lossless.webp": saved("WEBP", blobs(3, 4), lossless=True),
    "transparent.webp": saved("WEBP", blobs(3, 4)),
    "exif.webp": saved("WEBP", exif=exif()),
    "animated.webp": saved("WEBP", save_all=True, append_images=[blobs(2)]),
    "plain.tif": saved("TIFF"),
    "packed.tiff": saved("TIFF", compression="tiff_lzw"),
    "pages.tif": saved("TIFF", save_all=True, append_images=[blobs(2)]),
    "large.tif": saved("TIFF", big_tiff=True),
    "big endian.tif": big_endian_tiff(),
}
NAMED = pytest.mark.parametrize("name", PHOTOS)


def frames(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as image:
        return [np.asarray(frame.copy()) for frame in ImageSequence.Iterator(image)]


def seen_by_pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        found = image.info.get("xmp") or image.getexif().get(700) or b""
        return (found if isinstance(found, bytes) else bytes(found)).rstrip(b"\0")


@NAMED
def test_a_packet_is_written_replaced_and_taken_away(name: str):
    photo = PHOTOS[name]
    assert packet_in(photo) is None
    one = with_packet(photo, ONE)
    other = with_packet(one, OTHER)
    assert (packet_in(one), packet_in(other)) == (ONE, OTHER)
    assert seen_by_pillow(other) == OTHER
    assert find_packet(other) == OTHER
    assert with_packet(other, OTHER) == other
    assert with_packet(other, ONE) == one
    assert with_packet(other, None) == photo
    assert with_packet(photo, None) == photo


@NAMED
def test_all_pictures_in_the_file_stay(name: str):
    before, after = PHOTOS[name], with_packet(PHOTOS[name], ONE)
    for one, other in zip(frames(before), frames(after), strict=True):
        np.testing.assert_array_equal(one, other)
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        assert dict(one.getexif()) == {tag: value for tag, value in other.getexif().items() if tag != 700}
        assert one.info.get("icc_profile") == other.info.get("icc_profile")


@NAMED
def test_bytes_behind_the_picture_stay(name: str):
    if not name.endswith(("tif", "tiff")):  # those of a TIFF belong to its file
        after = with_packet(PHOTOS[name] + VIDEO, ONE)
        assert after.endswith(VIDEO)
        assert with_packet(after, None) == PHOTOS[name] + VIDEO


def test_of_a_jpeg_only_a_segment_behind_the_exif_data_is_new():
    photo = PHOTOS["exif, profile and iptc.jpg"]
    photo = photo[:2] + photo[2 + 2 + int.from_bytes(photo[4:6], "big") :]  # without the block before the others
    new = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ONE)
    after = with_packet(photo, ONE)
    at = after.index(new)
    assert after[:at] + after[at + len(new) :] == photo
    assert photo[:at].count(b"Exif\0\0") == 1
    assert photo[at:].startswith(b"\xff\xe2")


def test_a_tiff_does_not_grow_with_every_write():
    photo = one = with_packet(PHOTOS["packed.tiff"], ONE)
    for number in range(5):
        one = with_packet(with_packet(one, ONE + bytes([65 + number])), ONE)
    assert one == photo
    head = len(PHOTOS["packed.tiff"])
    assert photo[8:head] == PHOTOS["packed.tiff"][8:]


def test_a_tiff_that_another_program_wrote_behind_keeps_both():
    photo = with_packet(PHOTOS["plain.tif"], ONE) + b"more!"
    after = with_packet(photo, OTHER)
    assert packet_in(after) == OTHER
    assert after[8 : len(photo)] == photo[8:]
    np.testing.assert_array_equal(frames(after)[0], frames(photo)[0])
    bare = with_packet(after, None)
    assert packet_in(bare) is None
    np.testing.assert_array_equal(frames(bare)[0], frames(photo)[0])


@pytest.mark.parametrize("name", ["plain.tif", "big.tif"])
def test_a_tag_that_another_program_changed_in_place_stays(name: str):
    """As exiv2 does: the value in the last directory is overwritten, and nothing moves."""
    photo = bytearray(with_packet(saved("TIFF", tiffinfo={274: 1}, big_tiff=name == "big.tif"), ONE))
    form, size = ("<HHQQ", 20) if name == "big.tif" else ("<HHII", 12)
    at = photo.rindex(struct.pack(form, 274, 3, 1, 1))
    photo[at : at + size] = struct.pack(form, 274, 3, 1, 6)
    for packet in (OTHER, None):
        after = with_packet(bytes(photo), packet)
        assert packet_in(after) == packet
        with Image.open(io.BytesIO(after)) as image:
            assert image.tag_v2[274] == 6


def test_a_note_that_lies_about_the_length_cuts_nothing():
    photo = PHOTOS["plain.tif"] + struct.pack("<QQ12s", 8, len(PHOTOS["plain.tif"]) - 900, b"devise-xmp-1")
    bare = with_packet(with_packet(photo, ONE), None)
    assert bare[8 : len(photo)] == photo[8:]
    np.testing.assert_array_equal(frames(bare)[0], frames(photo)[0])


@pytest.mark.parametrize(
    "photo",
    [
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 1 << 63) + bytes(40),
        struct.pack("<2sHIH", b"II", 42, 8, 0xFFFF) + struct.pack("<HHII", 65000, 4, 1, 7) * 0xFFFF + bytes(4),
        b"II*\0devise-xmp-1",
    ],
    ids=["offset", "full directory", "only a mark"],
)
def test_numbers_of_a_tiff_that_are_out_of_range(photo: bytes):
    assert find_packet(photo) is None
    with pytest.raises(ValueError, match=r"damaged|no room"):
        with_packet(photo, ONE)


def test_a_packed_packet_of_a_png_is_read():
    import zlib

    photo = PHOTOS["plain.png"]
    body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(ONE)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    at = photo.index(b"IDAT") - 4
    assert packet_in(photo[:at] + chunk + photo[at:]) == ONE
    assert packet_in(with_packet(photo[:at] + chunk + photo[at:], OTHER)) == OTHER
    bomb = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"a" * 11_000_000)
    chunk = (len(bomb) - 4).to_bytes(4, "big") + bomb + zlib.crc32(bomb).to_bytes(4, "big")
    with pytest.raises(ValueError, match="damaged"):
        packet_in(photo[:at] + chunk + photo[at:])


def twice(photo: bytes) -> bytes:
    one = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ONE)
    return photo[:2] + one + one + photo[2:]


def behind_offsets(photo: bytes) -> bytes:
    mpf = segment(0xE2, b"MPF\0" + b"\0" * 20)
    return photo[:2] + mpf + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + ONE) + photo[2:]


def by_imagemagick(photo: bytes) -> bytes:
    at = photo.index(b"IDAT") - 4
    body = b"Raw profile type xmp\0\nxmp\n 4\n61616161\n"
    return photo[:at] + len(body).to_bytes(4, "big") + b"tEXt" + body + b"\0\0\0\0" + photo[at:]


@pytest.mark.parametrize(
    ("photo", "packet", "reason"),
    [
        (b"GIF89a", ONE, "not a JPEG, PNG, WebP or TIFF"),
        (b"", ONE, "not a JPEG, PNG, WebP or TIFF"),
        (PHOTOS["plain.jpg"], b"a" * 65_503, "its XMP would have 65,503 bytes, and a JPEG takes 65,502"),
        (PHOTOS["plain.png"], b"a" * 10_000_001, "at most 10,000,000"),
        (twice(PHOTOS["plain.jpg"]), OTHER, "several XMP packets"),
        (behind_offsets(PHOTOS["plain.jpg"]), OTHER, "after the offsets of further pictures"),
        (by_imagemagick(PHOTOS["plain.png"]), ONE, "ImageMagick"),
    ],
)
def test_what_cannot_be_written_is_refused(photo: bytes, packet: bytes, reason: str):
    with pytest.raises(ValueError, match=reason):
        with_packet(photo, packet)


@NAMED
def test_a_damaged_photo_is_an_error_or_keeps_its_other_bytes(name: str):
    photo = with_packet(PHOTOS[name], ONE)
    chance = random.Random(5)
    cuts = [photo[: chance.randrange(len(photo))] for _ in range(60)]
    changed = []
    for _ in range(200):
        one = bytearray(photo)
        for _ in range(3):
            one[chance.randrange(min(len(one), 600))] = chance.randrange(256)
        changed.append(bytes(one))
    for damaged in (*cuts, *changed):
        find_packet(damaged)
        try:
            after = with_packet(damaged, OTHER)
        except ValueError as error:
            assert len(str(error)) < 100  # noqa: PT017
        else:
            assert packet_in(after) == OTHER
            assert with_packet(after, None) == with_packet(damaged, None)


def test_raw_files_of_cameras_are_not_changed():
    for name, data, takes in (
        ("a.jpg", PHOTOS["plain.jpg"], True),
        ("a.nef", PHOTOS["plain.tif"], False),
        ("a.dng", PHOTOS["plain.tif"], False),
        ("a.TIF", PHOTOS["plain.tif"], True),
        ("a.jpg", b"GIF89a", False),
        ("a.jpg", b"", False),
    ):
        assert takes_packet(Path(name), data[:16]) is takes


def test_packets_of_other_formats_are_found_by_their_text():
    assert find_packet(b"\0\0\0\x18ftypheic" + b"x" * 50 + ONE + b"y") == ONE
    assert find_packet(b"GIF89a") is None
    assert find_packet(b"ftyp<x:xmpmeta") is None
    assert find_packet(PHOTOS["plain.jpg"][:40]) is None
