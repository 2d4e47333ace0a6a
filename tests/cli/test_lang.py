"""`--lang`: nouns shown and understood in another language, with the same answers as in English."""

import json
import pickle
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from devise.cli.app import main
from devise.cli.output import keywords_of
from devise.model.labeller import load
from devise.search import ray_job
from devise.taxonomy.wordnet import ENGLISH, taxonomy_in


def devise(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return int(stop.value.code or 0)


def answer_of(text: str) -> dict[str, Any]:
    (answer,) = json.loads(text)
    return answer


def test_the_answer_is_the_same_under_other_names(label: Any, photo: Path) -> None:
    english = answer_of(label(photo, "-k", 50, "-f", "json", "--sure", ".3").out)
    done = label(photo, "-k", 50, "-f", "json", "--sure", ".3", "--lang", "fr")
    french, taxonomy = answer_of(done.out), taxonomy_in("fr")
    assert done.code == 0
    assert "names for 19," in done.err
    assert "marked (en)" in done.err
    assert [(one["id"], one["score"]) for one in french["guesses"]] == [
        (one["id"], one["score"]) for one in english["guesses"]
    ]
    way = [*french["guesses"], *french["sure"]["way"]]
    assert [one["name"] for one in way] == [taxonomy.synset(one["id"]).name for one in way]
    assert any(one["name"].endswith(ENGLISH) for one in way)
    assert not label(photo, "--lang", "fr", "--quiet").err


def test_typed_words_are_read_in_the_language_and_kept_as_typed(label: Any, photo: Path) -> None:
    asked = "léopards des neiges，chats、tuba"
    done = label(photo, "--lang", "fr", "--labels", asked, "--candidates", "typed", "-f", "json", "--quiet")
    names = {one["id"]: one["name"] for one in answer_of(done.out)["guesses"]}
    assert names["n02128757"] == "léopards des neiges"
    assert names["n02121620"] == "chats"
    assert len(names) == 3
    below = answer_of(label(photo, "--lang", "fr", "--under", "oiseau", "-f", "json", "--quiet").out)
    birds = taxonomy_in(None).subtree("n01503061")
    assert {one["id"] for one in below["guesses"]} <= birds


def test_a_sense_is_one_of_the_word_in_the_language(label: Any, photo: Path) -> None:
    cat = ("--labels", "chat", "--candidates", "typed", "--sense", "n02121620", "-f", "json", "--quiet")
    assert answer_of(label(photo, "--lang", "fr", *cat).out)["guesses"][0]["id"] == "n02121620"
    done = label(photo, *cat)
    assert (done.code, "n02121620 is not a sense of any given word" in done.err) == (2, True)


def test_names_from_a_file_of_ones_own(label: Any, photo: Path, tmp_path: Path) -> None:
    first = answer_of(label(photo, "-f", "json").out)["guesses"][0]["id"]
    own = tmp_path / "own.tsv"
    own.write_text(f"{first}\tDing\nn99999999\tNichts\n", encoding="utf-8")
    done = label(photo, "-f", "json", "--lang", own)
    assert answer_of(done.out)["guesses"][0]["name"] == "Ding"
    assert "own.tsv: names for 1 of 39,990 labels" in done.err
    assert "; 1 line left out: not a noun of WordNet 3.0" in done.err


@pytest.mark.parametrize("language", ["xx", "de", "", "."])
def test_an_unknown_language_is_one_line(label: Any, photo: Path, language: str) -> None:
    done = label(photo, "--lang", language)
    assert done.code == 2
    assert done.err.startswith("devise: no language ")
    assert done.err.count("\n") == 1


def test_parts_of_another_language_are_not_mixed(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    parts = ("label", photo, "-f", "parquet", "-o", tmp_path / "parts")
    assert devise(*parts, "--lang", "fr") == 0
    assert devise(*parts, "--lang", "fr") == 0
    assert devise(*parts) == 2
    assert "contains labels of another language" in capsys.readouterr().err


class _Data:
    """What the job asks of ray.data, in this process."""

    ActorPoolStrategy = dict

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    @classmethod
    def from_items(cls, rows: list[dict[str, Any]], **_: object) -> "_Data":
        return cls(rows)

    def map_batches(self, worker: Any, *, fn_constructor_args: tuple[Any, ...], **_: object) -> "_Data":
        with chdir("/"):  # a worker is elsewhere
            made = worker(*pickle.loads(pickle.dumps(fn_constructor_args)))
            for row in self._rows:
                made({"items": [row["items"]]})
        return self

    def materialize(self) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--lang", "fr", "--no-prior"), ("--lang", "own.tsv")])
def test_a_cluster_labels_as_one_process_does(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(ray_job, "_ray", lambda: SimpleNamespace(data=_Data))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.tsv").write_text("n00001740\tDing\nn00017222\tPflanze\n", encoding="utf-8")
    for ray, folder in ((0, "plain"), (2, "cluster")):
        parts = ("label", photo, "-f", "parquet", "-o", folder, "--sure", 0.01, *options)
        assert devise(*parts, *(("--ray", ray) if ray else ())) == 0
    plain, cluster = (parquet.read_table(tmp_path / folder).to_pylist() for folder in ("plain", "cluster"))
    assert plain == cluster
    assert plain[0]["guesses"]


def test_keywords_carry_no_mark(tmp_path: Path) -> None:
    model = load(language="da")  # few names
    picture = Image.linear_gradient("L").convert("RGB")
    answer = model.label(picture, sure=0.01)
    assert any(level.name.endswith(ENGLISH) for level in answer.hedge.way)  # type: ignore[union-attr]
    assert not any(name.endswith(ENGLISH) for keyword in keywords_of(answer) for name in keyword.path)


def test_labels_looks_words_up_in_the_language(capsys: pytest.CaptureFixture[str]) -> None:
    assert devise("labels", "léopard des neiges", "--lang", "fr", "-k", 3) == 0
    shown = capsys.readouterr()
    terms = shown.out.partition("  n02128757")[0].split(", ")
    assert "léopard des neiges" in terms[:-3]
    assert terms[-3:] == ["snow leopard", "ounce", "Panthera uncia"]
    assert "WOLF" in shown.err


def test_search_understands_and_shows_the_language(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    assert devise("index", photo, "--out", tmp_path / "index") == 0
    capsys.readouterr()
    hits = []
    for words, lang in (("animal", ()), ("animaux", ("--lang", "fr"))):
        assert devise("search", tmp_path / "index", words, "-f", "json", "--reject", 0, *lang) == 0
        hits += json.loads(capsys.readouterr().out)
    english, french = hits
    assert (french["id"], french["score"]) == (english["id"], english["score"])
    assert french["name"] == taxonomy_in("fr").synset(french["id"]).name
