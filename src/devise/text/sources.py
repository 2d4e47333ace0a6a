"""The texts of a training: files of several kinds, phrases joined, and hashes that identify the text."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devise.errors import TextError
from devise.text.corpus import CorpusSource, CorpusTally, read_tokens, sentences
from devise.text.phrases import PhraseJoiner
from devise.text.readers import open_corpus
from devise.text.streams import decoded, numbered_lines
from devise.text.wordnetglosses import DATA_FILES, NOUN_FILE

__all__ = ["TextFiles", "read_phrases"]


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Files to train on, in order.

    tokenised: lines of tokens parted by spaces, read as they are; else what `open_corpus` knows. phrases: joined where
    they stand in the text; None joins none. sense_tags: see `tagged`; for WordNet's folder, not for tokenised text.
    """

    paths: tuple[Path, ...]
    tokenised: bool = False
    phrases: tuple[str, ...] | None = None
    sense_tags: bool = False

    def check(self) -> None:
        """Raise TextError if a file is missing or of an unknown type, or if no file has glosses to tag."""
        if self.sense_tags and (self.tokenised or not any(_has_nouns(path) for path in self.paths)):
            raise TextError("sense tags need WordNet's glosses: give its folder or data.noun, not tokenised text")
        for path in self.paths:
            if self.tokenised and not path.is_file():
                raise TextError(f"{path} is not a file: give files of tokens separated by spaces")
            if not self.tokenised:
                open_corpus(path)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file by its place and name, and of how they are read."""
        found = {f"{number} {path.name}": _hash(path) for number, path in enumerate(self.paths, start=1)}
        phrases = "none" if self.phrases is None else hashlib.sha256("\n".join(self.phrases).encode()).hexdigest()
        tags = {"sense tags": "True"} if self.sense_tags else {}
        return found | {"phrases": phrases, "tokenised": str(self.tokenised)} | tags

    def sentences(self, tally: CorpusTally) -> Iterator[list[str]]:
        """Yield the sentences of all files; the tally grows while they are read."""
        joiner = PhraseJoiner(self.phrases or ())
        if not self.tokenised:
            files = [CorpusSource(path) for path in self.paths]
            yield from sentences(files, joiner, tally, sense_tags=self.sense_tags)
            return
        for path in self.paths:
            for tokens in read_tokens(path):
                joined = joiner.join(list(filter(None, tokens)))
                tally.documents += 1
                tally.sentences += bool(joined)
                tally.empty += not joined
                tally.tokens += len(joined)
                yield joined


def read_phrases(path: Path) -> tuple[str, ...]:
    """Read one phrase per line, ignoring blank lines. TextError names a line that is not UTF-8."""
    lines = (decoded(raw, path, number, TextError).strip() for number, raw in numbered_lines(path, TextError))
    return tuple(filter(None, lines))


def _has_nouns(path: Path) -> bool:
    return path.name == NOUN_FILE or (path / NOUN_FILE).is_file()


def _hash(path: Path) -> str:
    """Of a file, or of WordNet's files in a folder."""
    files: Sequence[Path] = [path / name for name in DATA_FILES] if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole.update(_file_hash(file).encode())
    return whole.hexdigest()


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}): give the path of a file") from None
