"""Pictures in a terminal: which it takes, and that what is written is the picture."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.cli import terminal_pictures
from devise.cli.terminal_pictures import PictureProtocol, grid_rows, pictures_in, protocol_of, require_pictures, sixel
from devise.errors import UsageError


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, PictureProtocol.kitty),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, PictureProtocol.kitty),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, PictureProtocol.iterm),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, PictureProtocol.iterm),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, PictureProtocol.iterm),
        ({"TERM": "foot-extra"}, PictureProtocol.sixel),
        ({"TERM": "xterm-sixel"}, PictureProtocol.sixel),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, None),
        ({}, None),
    ],
)
def test_which_pictures_a_terminal_takes(environment: dict[str, str], protocol: PictureProtocol | None):
    assert protocol_of(environment) == protocol


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_escape_sequence_goes_into_a_pipe():
    with pytest.raises(UsageError, match="the output is not one"):
        require_pictures(io.StringIO(), {"TERM": "xterm-kitty"})
    with pytest.raises(UsageError, match="a terminal that shows pictures"):
        require_pictures(Terminal(), {"TERM": "xterm"})
    assert require_pictures(Terminal(), {"TERM": "xterm-kitty"}) == PictureProtocol.kitty


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for number in range(5):
        Image.new("RGB", (300, 200), (50 * number, 90, 200)).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"no picture")
    return [str(tmp_path / f"{number}.png") for number in range(5)]


def test_a_grid_has_as_many_columns_as_fit(paths: list[str]):
    rows = list(grid_rows(paths, 500))
    assert [row.size for row in rows] == [(480, 240)] * 3
    assert rows[0].getpixel((120, 120)) == (0, 90, 200)
    assert rows[0].getpixel((360, 120)) == (50, 90, 200)
    assert rows[2].getpixel((120, 120)) == (128, 128, 128)
    assert [row.width for row in grid_rows(paths[:1], 10)] == [240]
    assert list(grid_rows([], 500)) == []


def test_kitty_and_iterm_get_the_whole_picture(paths: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal_pictures, "terminal_width", lambda: (100, 1000))
    (row,) = grid_rows(paths[:2], 1000)
    (kitty,) = pictures_in(paths[:2], PictureProtocol.kitty)
    pieces = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", kitty)
    assert pieces[0][0].startswith("a=T,f=100,q=2,c=48,")
    assert [head[-3:] for head, _ in pieces] == ["m=1"] * (len(pieces) - 1) + ["m=0"]
    assert all(len(piece) <= 4096 for _, piece in pieces)
    (iterm,) = pictures_in(paths[:2], PictureProtocol.iterm)
    found = re.fullmatch("\x1b]1337;File=inline=1;size=(\\d+);width=48;preserveAspectRatio=1:(.*)\a\n", iterm)
    assert found is not None
    for data in ("".join(piece for _, piece in pieces), found[2]):
        assert int(found[1]) == len(b64decode(data))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(b64decode(data)))), np.asarray(row))


def decoded(text: str) -> np.ndarray:
    """Draw sixels, slowly: colours in percent."""
    head = re.match('\x1bP0;1q"1;1;(\\d+);(\\d+)', text)
    assert head is not None
    assert text.endswith("\x1b\\")
    pixels = np.full((int(head[2]), int(head[1]), 3), -1)
    colours: dict[str, list[int]] = {}
    x = y = 0
    colour = ""
    for number, definition, count, letter, mark in re.findall(
        r"#(\d+)(;2;\d+;\d+;\d+)?|(?:!(\d+))?([?-~])|([$-])", text[head.end() : -2]
    ):
        if number:
            colour = number
            if definition:
                colours[number] = [int(one) for one in definition.split(";")[2:]]
        elif mark:
            x, y = 0, y + 6 * (mark == "-")
        else:
            run = int(count or 1)
            for bit in range(6):
                if (ord(letter) - 63) >> bit & 1:
                    pixels[y + bit, x : x + run] = colours[colour]
            x += run
    return pixels


def test_sixels_are_the_picture():
    rng = np.random.default_rng(0)
    few = rng.integers(0, 256, (5, 3), dtype=np.uint8)
    pixels = few[rng.integers(0, 5, (20, 17))]
    pixels[3, 2:14] = few[0]  # a long run
    shown = decoded(sixel(Image.fromarray(pixels)))
    assert np.abs(shown - pixels.astype(int) * 100 / 255).max() <= 0.51


def test_sixels_of_many_colours():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 30, 3), dtype=np.uint8)
    shown = decoded(sixel(Image.fromarray(pixels)))
    assert shown.min() >= 0
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= 255
