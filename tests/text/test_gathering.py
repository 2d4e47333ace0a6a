import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.errors import TextError, UsageError
from devise.text import gathering
from devise.text.corpus import CorpusSource, read_tokens, sentences
from devise.text.gathering import GatherConfig, GatherProgress, PartialFile, gather_corpus
from devise.text.phrases import PhraseJoiner
from devise.text.readers import open_corpus

pytest.importorskip("mwparserfromhell")

PHRASES = ("snow leopard", "large feline")


def json_lines(path: Path, count: int, of: str = "A snow leopard") -> Path:
    lines = (json.dumps({"title": f"t{n}", "text": f"{of} number {n}."}) for n in range(count))
    path.write_text("\n".join(lines) + "\n")
    return path


def wordnet(folder: Path) -> Path:
    folder.mkdir()
    line = b"02128925 05 n 02 snow_leopard 0 Ounce 0 000 | large feline of upland central Asia\n"
    (folder / "data.noun").write_bytes(line)
    return folder


def dump(path: Path, count: int) -> Path:
    pages = "".join(
        f"<page><title>P{n}</title><ns>{n % 3 // 2}</ns><revision><text>{'#REDIRECT [[x]]' if n % 3 == 1 else ''}"
        f"The '''snow leopard''' {n}.</text></revision></page>\n"
        for n in range(count)
    )
    path.write_bytes(bz2.compress(f"<mediawiki>{pages}</mediawiki>".encode()))
    return path


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devise.text.gathering._DOCUMENTS", 3)
    monkeypatch.setattr(gathering, "_BLOCK_CHARACTERS", 200)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("small_steps")
def test_all_sources_in_order_as_one_process_reads_them(tmp_path: Path, workers: int) -> None:
    sources = [
        CorpusSource(wordnet(tmp_path / "wn"), repeat=2),
        CorpusSource(dump(tmp_path / "d.xml.bz2", 20), repeat=Fraction(3, 2), lead=3),
        CorpusSource(json_lines(tmp_path / "a.jsonl", 11)),
    ]
    tally = gather_corpus(sources, tmp_path / "c.txt.xz", GatherConfig("tokens", PHRASES, workers))
    written = list(read_tokens(tmp_path / "c.txt.xz"))
    assert written == list(sentences(sources, PhraseJoiner(PHRASES)))
    assert written[0] == ["snow_leopard", "large_feline", "of", "upland", "central", "asia"]
    assert (tally.documents, tally.sentences) == (4 + 7 + 3 + 11, 25)
    assert tally.tokens == sum(map(len, written))
    assert (tally.pages, tally.redirects, tally.other_namespaces, tally.passed_over) == (40, 14, 12, 4)


def test_json_lines_keep_text_and_what_defines(tmp_path: Path) -> None:
    sources = [CorpusSource(wordnet(tmp_path / "wn")), CorpusSource(json_lines(tmp_path / "a.jsonl", 2), lead=3)]
    (tmp_path / "b.txt").write_text("--\nlast ü\n")
    tally = gather_corpus([*sources, CorpusSource(tmp_path / "b.txt")], tmp_path / "c.jsonl", GatherConfig("jsonl"))
    documents = list(open_corpus(tmp_path / "c.jsonl"))
    assert [(d.title, d.text, d.defines) for d in documents] == [
        ("snow leopard", "large feline of upland central Asia", True),
        ("Ounce", "large feline of upland central Asia", True),
        ("t0", "A snow leopard", False),
        ("t1", "A snow leopard", False),
        ("", "last ü", False),
    ]
    assert (tally.documents, tally.empty, tally.tokens) == (5, 1, 0)


def stop_after(count: int, error: BaseException) -> Callable[[GatherProgress], None]:
    def stop(now: GatherProgress) -> None:
        if now.documents >= count:
            raise error

    return stop


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(stops=st.lists(st.integers(1, 40), max_size=4))
@pytest.mark.usefixtures("small_steps")
def test_broken_off_anywhere_and_resumed_is_as_unbroken(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("resume")
    half = CorpusSource(dump(folder / "d.xml.bz2", 30), repeat=Fraction(5, 2))
    sources = [half, CorpusSource(json_lines(folder / "a.jsonl", 10), repeat=2)]
    config = GatherConfig("tokens", PHRASES)
    whole = gather_corpus(sources, folder / "whole.txt", config)
    for count in sorted(stops):
        with pytest.raises(KeyboardInterrupt) as caught:
            gather_corpus(
                sources,
                folder / "c.txt",
                config,
                resume=True,
                on_progress=stop_after(count, KeyboardInterrupt()),
            )
        assert "--resume continues from there" in caught.value.__notes__[0]
        kept = (folder / "c.partial.txt").read_text()
        assert kept
        assert (folder / "whole.txt").read_text().startswith(kept)
    tally = gather_corpus(sources, folder / "c.txt", config, resume=True)
    assert tally == whole
    assert (folder / "c.txt").read_bytes() == (folder / "whole.txt").read_bytes()
    assert not (folder / "c.partial.txt").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_truncated_dump_keeps_what_stood_before_and_goes_on_when_mended(tmp_path: Path, workers: int) -> None:
    path = dump(tmp_path / "d.xml.bz2", 3000)
    whole = path.read_bytes()
    gather_corpus([CorpusSource(path)], tmp_path / "whole.txt", GatherConfig())
    plain = bz2.decompress(whole)
    path.write_bytes(bz2.compress(plain[: len(plain) // 2]))
    with pytest.raises(
        TextError, match=r"breaks off after [\d,]+ pages?.*; [\d,]+ documents? kept in .*c\.partial\.txt.xz"
    ):
        gather_corpus([CorpusSource(path)], tmp_path / "c.txt.xz", GatherConfig(workers=workers))
    kept = list(read_tokens(tmp_path / "c.partial.txt.xz"))
    assert 450 < len(kept) < 550
    path.write_bytes(whole)
    gather_corpus([CorpusSource(path)], tmp_path / "c.txt.xz", GatherConfig(workers=workers), resume=True)
    assert lzma.decompress((tmp_path / "c.txt.xz").read_bytes()) == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CorpusSource(json_lines(tmp_path / "a.jsonl", 100))
    config = GatherConfig()
    gather_corpus([source], tmp_path / "whole.txt", config)
    calls = 0

    def full(path: Path) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(28, "No space left on device")
        return atomic_write(path)

    atomic_write = gathering.atomic_write
    monkeypatch.setattr(gathering, "atomic_write", full)
    message = r"c\.partial\.txt cannot be written: No space left on device; \d+ documents? kept"
    with pytest.raises(TextError, match=message):
        gather_corpus([source], tmp_path / "c.txt", config)
    kept = (tmp_path / "c.partial.txt").read_text()
    assert kept.endswith("\n")
    assert (tmp_path / "whole.txt").read_text().startswith(kept)
    gather_corpus([source], tmp_path / "c.txt", config, resume=True)
    assert (tmp_path / "c.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_source_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    source = CorpusSource(json_lines(tmp_path / "a.jsonl", 30))
    with pytest.raises(TextError, match="kept"):
        gather_corpus([source], tmp_path / "c.txt", GatherConfig(), on_progress=stop_after(9, TextError("stop")))
    json_lines(tmp_path / "a.jsonl", 30, of="Another")
    with pytest.raises(TextError, match="has changed since this run began"):
        gather_corpus([source], tmp_path / "c.txt", GatherConfig(), resume=True)


def test_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("--\n")
    with pytest.raises(TextError, match=r"no text in .*; nothing was done yet"):
        gather_corpus([CorpusSource(tmp_path / "a.txt")], tmp_path / "c.txt", GatherConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(TextError, match="does not exist"):
        gather_corpus([CorpusSource(tmp_path / "b.txt")], tmp_path / "c.txt", GatherConfig())
    with pytest.raises(UsageError, match="workers must be at least 1"):
        GatherConfig(workers=0)


def test_progress_reaches_the_size_of_the_sources(tmp_path: Path) -> None:
    sources = [CorpusSource(json_lines(tmp_path / "a.jsonl", 10), repeat=2), CorpusSource(wordnet(tmp_path / "wn"))]
    seen: list[GatherProgress] = []
    gather_corpus(sources, tmp_path / "c.txt", GatherConfig(), on_progress=seen.append)
    size = 2 * (tmp_path / "a.jsonl").stat().st_size + (tmp_path / "wn" / "data.noun").stat().st_size
    assert all(now.total == size and now.read <= size for now in seen)
    assert [now.read for now in seen] == sorted(now.read for now in seen)
    assert seen[-1].documents == 22


def test_a_file_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    sources, out = [CorpusSource(json_lines(tmp_path / "a.jsonl", 3))], tmp_path / "c.txt"
    with (
        PartialFile(out, {}).alone(),
        pytest.raises(UsageError, match=r"c\.partial\.txt: another process is writing to it: wait until it ends"),
    ):
        gather_corpus(sources, out, GatherConfig("tokens", (), 1), resume=True)
    assert gather_corpus(sources, out, GatherConfig("tokens", (), 1)).documents == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "c.txt"]


OPENERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
}


@pytest.mark.parametrize("ending", OPENERS)
def test_checkpoints_are_valid_files_and_the_end_has_the_name(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"my.corpus.txt{ending}"
    file = PartialFile(out, {})
    assert file.open(False) is None
    assert file.path.name == f"my.corpus.partial.txt{ending}"
    for number in range(3):
        file.append(f"line {number} ü\n", {"n": number})
        written = OPENERS[ending](file.path.read_bytes()).decode()
        assert written == "".join(f"line {n} ü\n" for n in range(number + 1))
    assert not out.exists()
    file.finish()
    assert OPENERS[ending](out.read_bytes()).decode().count("\n") == 3
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_what_a_crash_left_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "c.txt"
    first = PartialFile(out, {"a": [1, None]})
    first.open(False)
    first.append("one\n", {"n": 1})
    with first.path.open("a") as file:
        file.write("half a li")
    second = PartialFile(out, {"a": [1, None]})
    assert second.open(True) == {"n": 1}
    second.append("two\n", {"n": 2})
    second.finish()
    assert out.read_text() == "one\ntwo\n"


def test_unfinished_runs_are_not_mixed_up(tmp_path: Path) -> None:
    out = tmp_path / "c.txt"
    file = PartialFile(out, {"a": 1})
    file.open(False)
    file.append("one\n", {})
    with pytest.raises(UsageError, match="is an unfinished run: continue with --resume, or remove"):
        PartialFile(out, {"a": 1}).open(False)
    with pytest.raises(UsageError, match="other sources or settings"):
        PartialFile(out, {"a": 2}).open(True)
    file.path.write_text("o")
    with pytest.raises(TextError, match="shorter than at its last checkpoint"):
        PartialFile(out, {"a": 1}).open(True)


@pytest.mark.parametrize("notes", ["", "{", "[]", "{}", '{"version": 3, "facts": {}, "length": 1, "state": {}}'])
def test_notes_that_say_nothing(tmp_path: Path, notes: str) -> None:
    (tmp_path / "c.partial.txt").write_text("one\n")
    (tmp_path / "c.partial.txt.json").write_text(notes)
    with pytest.raises(TextError, match="does not say how to resume"):
        PartialFile(tmp_path / "c.txt", {}).open(True)


def test_targets_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        PartialFile(tmp_path, {}).open(False)
    with pytest.raises(UsageError, match="needs a folder that exists"):
        PartialFile(tmp_path / "no" / "c.txt", {}).open(False)
