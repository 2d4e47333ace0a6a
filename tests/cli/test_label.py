"""What `devise label` writes when all is well: the four forms, the terminal, the options."""

import csv
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len

from devise.cli.answers_output import Csv, Json, JsonLines, Table
from devise.cli.app import main
from devise.cli.terminal import one_line
from devise.errors import counted
from devise.files import exact_name
from devise.labels import Label as Noun
from devise.model.answers import Answer, Guess
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.tabletext import cell_text

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ROW = re.compile(r" *(?:< 0\.1|\d+\.\d) %  \S")
LEGEND = "* no training photo carried this label"
KEYS = ["path", "problem", "rejected", "guesses", "typed"]
HOSTILE = (
    "with space.png",
    " leading and trailing .png",
    "new\nline.png",
    "carriage\rreturn.png",
    "tab\tand, comma; 'quotes\".png",
    "[bold]red[/bold].png" if os.sep == "\\" else "[bold]red.png",
    "emoji 🐈 family 👨\u200d👩\u200d👧.png",
    "narrow\u202fspace.png",
    "back\\slash \\n.png",
    "esc\x1b[31m.png",
    "turned \u202egnp.png",
    "line\u2028separator\x85.png",
    "=1+1.png",
    "-k.png",
    "not utf-8 \udcff\udcfe.png",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: object) -> str:
    """What `devise label` writes to a terminal of this width."""
    screen = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit) as stop:
        main(["label", *map(str, arguments)])
    assert not stop.value.code
    return screen.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# The table


def test_a_piped_table_has_whole_lines_without_colours(label: Any, photo: Path, packaged: Model) -> None:
    done = label(photo, "-k", 40)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == str(photo)
    assert "\x1b" not in done.out
    assert "…" not in done.out
    assert not any(line != line.rstrip() for line in lines)
    guesses = packaged.label(photo, top=40).guesses
    shown = [line for line in lines if ROW.match(line)]
    assert len(shown) == len(guesses) == 40
    for line, guess in zip(shown, guesses, strict=True):
        assert guess.label.name in line
        assert line.endswith(guess.label.gloss)
        assert (" *" in line) != guess.label.seen
    assert {len(line.partition(" %")[0]) for line in shown} == {len(shown[0].partition(" %")[0])}
    assert len({line.rindex(guess.label.gloss) for line, guess in zip(shown, guesses, strict=True)}) == 1


def test_forced_colours_do_not_reach_a_pipe(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    done = label(photo, photo.parent / "gone.png")
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("width", [24, 80, 120])
def test_on_a_terminal_lines_are_cut_at_its_width(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(photo.parent)
    text = on_terminal(monkeypatch, width, "photo.png", "-k", 30)
    lines = ANSI.sub("", text).splitlines()
    assert "\x1b[" in text
    assert max(map(cell_len, lines)) <= width
    assert sum(bool(ROW.match(line)) for line in lines) == 30
    assert any("…" in line for line in lines)


def test_a_long_path_is_whole_on_a_narrow_terminal(
    label: Any, scene: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("long name " * 20 + ".png")
    scene.save(path)
    assert str(path) in ANSI.sub("", on_terminal(monkeypatch, 40, path)).splitlines()


def test_labels_that_share_a_name_show_their_ids(label: Any, photo: Path, packaged: Model) -> None:
    cranes = [s.id for s in packaged.parts.taxonomy.find("crane") if s.name == "crane"]
    assert len(cranes) > 1
    listed = photo.with_name("cranes.txt")
    listed.write_text("\n".join([*cranes, "n02391994"]))
    out = label(photo, "--candidates", listed).out
    assert all(re.search(rf"crane( \*)?  {one}  ", out) for one in cranes)
    assert "n02391994" not in out


def test_the_star_marks_what_was_not_trained_on_and_is_explained(label: Any, photo: Path) -> None:
    unseen = label(photo, "--candidates", "unseen").out
    assert sum(" *" in line for line in unseen.splitlines() if ROW.match(line)) == 5
    assert unseen.endswith(f"\n\n{LEGEND}\n")
    assert "*" not in label(photo, "--candidates", "seen").out.replace(str(photo), "")


def test_blocks_are_parted_unless_each_is_one_line(label: Any, photo: Path) -> None:
    assert f"\n\n{photo}\n" in label(photo, photo, "-k", 2).out
    assert f"\n\n{photo}\n" not in label(photo, photo, "-k", 1).out


def test_reject_says_none_of_these(label: Any, photo: Path) -> None:
    done = label(photo, photo, "--reject", 1)
    assert done.code == 0
    assert done.out.count("none of these: no candidate has 100 % or more") == 2
    assert "2 of 2 labelled photos got 'none of these'" in done.err
    assert "none of these" not in label(photo, "--reject", 0).out


def test_explain_says_why(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (photo, "--explain", "-k", 2, "--candidates", "seen")
    out = label(*options).out
    for said in ("is a: entity > ", "leans on: ", "id: n"):
        assert sum(line.startswith(" " * 10 + said) for line in out.splitlines()) == 2
    (row, _) = rows_of(label(*options, "--format", "csv").out)
    assert row["wordnet_path"].startswith("entity > ")
    assert row["leans_on"]
    (record,) = json.loads(label(*options, "--format", "json").out)
    assert record["guesses"][0]["wordnet_path"] == row["wordnet_path"].split(" > ")
    assert record["guesses"][0]["leans_on"][0]["name"] in row["leans_on"]
    shown = ANSI.sub("", on_terminal(monkeypatch, 60, *options)).splitlines()
    assert all(len(line.rstrip()) <= 60 for line in shown if not line.startswith(str(photo)))
    assert " ".join(" ".join(shown).split()).count(row["wordnet_path"]) == 1


# The forms for programs


def test_all_forms_tell_the_same(label: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    paths = (photo, tmp_path / "broken.jpg", photo)
    records = json.loads(label(*paths, "--format", "json").out)
    assert [json.loads(line) for line in label(*paths, "--format", "jsonl").out.splitlines()] == records
    assert [list(record) for record in records] == [KEYS] * 3
    assert [record["path"] for record in records] == list(map(str, paths))
    assert records[0] == records[2]
    assert records[1] == dict(zip(KEYS, (str(paths[1]), "not a picture of a known format", False, [], []), strict=True))
    rows = rows_of(label(*paths, "--format", "csv").out)
    assert [row["rank"] for row in rows] == [*"12345", "", *"12345"]
    assert rows[5] == dict.fromkeys(rows[5], "") | {"path": str(paths[1]), "problem": records[1]["problem"]}
    for row, guess in zip(rows[:5], records[0]["guesses"], strict=True):
        assert float(row["score"]) == pytest.approx(guess["score"], abs=5e-7)
        assert [row[key] for key in ("id", "name", "gloss", "source")] == [
            guess[key] for key in ("id", "name", "gloss", "source")
        ]
        assert bool(int(row["seen"])) == guess["seen"]
        assert (row["path"], row["rejected"], row["problem"]) == (str(photo), "0", "")


@pytest.mark.skipif(os.name == "nt", reason="such names are not allowed there")
def test_hostile_names_come_back_as_they_are(label: Any, scene: Image.Image, tmp_path: Path) -> None:
    for name in HOSTILE:
        scene.save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
    expected = sorted(str(tmp_path / name) for name in HOSTILE)
    got = label(tmp_path, "-k", 1, "--format", "json")
    assert got.code == 0
    assert [record["path"] for record in json.loads(got.out)] == expected
    paths = [row["path"] for row in rows_of(label(tmp_path, "-k", 1, "--format", "csv").out)]
    assert paths == [path.replace("\udcff\udcfe", r"\udcff\udcfe") for path in expected]
    table = label(tmp_path, "-k", 1).out
    assert all(one_line(path) in table.splitlines() for path in expected)
    assert not set("\x1b\r\u202e\u2028\x85") & set(table)
    output = tmp_path / "out.csv"
    assert label(tmp_path, "-k", 1, "-o", output).code == 0
    with output.open(newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == paths


@pytest.mark.parametrize(
    ("name", "starts"), [("a.csv", "path,"), ("a.JSON", "[\n{"), ("a.jsonl", "{"), ("a.txt", "/"), ("a", "/")]
)
def test_the_ending_of_the_output_picks_the_form(label: Any, photo: Path, name: str, starts: str) -> None:
    output = photo.with_name(name)
    assert label(photo, "--output", output) == (0, "", "")
    text = output.read_text(encoding="utf-8")
    assert text.startswith(starts.replace("/", str(photo)))
    assert "\x1b" not in text
    assert sorted(path.name for path in photo.parent.iterdir()) == sorted([name, photo.name])


def test_a_form_asked_for_wins_over_the_ending(label: Any, photo: Path) -> None:
    label(photo, "--output", photo.with_name("a.csv"), "--format", "jsonl")
    assert json.loads(photo.with_name("a.csv").read_text(encoding="utf-8"))["path"] == str(photo)


names = st.text(st.characters(exclude_characters="\0", exclude_categories=()), min_size=1)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    if draw(st.booleans()):
        return Answer(draw(names), problem="cut\noff")
    return Answer(draw(names), (Guess(Noun("n1", draw(st.text()), draw(st.text())), 0.5),))


@given(st.lists(answers(), max_size=4), st.booleans())
def test_any_text_makes_forms_that_can_be_read(given_answers: list[Answer], unicode: bool) -> None:
    def written(form: Any) -> str:
        return form.begin() + "".join(map(form.one, given_answers)) + form.end()

    paths = [one.source for one in given_answers]
    text = written(Json(unicode))
    assert [record["path"] for record in json.loads(text)] == paths
    assert unicode or text.isascii()
    lines = written(JsonLines(unicode))
    assert [json.loads(line)["path"] for line in lines.splitlines()] == paths
    table = written(Csv())
    assert [exact_name(cell_text(row["path"])) for row in rows_of(table)] == paths
    people = written(Table(LabelRequest()))
    assert people.count("\n") == len(people.splitlines())
    for text in (lines, table, people):
        text.encode("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="such names are not allowed there")
def test_a_path_that_a_spreadsheet_would_run(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "=HYPERLINK(1).png"
    photo.rename(name)
    written = label(name, "-k", 1, "--format", "csv").out
    assert written.splitlines()[1].startswith(f'"\'{name}",1,')
    marked = label(name, "-k", 1, "--format", "csv", "--excel").out
    assert marked == "\ufeff" + written
    assert label(name, "--excel", "--output", "a.csv").code == 0
    assert Path("a.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,")
    done = label(name, "--excel")
    assert (done.code, done.err) == (2, "devise: --excel is for CSV: give --format csv too\n")


@given(names)
def test_text_for_people_stays_on_its_line(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown
    shown.encode("utf-8")
    assert one_line(shown) == shown


def test_numbers_have_their_noun() -> None:
    assert [counted(n, "file") for n in (0, 1, 2, 1234)] == ["0 files", "1 file", "2 files", "1,234 files"]


# The options


def test_fewer_labels_than_the_usual_five_are_all_shown(label: Any, photo: Path) -> None:
    done = label(photo, "--labels", "zedonk: a foal; ligature: a printed letter", "--candidates", "typed")
    assert done.code == 0
    assert sum(bool(ROW.match(line)) for line in done.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--labels", "zedonk: a foal; ligature: a printed letter", "--candidates", "typed"), 2),
        (("--method", "softmax", "--under", "zebra"), 1),
        (("--method", "kernel", "--under", "equine", "--candidates", "seen"), 2),
        (("--method", "branch", "--under", "equine", "--candidates", "seen"), 2),
    ],
)
def test_more_labels_than_there_are_is_all_of_them(label: Any, photo: Path, options: tuple[str, ...], count: int):
    done = label(photo, "--top", 2000, "--format", "json", *options)
    assert done.code == 0
    (record,) = json.loads(done.out)
    assert len(record["guesses"]) == count


def test_what_a_word_was_taken_for_is_one_line(label: Any, photo: Path) -> None:
    options = (photo, "--candidates", "typed", "--format", "json")
    done = label(*options, "--labels", "mug")
    assert done.err == "devise: mug: drinking vessel, 1 other meaning and 2 not for photos\n"
    assert json.loads(done.out)[0]["guesses"][0]["id"] == "n03797390"
    assert label(*options, "--labels", "mug", "--quiet").err == ""
    other = label(*options, "--labels", "mug", "--sense", "n09921409")
    assert (other.code, other.err) == (0, "")
    assert json.loads(other.out)[0]["guesses"][0]["id"] == "n09921409"
    assert label(*options, "--labels", "mug, plane, seal").err.count("\n") == 1


def test_typed_labels_that_are_not_among_the_first_are_told_by_rank(label: Any, photo: Path) -> None:
    typed = "; ".join(f"thing {number}: a printed letter" for number in range(7))
    options = (photo, "--labels", f"{typed}; gramophone", "--top", 1)
    (record,) = json.loads(label(*options, "--format", "json").out)
    ranks = [one["rank"] for one in record["typed"]]
    assert len(ranks) == 8
    assert ranks == sorted(ranks)
    assert ranks[0] > 1
    lines = label(*options).out.splitlines()
    first = [f"          {one['name']}: rank {one['rank']:,}" for one in record["typed"][:5]]
    assert [line for line in lines if ": rank" in line] == first
    assert "          3 more typed labels at lower ranks" in lines
    best = record["guesses"][0]["name"]
    assert (
        ": rank"
        not in label(photo, "--labels", f"{best}: {record['guesses'][0]['gloss']}", "--candidates", "typed").out
    )


def test_softmax_says_what_it_cannot_rank(label: Any, photo: Path) -> None:
    done = label(photo, "--labels", "zedonk: a foal", "--method", "softmax")
    assert "the softmax can name only trained labels: left out 29,957 candidates" in done.err
    assert label(photo, "--method", "softmax").err == ""


def test_many_photos_keep_their_order_over_blocks(label: Any, scene: Image.Image, tmp_path: Path) -> None:
    for number in range(40):
        scene.resize((16 + number, 16)).save(tmp_path / f"{number:02}.png")
    records = json.loads(label(tmp_path, "-k", 1, "--format", "json").out)
    assert [Path(record["path"]).name for record in records] == [f"{number:02}.png" for number in range(40)]


def test_first_answers_do_not_wait_for_a_whole_block(
    label: Any, photo: Path, packaged: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: list[int] = []
    answers_of = LabelRun.answers_of

    def noted(run: LabelRun, block: Any, first: int = 0) -> Any:
        blocks.append(len(block))
        return answers_of(run, block, first)

    monkeypatch.setattr(LabelRun, "answers_of", noted)
    monkeypatch.setattr(sys.modules["devise.cli.label"], "_PATIENCE", 1e9)
    label(*[photo] * 3)
    assert blocks == [3]
    blocks.clear()
    monkeypatch.setattr(sys.modules["devise.cli.label"], "_PATIENCE", 0.0)
    label(*[photo] * 3)
    assert blocks == [1, 1, 1]


def test_progress_is_for_the_terminal_of_standard_error_only(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert label(photo).err == ""
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", screen)
    out = label(photo, photo, photo.with_name("gone.png"), "--format", "jsonl").out
    assert "photos" in screen.getvalue()
    told = ANSI.sub("", screen.getvalue()).replace("\r", "\n").splitlines()
    assert f"devise: {photo.with_name('gone.png')}: no such file" in told
    assert len([json.loads(line) for line in out.splitlines()]) == 3


# Kinds of pictures


def scores(label: Any, *paths: Path) -> list[list[tuple[str, float]]]:
    done = label(*paths, "--format", "json")
    assert (done.code, done.err) == (0, "")
    return [[(guess["id"], guess["score"]) for guess in record["guesses"]] for record in json.loads(done.out)]


def test_the_same_picture_in_another_file_gets_the_same_labels(label: Any, scene: Image.Image, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    frames = [scene.rotate(90 * turn) for turn in range(3)]
    scene.save(tmp_path / "plain.png")
    scene.convert("RGBA").save(tmp_path / "alpha.png")
    scene.rotate(90, expand=True).save(tmp_path / "exif.png", exif=turned)
    scene.save(tmp_path / "still.tif")
    scene.save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    scene.save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    files = ("plain.png", "alpha.png", "exif.png", "still.tif", "moving.webp", "moving.png")
    first, *others = scores(label, *(tmp_path / name for name in files))
    assert [other == first for other in others] == [True] * 5


def test_grey_pictures_of_8_and_16_bits_get_the_same_labels(label: Any, scene: Image.Image, tmp_path: Path) -> None:
    grey = scene.convert("L")
    grey.save(tmp_path / "8.png")
    grey.convert("LA").save(tmp_path / "alpha.png")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    deep.save(tmp_path / "16.png")
    deep.save(tmp_path / "16.tif")
    first, *others = scores(label, *(tmp_path / name for name in ("8.png", "alpha.png", "16.png", "16.tif")))
    assert others == [first] * 3


def test_palettes_and_animations_get_the_labels_of_their_first_picture(
    label: Any, scene: Image.Image, tmp_path: Path
) -> None:
    frames = [scene.rotate(90 * turn).quantize(64) for turn in range(3)]
    frames[0].save(tmp_path / "palette.png")
    frames[0].save(tmp_path / "palette.gif")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("RGB").save(tmp_path / "plain.png")
    files = ("plain.png", "palette.png", "palette.gif", "moving.gif")
    first, *others = scores(label, *(tmp_path / name for name in files))
    assert others == [first] * 3


def test_cmyk_one_pixel_and_camera_photos_are_labelled(label: Any, scene: Image.Image, tmp_path: Path) -> None:
    scene.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "one.png")
    scene.resize((4000, 3000)).save(tmp_path / "12.jpg")
    large = scene.resize((8000, 6000))
    large.save(tmp_path / "48.jpg")
    large.save(tmp_path / "48-progressive.jpg", progressive=True)
    done = label(tmp_path, "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert [len(record["guesses"]) for record in json.loads(done.out)] == [5] * 5


def test_all_nouns_are_those_of_that_list_and_exclude_another(label: Any, photo: Path) -> None:
    options = (photo, "--top", 300, "--format", "json")
    every, listed = label(*options, "--all-nouns"), label(*options, "--candidates", "all-nouns")
    assert every.out == listed.out
    assert every.out != label(*options).out
    refused = label(photo, "--all-nouns", "--candidates", "seen")
    assert refused.code == 2
    assert "leave out --candidates seen" in refused.err


def test_under_a_withheld_branch_says_how_to_have_it(label: Any, photo: Path) -> None:
    refused = label(photo, "--under", "scientist")
    assert refused.code == 2
    assert "is withheld, " in refused.err
    assert "in all (docs/people.md): ask for all nouns" in refused.err
    (record,) = json.loads(label(photo, "--under", "scientist", "--all-nouns", "--format", "json").out)
    assert len(record["guesses"]) == 5
