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
from devise.files import sole_writer
from devise.text import gathering
from devise.text.corpus import CorpusSource, read_tokens, sentences
from devise.text.gathering import GatherConfig, GatherProgress, gather_corpus
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
@given(stops=st.lists(st.integers(1, 70), max_size=4), ending=st.sampled_from(["", ".gz", ".xz", ".bz2"]))
@pytest.mark.usefixtures("small_steps")
def test_broken_off_anywhere_and_resumed_is_as_unbroken(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], ending: str
) -> None:
    folder = tmp_path_factory.mktemp("resume")
    half = CorpusSource(dump(folder / "d.xml.bz2", 30), repeat=Fraction(5, 2))
    sources = [half, CorpusSource(json_lines(folder / "a.jsonl", 10), repeat=2), half]
    out, config = folder / f"c.txt{ending}", GatherConfig("tokens", PHRASES)
    whole = gather_corpus(sources, folder / f"whole.txt{ending}", config)
    done = 0
    for count in sorted(stops):
        with pytest.raises(KeyboardInterrupt) as caught:
            gather_corpus(sources, out, config, resume=True, on_progress=stop_after(count, KeyboardInterrupt()))
        parts = sorted(folder.glob(f"{out.name}.parts/*.part"))
        assert done <= len(parts) <= 1
        assert ("--resume continues from there" if parts else "nothing was done yet") in caught.value.__notes__[0]
        done = len(parts)
    assert gather_corpus(sources, out, config, resume=True) == whole
    assert out.read_bytes() == (folder / f"whole.txt{ending}").read_bytes()
    text = OPENERS[ending](out.read_bytes()).decode()
    assert text == "".join(" ".join(one) + "\n" for one in sentences(sources, PhraseJoiner(PHRASES)))
    assert not list(folder.glob("*.parts"))


OPENERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
}


@pytest.fixture
def stopped(tmp_path: Path) -> list[CorpusSource]:
    """Two sources; the first is done, and a stop came in the second."""
    sources = [CorpusSource(json_lines(tmp_path / f"{name}.jsonl", 300, name)) for name in ("first", "second")]
    with pytest.raises(TextError, match=r"stop; 300 documents of 1 source kept in .*c\.txt\.parts"):
        gather_corpus(sources, tmp_path / "c.txt", GatherConfig(), on_progress=stop_after(500, TextError("stop")))
    return sources


def test_only_what_is_missing_is_read_again(
    tmp_path: Path, stopped: list[CorpusSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(path: Path, *more: Any) -> Any:
        if more:
            read.append(Path(path).name)
        return open_corpus(path, *more)

    monkeypatch.setattr(gathering, "open_corpus", counting)
    assert gather_corpus(stopped, tmp_path / "c.txt", GatherConfig(), resume=True).documents == 600
    assert read == ["second.jsonl"]


@pytest.mark.parametrize("changed", ["content", "setting", "damaged", "lost"])
def test_a_part_of_other_content_or_settings_is_made_again(
    tmp_path: Path, stopped: list[CorpusSource], changed: str
) -> None:
    counts = next((tmp_path / "c.txt.parts").glob("*.json"))
    match changed:
        case "content":
            json_lines(tmp_path / "first.jsonl", 301, "first")
        case "setting":
            stopped[0] = CorpusSource(stopped[0].path, lead=1)
        case "damaged":
            counts.write_text('{"documents": -1}')
        case "lost":
            counts.with_suffix(".part").unlink()
    gather_corpus(stopped, tmp_path / "fresh.txt", GatherConfig())
    gather_corpus(stopped, tmp_path / "c.txt", GatherConfig(), resume=True)
    assert (tmp_path / "c.txt").read_bytes() == (tmp_path / "fresh.txt").read_bytes()
    assert not (tmp_path / "c.txt.parts").exists()


def test_an_unfinished_run_is_not_begun_again_unasked(tmp_path: Path, stopped: list[CorpusSource]) -> None:
    with pytest.raises(UsageError, match="has the parts of an unfinished run: continue with --resume, or remove it"):
        gather_corpus(stopped, tmp_path / "c.txt", GatherConfig())


@pytest.mark.parametrize("workers", [1, 2])
def test_truncated_dump_is_told_and_read_when_it_is_whole(tmp_path: Path, workers: int) -> None:
    first, path = json_lines(tmp_path / "a.jsonl", 3), dump(tmp_path / "d.xml.bz2", 3000)
    sources, out = [CorpusSource(first), CorpusSource(path)], tmp_path / "c.txt.xz"
    whole = path.read_bytes()
    gather_corpus(sources, tmp_path / "whole.txt", GatherConfig())
    plain = bz2.decompress(whole)
    path.write_bytes(bz2.compress(plain[: len(plain) // 2]))
    with pytest.raises(TextError, match=r"breaks off after [\d,]+ pages?.*; 3 documents of 1 source kept in"):
        gather_corpus(sources, out, GatherConfig(workers=workers))
    path.write_bytes(whole)
    gather_corpus(sources, out, GatherConfig(workers=workers), resume=True)
    assert lzma.decompress(out.read_bytes()) == (tmp_path / "whole.txt").read_bytes()


def test_full_disk_keeps_what_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [CorpusSource(json_lines(tmp_path / f"{name}.jsonl", 100)) for name in "ab"]
    gather_corpus(sources, tmp_path / "whole.txt", GatherConfig())
    calls = 0

    def full(path: Path, mode: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device", str(path))
        return atomic_write(path, mode)

    atomic_write = gathering.atomic_write
    monkeypatch.setattr(gathering, "atomic_write", full)
    message = r"\.part cannot be written: No space left on device; 100 documents of 1 source kept in"
    with pytest.raises(TextError, match=message):
        gather_corpus(sources, tmp_path / "c.txt", GatherConfig())
    gather_corpus(sources, tmp_path / "c.txt", GatherConfig(), resume=True)
    assert (tmp_path / "c.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


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


def test_a_corpus_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    sources, out = [CorpusSource(json_lines(tmp_path / "a.jsonl", 3))], tmp_path / "c.txt"
    with (
        sole_writer(tmp_path / "c.txt.parts", UsageError),
        pytest.raises(UsageError, match=r"c\.txt\.parts: another process is writing to it: wait until it ends"),
    ):
        gather_corpus(sources, out, GatherConfig("tokens", (), 1), resume=True)
    assert gather_corpus(sources, out, GatherConfig("tokens", (), 1)).documents == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "c.txt"]


def test_targets_that_are_no_files(tmp_path: Path) -> None:
    sources = [CorpusSource(json_lines(tmp_path / "a.jsonl", 3))]
    with pytest.raises(UsageError, match="is not a file"):
        gather_corpus(sources, tmp_path, GatherConfig())
    with pytest.raises(UsageError, match="needs a folder that exists"):
        gather_corpus(sources, tmp_path / "no" / "c.txt", GatherConfig())
