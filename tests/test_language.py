"""Words that a native reader stumbles over, kept out of the docs, the messages and the docstrings.

Each entry of BANNED is a regular expression and what to write instead. Code, tables' numbers and links do not count.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md"))
)
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src" / "devise").rglob("*.py"))

_COUNTED = (
    r"(?:one|\d[\d.,]*\d|\d|bytes?|cores?|folders?|images|lines?|[kMG]B|megabytes|ms|numbers?|operations|outputs?|photos|pictures"
    r"|ranges?|rows?|samples|scales?|seconds?|steps?|threads?|vectors?|weights?|words)"
)
_EACH = (
    r"(?:class|core|day|epoch|hour|image|label|line|minute|page|photo|picture|point|query|request|row|second|seed|side|step"
    r"|synset|term|weight|word)"
)

BANNED = {
    rf"\b{_COUNTED} an? {_EACH}\b": '"per": one row per picture',
    r"(?<!there )\b(?:is|are|was|were) no\b(?! (?:longer|more|less)\b)": '"is not a", of a number "is NaN"',
    r"\banew\b": '"again"',
    r"\bbesides?\b": '"next to", "with", "as well as"',
    r"\b(?:stands?|stood)\b(?!-| for\b)": '"is", "is listed", "occurs"',
    r"\b(?:given|listed|named|stands) twice\b": '"duplicate"',
    r"\btold\b|\btells?\b(?! you\b)": '"says", "shows", "reports"',
    r"\bholds?\b(?! (?:out|the lock)\b)|\bheld\b(?![ -]out\b)": '"contains", "keeps", "applies"',
    r"\b(?:go|goes|going|gone|went) on\b": '"resume", "continue"',
    r"\bin front\b": '"before"',
    r"\bbehind\b(?! a (?:reverse )?proxy\b)": '"after", "below"',
    r"\bparted\b|\bparts? (?:labels|words)\b": '"separated", "separate"',
    r"\bboughs?\b": '"subtree"',
    r"\bhangs?\b|\bhung\b": '"is under"',
    r"\blies\b": '"is"',
    r"\b(?:is|are) such\b|\bsuch an? one\b": '"like this"',
    r"(?:^|[.:;] )(?-i:Who) (?:\w+ )?\w+s? [^.?]*\.": '"Users who ..."',
    r", for (?:it|they|he|she|we) ": '"because"',
    r"\bwhere there (?:is|are|was|were)\b": '"if there is"',
    r"\bbe (?:they|it)\b": '"whether"',
    r"\b(?:but|none but) for\b|\bnone but\b": '"except", "only"',
    r"\bin place of\b": '"instead of"',
    r"\bat hand\b": '"available"',
    r"\bof (?:yours|ours|one's own)\b": '"your own ..."',
    r"\bmend(?:s|ed|ing)?\b": '"fix", "correct"',
    r"\b(?:likelier|surer of itself)\b": '"more likely"',
    r"\bas it must\b": '"invalid"',
    r"\bthe talk\b": "which talk?",
    r"\b(?:amongst|aught|ere|hence|hereby|herein|lest|nought|thereby|therein|thereof|thither|thrice|upon|whence|whereby"
    r"|wherein|whilst)\b": "today's word",
}
LONGEST = 120


def prose(page: str) -> Iterator[tuple[int, str]]:
    """The paragraphs, list items and table rows of a page, each with the number of its first line."""
    number, block, code = 0, "", False
    for at, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        fence = line.lstrip().startswith("```")
        if fence or code or not line.strip() or re.match(r"\s*(?:[-*|#]|\d+\. )", line):
            if block:
                yield number, block
            number, block = at, ""
            code ^= fence
            if fence or code:
                continue
        number = number if block else at
        block = f"{block} {line.strip()}".strip()
    if block:
        yield number, block


def plain(text: str) -> str:
    """A text without code, the targets of links, quotations and marks of lists."""
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"\"[^\"]*\"|^[-*#|\d. ]+", "", text)


def faults(text: str) -> list[str]:
    """What is wrong with a text, each with what to write."""
    read = plain(text)
    found = ((re.search(pattern, read, re.IGNORECASE), better) for pattern, better in BANNED.items())
    return [f"{match[0].strip()!r}: write {better}" for match, better in found if match]


def strings(node: ast.AST) -> Iterator[str]:
    """The text constants in a piece of code."""
    values = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return (value for value in values if isinstance(value, str))


def messages(module: str) -> Iterator[tuple[int, str]]:
    """A module's docstrings by paragraph, its comments, its help texts, and what it says when it raises an error."""
    text = (ROOT / module).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(ast.Constant(str(doc))):
                for paragraph in re.split(r"\n\s*\n", re.sub(r"(?s)>>> .*", "", doc)):
                    yield node.lineno, re.sub(r"\b\w+(?:, \w+)*: ", ": ", " ".join(paragraph.split()))  # parameters
            case ast.keyword("help"):
                yield node.lineno, " ".join(strings(node.value))
            case ast.Raise():
                yield node.lineno, " ".join(strings(node))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_in_plain_english(page: str):
    assert not [f"{page}:{line}: {fault}" for line, text in prose(page) for fault in faults(text)]


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_a_page_are_short(page: str):
    """All but code, tables, pictures, and lines that one link or piece of code makes long."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    fences = [line.lstrip().startswith("```") for line in lines]
    long = [at for at, line in enumerate(lines) if len(line) > LONGEST and not re.match(r"\s*\||!\[|\[", line)]
    assert not [f"{page}:{at + 1}" for at in long if sum(fences[:at]) % 2 == 0 and "](" not in lines[at]]


def test_a_module_speaks_plain_english():
    assert not [
        f"{name}:{line}: {fault}" for name in MODULES for line, text in messages(name) for fault in faults(text)
    ]


def test_the_index_lists_every_decision():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[^)]*\.md)\)", (folder / "index.md").read_text(encoding="utf-8"))
    assert listed == sorted(page.name for page in folder.glob("0*.md"))


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("one row a picture", "per"),
        ("5 ms a photo", "per"),
        ("a loss that is no number", "NaN"),
        ("label n02123045 stands twice in a label set", "duplicate"),
        ("Who only labels never pays for training.", "Users"),
        ("which this page does not tell", "shows"),
        ("the paper's rows beside", "next to"),
        ("solved anew", "again"),
        ("In front stands the probability", "before"),
    ],
)
def test_the_words_of_the_style_guide_are_found(text: str, better: str):
    assert better in " ".join(faults(text))


@pytest.mark.parametrize(
    "text",
    [
        "there is no time stamp",
        "photos held out",
        "such as dogs",
        "run `devise anew`",
        "[a](beside.md)",
        "what it tells you",
    ],
)
def test_plain_words_are_left_alone(text: str):
    assert not faults(text)
