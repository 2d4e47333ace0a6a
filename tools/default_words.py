"""Word vectors of the default model: skip-gram over definitions, of WordNet and of encyclopaedias."""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import Provenance
from devise.errors import TextError, counted
from devise.taxonomy.wordnet import Taxonomy
from devise.text.corpus import CorpusSource, read_tokens, sentences
from devise.text.documents import Document
from devise.text.phrases import PhraseJoiner, term_key
from devise.text.readers import open_corpus
from devise.text.skipgram import SkipGramConfig, SkipGramProgress, train_skipgram
from devise.text.tokens import tokenize
from devise.text.vectors import WordTable
from devise.text.vectorstore import read_vector_store, write_vector_store
from tools import parser
from tools.vector_files import write_tokens

__all__ = ["WordsConfig", "defining_articles", "train_words", "words_provenance"]


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """The texts. wordnet: the folder of Debian's `wordnet-base`. articles: encyclopaedias as JSON lines.

    lead: words of each article that are read. An article is read only if its title, without what stands in
    brackets, is a noun of WordNet: then its beginning defines that noun.
    """

    wordnet: Path
    articles: tuple[Path, ...] = ()
    lead: int = 100


def train_words(config: WordsConfig, skipgram: SkipGramConfig, taxonomy: Taxonomy, work: Path) -> WordTable:
    """Train the vectors; cached in `work` by all that they depend on."""
    key = _key(config, skipgram, taxonomy)
    stored = work / f"words-{key}.safetensors"
    if not stored.exists():
        tokens = work / f"tokens-{key}.txt"
        if not tokens.exists():
            tally = write_tokens(tokens, _sentences(config, taxonomy))
            _say(f"corpus: {counted(tally.tokens, 'token')} in {counted(tally.sentences, 'definition')}")
        table = train_skipgram(lambda: read_tokens(tokens), skipgram, _report)
        write_vector_store(stored, table)
    return read_vector_store(stored)


def words_provenance(config: WordsConfig) -> tuple[Provenance, ...]:
    """What the vectors were made of."""
    wordnet = Provenance(
        "text",
        "WordNet glosses (Debian wordnet-base)",
        "3.0",
        "WordNet-3.0",
        sha256=_wordnet_hash(config.wordnet),
    )
    articles = (
        Provenance("text", f"Wikipedia, {path.name}", "", "CC-BY-SA-4.0", sha256=_article_hash(path))
        for path in config.articles
    )
    return (wordnet, *articles)


def defining_articles(path: Path, nouns: frozenset[str]) -> Iterator[Document]:
    """Yield articles whose title, without brackets, is one of the nouns, in the form of `term_key`."""
    for document in open_corpus(path):
        title = document.title.partition("(")[0]
        if term_key(title) in nouns:
            yield Document(title, document.text, defines=True)


def _sentences(config: WordsConfig, taxonomy: Taxonomy) -> Iterator[Sequence[str]]:
    names = taxonomy.lemma_names()
    joiner = PhraseJoiner(names)
    yield from sentences([CorpusSource(config.wordnet)], joiner)
    nouns = frozenset(map(term_key, names)) - {""}
    for path in config.articles:
        for document in defining_articles(path, nouns):
            yield [term_key(document.title), *joiner.join(tokenize(document.text, config.lead))]


def _key(config: WordsConfig, skipgram: SkipGramConfig, taxonomy: Taxonomy) -> str:
    facts = {
        "wordnet": _wordnet_hash(config.wordnet),
        "articles": [_article_hash(path) for path in config.articles],
        "lead": config.lead,
        "names": hashlib.sha256("\n".join(taxonomy.lemma_names()).encode()).hexdigest(),
        **asdict(skipgram),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _article_hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}): give the path of a file") from None


def _wordnet_hash(folder: Path) -> str:
    hashes = [file_sha256(path) for path in sorted(folder.glob("data.*"))]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _report(progress: SkipGramProgress) -> None:
    total = f" of {progress.total:,}" if progress.total else ""
    end = "\n" if progress.tokens == progress.total else "\r"
    line = f"{progress.stage}, pass {progress.epoch} of {progress.epochs}: {progress.tokens:,}{total} words"
    print(line, end=end, file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":  # no command: other tools use it
    parser("default_words", __doc__).print_help()
