"""`devise evaluate`, `devise compare` and `devise reproduce zeroshot` on a few photos, with the packaged model."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from commandline import Run
from PIL import Image

from devise.cli.compare import signed
from devise.files import exact_name

CHIHUAHUA, TABBY, KIANG, DOG = "n02085620", "n02123045", "n02390738", "n02084071"
ALL = [KIANG, DOG, "n02374451", "n02391994", "n02121808"]


@pytest.fixture(autouse=True)
def _alone(packaged_once: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The packaged model read once, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for name in (f"{CHIHUAHUA}/a.png", f"{CHIHUAHUA}/b.png", f"{TABBY}/a.png", f"{KIANG}/a.png", f"{DOG}/a.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "photos"


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    path = tmp_path / "splits.json"
    nouns = [f"n{number:08d}" for number in (1503061, 1639765, 1661091, 1861778, 2075296, 2120997, 2370806, 2395003)]
    more = ["n02402425", "n02411705", "n02418465", "n02430045", "n02441326", "n02469914", "n02512053", "n02691156"]
    path.write_text(json.dumps({"3-hops": [*ALL, *nouns, *more], "all": [*ALL, *nouns, *more, "n02924116"]}))
    return path


@pytest.mark.skipif(os.name == "nt", reason="such names are not allowed there")
def test_a_name_that_is_not_utf_8_comes_back_from_every_file(run: Run, photos: Path, tmp_path: Path):
    """From the record, the comparison, the report and the index; its folder's name is not UTF-8 either."""
    odd = photos.with_name("caf\udce9")
    photos.rename(odd)
    (odd / CHIHUAHUA / "a.png").rename(odd / CHIHUAHUA / "a\udcff.png")
    (odd / TABBY / "a.png").rename(odd / TABBY / r"a\udcff.png")  # its name has a backslash
    record = tmp_path / "r.json"
    code, out, err = run("evaluate", odd, "--candidates", "test-classes", "--images", record)
    assert (code, err) == (0, "")
    names = [one["id"] for one in json.loads(record.read_text(encoding="utf-8"))["images"]]
    found = {os.fsencode(path.relative_to(odd)) for path in odd.glob("*/*.png")}
    assert {os.fsencode(name) for name in names} == found
    code, out, err = run("report", record, "--photos", odd, "--out", tmp_path / "caf\udce9.html")
    assert (code, err) == (0, "")
    assert "could not be" not in out
    page = (tmp_path / "caf\udce9.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 5
    assert run("compare", record, record, "--json", tmp_path / "c.json")[0] == 0
    code, out, err = run("index", odd, "--out", tmp_path / "index")
    assert (code, out.partition(":")[2]) == (0, " 5 photos; 5 new\n")
    code, out, err = run("search", tmp_path / "index", "dog", "--reject", 0, "--format", "csv")
    assert {exact_name(row["path"]) for row in csv.DictReader(out.splitlines())} == {*map(str, odd.glob("*/*.png"))}
    code, out, err = run("search", tmp_path / "index", "dog", "--reject", 0, "--format", "json")
    assert {row["path"] for row in json.loads(out)} == {*map(str, odd.glob("*/*.png"))}


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(run: Run, photos: Path, tmp_path: Path):
    for name in ("a", "b"):
        code, out, err = run(
            "evaluate", photos, "--candidates", "all", "--branch", "dog", "--measures",
            "--json", tmp_path / f"{name}.json", "--images", tmp_path / f"{name}.images.json",
        )  # fmt: skip
        assert (code, err) == (0, "")
    for ending in ("json", "images.json"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert str(tmp_path) not in (tmp_path / "a.images.json").read_text()
    assert "all metrics over photos, with 95 % intervals" in out
    assert "most informative name that reaches each threshold" in out
    record = json.loads((tmp_path / "a.images.json").read_text())
    assert record["branch"]["synset"] == DOG
    assert len(record["branch"]["labels"]) == 118
    assert [one["id"] for one in record["images"]][:2] == [f"{DOG}/a.png", f"{CHIHUAHUA}/a.png"]
    dogs = set(record["branch"]["labels"])
    labels = list(dict.fromkeys([*record["candidates"], *record["trained"]]))
    assert {labels[place] for place in record["scorers"]["fused"]["branch"]} <= dogs
    stored = json.loads((tmp_path / "a.json").read_text())
    assert set(stored["measures"]["softmax"]) >= {"hit@1", "rank median", "lca height", "branch hit@1", "ece"}
    code, out, _ = run("compare", tmp_path / "a.images.json", tmp_path / "b.images.json", "--json", tmp_path / "c.json")
    assert code == 0
    assert "gained: 0 photos" in out
    assert "most informative name that reaches each threshold" in out
    assert [one["first"] for one in json.loads((tmp_path / "c.json").read_text())] == list(record["scorers"])


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("hp@5", -0.0004, "+.000"), ("hp@5", -0.0006, "-.001"), ("hit@1", -0.0004, "+0.0"), ("hit@1", 0.01, "+1.0")],
)
def test_a_difference_that_rounds_to_zero_has_no_minus(name: str, value: float, shown: str):
    assert signed(name, value) == shown


def test_compare_wants_records(run: Run, photos: Path, tmp_path: Path):
    run("evaluate", photos, "--candidates", "seen", "--json", tmp_path / "r.json", "--images", tmp_path / "a.json")
    code, _, err = run("compare", tmp_path / "r.json", tmp_path / "r.json")
    assert (code, err.count("\n")) == (1, 1)
    assert "expected one that devise evaluate --images wrote" in err
    run("evaluate", photos, "--candidates", "test-classes", "--images", tmp_path / "b.json")
    code, _, err = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert (code, err.count("\n")) == (1, 1)
    assert "different candidates (1000 and 4, " in err
    assert run("compare", tmp_path / "a.json", tmp_path / "a.json", "--against", "fused")[0] == 2


def test_a_record_of_format_1_is_compared_by_what_it_has(run: Run, photos: Path, tmp_path: Path):
    run("evaluate", photos, "--candidates", "test-classes", "--images", tmp_path / "new.json")
    stored = json.loads((tmp_path / "new.json").read_text()) | {"format": 1}
    del stored["hedging"]
    for one in stored["scorers"].values():
        del one["log_truth"], one["squares"], one["answers"]
    (tmp_path / "old.json").write_text(json.dumps(stored))
    code, out, err = run("compare", tmp_path / "old.json", tmp_path / "new.json", "--scorer", "fused")
    assert (code, err.count("\n")) == (0, 1)
    assert (
        "old.json: absent, as the record is of an older version: brier and log loss of fused, kernel, branch, devise"
        in err
    )
    assert "brier" not in out
    assert "ancestor f1" in out


@pytest.mark.slow
def test_markdown_says_each_thing_once(run: Run, photos: Path):
    code, out, _ = run("evaluate", photos, "--candidates", "all", "--markdown")
    assert code == 0
    assert out.count("is-a graph") == out.count("5 images of 4 classes") == out.count("a label without a vector") == 1
    assert out.count("| scorer |") == 4


def test_the_transductive_row_is_called_so(run: Run, photos: Path, tmp_path: Path):
    record, page = tmp_path / "record.json", tmp_path / "report.html"
    code, out, _ = run("evaluate", photos, "--candidates", "test-classes", "--context", "--images", record)
    said = "context is transductive: fused, each photo helped by the 4 nearest others of this run"
    assert code == 0
    rows = [line.split()[0] for line in out.splitlines() if line.startswith(("random  ", "context  ", "chance  "))]
    assert rows[:3] == ["random", "context", "chance"]
    assert f"{said}; the other rows score each photo alone" in out
    assert run("report", record, "--out", page)[0] == 0
    assert said in page.read_text()
    assert "transductive" not in run("evaluate", photos, "--candidates", "test-classes")[1]


def test_a_protocol_leaves_photos_of_other_classes_out(run: Run, photos: Path, splits: Path, tmp_path: Path):
    code, out, _ = run("evaluate", photos, "--protocol", "3-hops", "--splits", splits, "--images", tmp_path / "a.json")
    assert code == 0
    assert "2 photos, 2 classes, 21 candidates, 1,000 trained labels" in out
    assert "left out: photos of a class outside 3-hops (splits.json#3-hops) 3" in out
    code, out, _ = run("evaluate", photos, "--protocol", "3-hops+1K", "--splits", splits)
    assert "5 photos, 4 classes, 1,021 candidates, 1,000 trained labels" in out
    assert "harmonic mean of the two" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--protocol", "3-hops", "--candidates", "all"), 2),
        (("--splits", "x.json"), 2),
        (("--protocol", "5-hops"), 2),
        (("--protocol", "imagenet-all"), 2),
        (("--images", "absent/a.json"), 2),
        (("--branch", "teapot"), 2),
        (("--branch", "qwertyish"), 2),
    ],
)
def test_wrong_usage_is_one_line(run: Run, photos: Path, arguments: tuple[str, ...], code: int):
    found = run("evaluate", photos, *arguments)
    assert (found[0], found[2].count("\n")) == (code, 1)


@pytest.mark.slow
def test_a_folder_with_one_photo(run: Run, photos: Path, tmp_path: Path):
    one = tmp_path / "one" / KIANG
    one.parent.mkdir()
    (photos / KIANG).rename(one)
    code, out, err = run("evaluate", tmp_path / "one", "--measures", "--json", tmp_path / "a.json")
    assert (code, err) == (0, "")
    assert "1 photo, 1 class" in out
    hit = json.loads((tmp_path / "a.json").read_text())["measures"]["fused"]["hit@20"]
    assert (hit["images"], hit["classes"]) == (None, None)


@pytest.mark.slow
def test_two_runs_of_reproduce_write_the_same_bytes(run: Run, photos: Path, splits: Path, tmp_path: Path):
    for name in ("a", "b"):
        code, _, _ = run("reproduce", "zeroshot", photos, "--splits", splits, "--json", tmp_path / f"{name}.json")
        assert code == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert str(tmp_path) not in (tmp_path / "a.json").read_text()


@pytest.mark.parametrize(
    "form", [(), *(pytest.param((form,), marks=pytest.mark.slow) for form in ("--markdown", "--latex", "--csv"))]
)
def test_the_tables_of_the_paper(run: Run, photos: Path, splits: Path, tmp_path: Path, form: tuple[str, ...]):
    code, out, err = run("reproduce", "zeroshot", photos, "--splits", splits, "--json", tmp_path / "z.json", *form)
    assert code == 0
    assert (err if form in {("--latex",), ("--csv",)} else out).count(
        "left out of 3-hops: photos of a class outside"
    ) == 1
    assert "5 of 4 classes in photos, not ImageNet's test photos" in out.replace("Photos: ", "")
    assert out.count("DeViSE (paper)") == 4
    assert "do not compare" in out
    stored = json.loads((tmp_path / "z.json").read_text())
    chance = [row for row in stored["zero_shot"] if row["model"] == "Chance"]
    assert [(row["data"], row["group"], row["photos"], row["candidates"]) for row in chance] == [
        ("3-hop", "unseen", 1, 21), ("3-hop", "related", 1, 21),
        ("ImageNet 21k", "unseen", 1, 22), ("ImageNet 21k", "related", 1, 22),
    ]  # fmt: skip
    for row in chance:
        assert row["hits"] == pytest.approx([100 * k / row["candidates"] for k in (1, 5, 20)])
    assert len(stored["generalised"]) == 16
    assert all(row["hits"][0] == row["precisions"][0] for row in stored["zero_shot"])
    paper = [row for row in stored["zero_shot"] if row["paper"]]
    assert {row["model"] for row in paper} == {"DeViSE (paper)", "Softmax (paper)"}


def test_distil_needs_another_label_space(run: Run) -> None:
    code, _, err = run("evaluate", "photos", "--distil")
    assert code == 2
    assert "--distil needs another label space: give --label-vectors or" in err
