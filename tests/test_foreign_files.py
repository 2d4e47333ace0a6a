"""Lists that come from outside: the same oddity is treated in the same way, whatever is listed."""

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devise.cli.serve import _token
from devise.errors import DeviseError
from devise.evaluation.record import read_record
from devise.evaluation.testsets import read_counts
from devise.model.candidatefile import read_candidates
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.phrases import read_phrases
from devise.text.readers import open_corpus
from devise.text.similarity import read_analogies, read_pairs
from devise.text.vectorfiles import read_vectors
from devise.training.classes import read_review
from devise.training.config import RunConfig, resolve

CAT, DOG = "n02121620", "n02084071"

Reader = Callable[[Path], Any]


def _vectors(path: Path) -> dict[str, list[float]]:
    table = read_vectors(path)
    return dict(zip(table.words, table.vectors.tolist(), strict=True))


READERS: dict[str, tuple[str, str, Reader]] = {
    "candidates": ("c.txt", f"{CAT}\n{DOG}\n", lambda path: read_candidates(str(path)).ids),
    "candidates in JSON": ("c.json", f'["{CAT}",\n"{DOG}"]\n', lambda path: read_candidates(str(path)).ids),
    "counts": ("n.txt", f"{CAT} 3\n{DOG} 4\n", lambda path: read_counts(path, {CAT, DOG})),
    "classes": ("k.tsv", f"cat\t{CAT}\ndog\t{DOG}\n", lambda path: read_review(path, default_taxonomy())),
    "settings": ("s.toml", "epochs = 3\nbatch = 2\n", lambda path: resolve(RunConfig, path, {})),
    "token": ("t.txt", "secret\n\n", _token),
    "phrases": ("p.txt", "snow leopard\nice cream\n", read_phrases),
    "pairs": ("w.txt", "cat dog 3\ncar cab 4\n", read_pairs),
    "analogies": ("a.txt", ": kin\nking queen man woman\n", read_analogies),
    "text": ("x.txt", "a cat\na dog\n", lambda path: list(open_corpus(path))),
    "documents": ("x.jsonl", '{"text": "a cat"}\n{"text": "a dog"}\n', lambda path: list(open_corpus(path))),
    "vectors with a header": ("v.vec", "2 2\ncat 1 2\ndog 3 4\n", _vectors),
    "vectors": ("v.txt", "cat 1 2\ndog 3 4\n", _vectors),
}


@pytest.fixture(params=READERS)
def listed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, Reader]:
    """A file that is to be written, what belongs into it, and what reads it."""
    name, text, read = READERS[request.param]
    return tmp_path / name, text, read


@pytest.mark.parametrize(
    "written",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode().rstrip(b"\r\n"),
    ],
    ids=["byte order mark", "CR LF", "CR", "byte order mark, CR LF, no last line end"],
)
def test_marks_and_line_ends_change_nothing(listed: tuple[Path, str, Reader], written: Callable[[str], bytes]) -> None:
    path, text, read = listed
    path.write_bytes(text.encode())
    expected = read(path)
    path.write_bytes(written(text))
    assert read(path) == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_utf_16_is_refused_with_the_cure(listed: tuple[Path, str, Reader], encoding: str) -> None:
    path, text, read = listed
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DeviseError, match=f"{path.name} is text in UTF-16, not in UTF-8: save it as UTF-8"):
        read(path)


@pytest.mark.parametrize(("bad", "why"), [(b"caf\xe9", "is not UTF-8 at its byte"), (b"c\0at", "contains a NUL byte")])
def test_cp1252_and_nul_are_refused_with_their_line(listed: tuple[Path, str, Reader], bad: bytes, why: str) -> None:
    path, text, read = listed
    lines = text.encode().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], bad + b" " + lines[1], *lines[2:]]))
    with pytest.raises(DeviseError, match=f"{path.name} line 2.* {why}|{path.name} line 2:.*UTF-8"):
        read(path)


def test_a_record_saved_again_by_an_editor(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(codecs.BOM_UTF8 + b"{}")
    with pytest.raises(DeviseError, match="is not a record"):
        read_record(tmp_path / "r.json")
    (tmp_path / "r.json").write_bytes("{}".encode("utf-16"))
    with pytest.raises(DeviseError, match="UTF-16"):
        read_record(tmp_path / "r.json")
