"""devise index and devise search, as commands."""

import csv
import io
import json
from pathlib import Path

import pytest
from commandline import Run
from PIL import Image

pytest.importorskip("pyarrow")

pytestmark = pytest.mark.usefixtures("packaged_once")


@pytest.fixture
def photos(tmp_path: Path, scene: Image.Image) -> Path:
    folder = tmp_path / "photos" / "n02084071"
    folder.mkdir(parents=True)
    for number in range(3):
        scene.rotate(120 * number).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def index(run: Run, photos: Path, tmp_path: Path) -> Path:
    code, out, _ = run("index", photos, "--out", tmp_path / "index")
    assert (code, out) == (0, f"{tmp_path / 'index'}: 3 photos; 3 new\n")
    return tmp_path / "index"


def test_a_second_run_finds_nothing_to_do(run: Run, photos: Path, index: Path):
    assert run("index", photos, "-o", index)[:2] == (0, f"{index}: 3 photos; 3 unchanged\n")


def test_a_broken_photo_is_told_and_the_exit_code_is_1(run: Run, photos: Path, tmp_path: Path):
    (photos / "broken.jpg").write_bytes(b"no picture")
    code, out, err = run("index", photos, "-o", tmp_path / "i")
    assert code == 1
    assert "3 photos; 3 new" in out
    assert "broken.jpg: not a picture of a known format" in err
    assert "1 photo could not be read" in err


def test_the_forms_say_the_same(run: Run, photos: Path, index: Path):
    table = run("search", index, "snow leopard", "-k", 2, "--reject", 0)[1].splitlines()
    records = json.loads(run("search", index, "snow leopard", "--reject", 0, "-k", 2, "-f", "json")[1])
    lines = [
        json.loads(line)
        for line in run("search", index, "snow leopard", "--reject", 0, "-k", 2, "-f", "jsonl")[1].splitlines()
    ]
    rows = list(
        csv.DictReader(io.StringIO(run("search", index, "snow leopard", "--reject", 0, "-k", 2, "-f", "csv")[1]))
    )
    assert lines == records
    assert [record["rank"] for record in records] == [1, 2]
    assert [row["path"] for row in rows] == [record["path"] for record in records]
    assert all(record["path"] in line for record, line in zip(records, table, strict=True))
    assert list(rows[0]) == ["rank", "score", "path", "id", "name"]
    assert float(rows[0]["score"]) == records[0]["score"]


def test_nothing_found_says_what_was_asked(run: Run, index: Path):
    for arguments, named in ((["zebra"], "zebra"), (["--under", "whale"], "any whale")):
        code, out, err = run("search", index, *arguments, "--reject", 1)
        assert (code, out) == (0, "")
        assert err.splitlines()[-1].endswith(f" photos looks like {named} (--reject 0 shows the nearest photos anyway)")


def test_words_and_photos_are_joined(run: Run, photos: Path, index: Path):
    photo = photos / "n02084071" / "1.png"
    code, out, err = run("search", index, "dog + cat - 2*car", photo, "--reject", 0, "-f", "json")
    assert (code, json.loads(out)[0]["path"]) == (0, str(photo))
    code, out, err = run("search", index, "a dog on a sofa", "--reject", 1)
    assert (code, out) == (0, "")
    assert "a dog on a sofa: read as dog + sofa" in err
    assert err.splitlines()[-1].endswith("looks like a dog on a sofa (--reject 0 shows the nearest photos anyway)")
    assert run("search", index, photo, "-f", "json")[1] == run("search", index, "--like", photo, "-f", "json")[1]


def test_filters(run: Run, photos: Path, index: Path, tmp_path: Path):
    found = run("search", index, "dog", "--reject", 0, "--in", "n02084071", "-f", "jsonl")[1].splitlines()
    assert len(found) == 3
    code, out, err = run("search", index, "dog", "--since", "2024-05", "--until", "2024-05-31", "--rating", 3)
    assert (code, out) == (0, "")
    assert "left out 3 photos without a date" in err
    assert err.splitlines()[-1] == "devise: no photo passes the filters"


def test_a_renamed_folder_leaves_its_old_paths_and_says_so(run: Run, photos: Path, index: Path):
    old, new = photos / "n02084071", photos / "n02085620"
    old.rename(new)
    code, out, err = run("index", new, "-o", index)
    assert (code, out) == (0, f"{index}: 6 photos; 3 copied\n")
    assert err.splitlines()[-1] == (
        "devise: 3 copied photos are no longer at the old path, which stays in the index: if it was renamed or "
        f"deleted, devise index {old} --out {index} --forget removes it"
    )
    assert run("index", old, "--out", index, "--forget")[:2] == (0, f"{index}: 3 photos; 3 gone\n")


def test_senses_of_words_in_a_query(run: Run, index: Path):
    asked = ("search", index, "--reject", 0, "-f", "json")
    by_option = run(*asked, "dog + mouse", "--sense", "n03793489")
    assert by_option == run(*asked, "dog + mouse: n03793489")
    assert by_option[1] != run(*asked, "dog + mouse")[1]


def test_like_and_the_page(run: Run, photos: Path, index: Path, tmp_path: Path):
    like = photos / "n02084071" / "1.png"
    code, out, err = run("search", index, "--like", like, "--sheet", tmp_path / "page.html")
    assert code == 0
    assert str(like) in out.splitlines()[0]
    assert f"page of 3 photos: {tmp_path / 'page.html'}" in err
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 3


def test_open_shows_the_page_on_a_terminal_only(run: Run, index: Path, monkeypatch: pytest.MonkeyPatch):
    import subprocess

    opened: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: opened.append(command))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "xdg-open" else None)
    monkeypatch.setattr("sys.platform", "linux")
    code, _, err = run("search", index, "dog", "--open")
    assert (code, opened) == (0, [])
    assert str(index / "search.html") in err
    assert (index / "search.html").is_file()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run("search", index, "dog", "--open")[0] == 0
    assert opened == [["/bin/xdg-open", str(index / "search.html")]]
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, err = run("search", index, "dog", "--open")
    assert (code, out) == (2, "")
    assert "--open found no viewer" in err


def test_a_grid_is_for_terminals(run: Run, index: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("TMUX", raising=False)
    code, out, err = run("search", index, "dog", "--grid")
    assert (code, out) == (2, "")
    assert "the output is not one" in err
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, _ = run("search", index, "dog", "--grid", "--reject", 0)
    assert (code, out.startswith("\x1b_Ga=T,f=100")) == (0, True)
    assert "0.png" in out
    assert run("search", index, "dog", "--grid", "--format", "json")[0] == 2


def test_evaluate_measures_class_folders(run: Run, index: Path):
    code, out, _ = run("search", index, "--evaluate")
    assert code == 0
    assert "| probability | 1 others | 1.000 | 1.000 |" in out  # all photos are of the one class
    found = json.loads(run("search", index, "--evaluate", "--format", "json")[1])
    assert (found["photos"], [row["ordered_by"] for row in found["orders"]]) == (3, ["name", "probability", "cosine"])
    row = found["orders"][1]
    assert (row["trained"], row["classes"], row["mean_average_precision"], row["precision_at_5"]) == (False, 1, 1, 1)
    lines = run("search", index, "--evaluate", "--format", "csv")[1].splitlines()
    assert (lines[0].split(",")[:3], lines[2].split(",")[:4]) == (
        ["ordered_by", "trained", "classes"],
        ["probability", "False", "1", "1.0"],
    )
    assert len(run("search", index, "--evaluate", "--format", "jsonl")[1].splitlines()) == 3
    for idle in (
        ("dog",),
        ("--under", "dog"),
        ("--sense", "n02084071"),
        ("--top", "3"),
        ("--exact",),
    ):
        code, out, err = run("search", index, "--evaluate", *idle)
        assert (code, out) == (2, "")
        assert err.rstrip().endswith(f"leave out {'words' if idle[0] == 'dog' else idle[0]}")
    code, _, err = run("search", index, "--evaluate", "--sheet", index / "page.html", "--by", "cosine")
    assert (code, "leave out --by, --sheet" in err) == (2, True)
    assert not (index / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to search for"),
        ([], 2, "give WORDS, --under NAME or --like PHOTO"),
        (["dog", "--like", "x.png"], 2, "excludes words and under"),
        (["dog + cat", "--every"], 2, "leave out every"),
        (["dog", "--since", "May"], 2, "--since takes a date such as"),
        (["dog", "--until", "2024-13"], 2, "--until takes a date such as"),
        (["dog", "--since", "2024", "--until", "2023"], 2, "exchange them"),
        (["dog", "--rating", "6"], 2, "from 1 to 5"),
        (["dog +"], 2, "nothing after +"),
        (["dog + nowhere.png"], 1, "nowhere.png: no such file"),
        (["--like", "nowhere.png"], 1, "no such file"),
        (["xqzzv"], 1, "unknown label 'xqzzv'"),
        (["dog", "--top", "0"], 2, "top must be at least 1"),
        (["dog", "--sheet", "no/folder/page.html"], 2, "an existing folder"),
    ],
)
def test_wrong_questions(run: Run, index: Path, arguments: list[str], code: int, message: str):
    got, out, err = run("search", index, *arguments)
    assert (got, out) == (code, "")
    assert message in err


def test_a_negative_number_of_photos_is_refused_before_the_work(run: Run, photos: Path, tmp_path: Path):
    code, out, err = run("index", photos, "--out", tmp_path / "none", "--listed-above", -5)
    assert (code, out) == (2, "")
    assert err == "devise: --listed-above must be at least 0, got -5\n"
    assert not (tmp_path / "none").exists()


def test_an_index_is_not_written_to_standard_output(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert run("index", photos, "-o", "-") == (2, "", "devise: --out needs the folder of an index, got -\n")
    assert not list(tmp_path.glob("-"))


def test_no_index(run: Run, tmp_path: Path):
    code, _, err = run("search", tmp_path / "none", "dog")
    assert code == 1
    assert "make one with devise index" in err


def test_without_pyarrow_one_line_says_what_to_install(run: Run, photos: Path, index: Path, monkeypatch):
    import builtins

    plain = builtins.__import__

    def absent(name: str, *rest: object, **more: object) -> object:
        if name.split(".", maxsplit=1)[0] == "pyarrow":
            raise ModuleNotFoundError(name="pyarrow")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    parts = index.with_name("parts")
    for command in (
        ("index", photos, "-o", index),
        ("search", index, "dog"),
        ("label", photos, "-f", "parquet", "-o", parts),
    ):
        code, _, err = run(*command)
        assert code == 1
        assert err.splitlines()[-1].endswith("pip install 'devise-zsl[search]'")
    assert not parts.exists()


def test_labels_in_parquet_go_on_where_they_stopped(run: Run, photos: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "labels.parquet"  # its ending says the form, as for files
    assert run("label", photos, "-o", out, "-k", 2)[:2] == (0, f"{out}: 3 photos, 3 of them labelled in this run\n")
    (photos / "broken.jpg").write_bytes(b"no picture")
    code, written, err = run("label", photos, "-o", out, "-k", 2, "--format", "parquet")
    assert (code, written) == (1, f"{out}: 4 photos, 0 of them labelled in this run\n")
    assert "broken.jpg: not a picture of a known format" in err
    rows = parquet.read_table(out).to_pylist()
    assert sorted(len(row["guesses"]) for row in rows) == [0, 2, 2, 2]
    assert "another request" in run("label", photos, "-o", out, "-k", 3)[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "parquet"], "needs a folder: give --output FOLDER"),
        (["--format", "parquet", "-o", "x", "--explain"], "no explanations"),
        (["--ray", "2"], "--ray needs --format parquet"),
    ],
)
def test_parquet_asked_wrongly(run: Run, photos: Path, arguments: list[str], message: str):
    code, out, err = run("label", photos, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_table_shows_no_small_score_as_zero():
    from devise.cli.search_output import written
    from devise.labels import Label
    from devise.search.results import Hit, Hits

    scores = (0.5, 0.0001, 0.00009, 0.0, -0.2)
    hits = tuple(Hit(f"/p/{n}.jpg", score, Label("n02121620", "cat")) for n, score in enumerate(scores))
    lines = written(Hits(hits, 5), "table", io.StringIO()).splitlines()
    assert [line[:8] for line in lines] == ["  0.5000", "  0.0001", "< 0.0001", "  0.0000", " -0.2000"]


def test_a_path_that_is_not_utf_8_has_one_form_in_the_table():
    from devise.cli.search_output import written
    from devise.files import exact_name
    from devise.labels import Label
    from devise.search.results import Hit, Hits

    for path in ("/p/a\udcff.jpg", r"/p/a\udcff.jpg", "/p/b.jpg"):
        table = written(Hits((Hit(path, 0.5, Label("n02121620", "cat")),), 1), "table", io.StringIO())
        assert exact_name(table.split()[1]) == path
