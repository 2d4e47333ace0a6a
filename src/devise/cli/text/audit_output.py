"""Print the audit of a label space as tables."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from devise.cli.printing import columns, page, plain
from devise.errors import counted
from devise.evaluation.audit import EXAMPLE_NAME, Audit, FarClass, LabelSpaceAudit
from devise.meaning.senses import VECTOR_FROM

__all__ = ["print_audit"]

_SHOWN = 4  # neighbours named of a worst case


def print_audit(found: Audit, seed: int) -> None:
    """Print everything, metrics first."""
    lists = {"trained": found.trained, found.wide_list: found.wide}
    blocks: list[RenderableType] = [
        plain(f"{found.model}, policy {found.policy}, {counted(found.words, 'word')}"),
        Text(),
        *_titled("label space compared with WordNet", _measures(lists)),
        *_notes(lists.values(), seed),
        *_titled("vectors by source", _coverage(found)),
        *_titled("pairs of words, by cosine", _cases(found)),
        plain(
            "labels: cosine as labels of the model; words: cosine of the bare word vectors, which mix all senses", "dim"
        ),
        Text(),
        *_titled(f"nearest to {EXAMPLE_NAME}", _pineapple(found)),
    ]
    for name, measures in lists.items():
        blocks += _titled(f"unrelated to all their nearest: {name}", _far(measures.far, found.names))
        hubs = ((f"{hub.count:,}", found.names[hub.id], hub.id) for hub in measures.hubs)
        head = (f"among the {measures.hub_k} nearest of", "class", "id")
        blocks += _titled(f"hubs: {name}", columns(head, hubs, right={0}))
    page(blocks[:-1])


def _titled(title: str, table: Table) -> Iterator[RenderableType]:
    yield plain(title, "bold")
    yield table
    yield Text()


def _measures(lists: Mapping[str, LabelSpaceAudit]) -> Table:
    ks = list(dict.fromkeys(k for measures in lists.values() for k in measures.shares))
    heads = ("classes", "", *(f"@{k}" for k in ks), "rank corr.", "hubness", "never near")
    rows = []
    for name, one in lists.items():
        shares = [_number(one.shares.get(k)) for k in ks]
        correlation = _number(one.rank_correlation)
        rows.append((name, f"{one.classes:,}", *shares, correlation, f"{one.hubness:.2f}", f"{one.never_near:,}"))
        rows.append(("  by chance", "", *(_number(one.chance.get(k)) for k in ks), "", "", ""))
    return columns(heads, rows, right=set(range(1, len(heads))))


def _notes(measures: Iterable[LabelSpaceAudit], seed: int) -> Iterator[RenderableType]:
    small, wide = measures
    ranked = ", ".join(f"{one.pairs:,} ({'all' if one.exact else f'sample, seed {seed}'})" for one in (small, wide))
    yield plain(
        f"@k: share of a class's k nearest in its correct set; rank corr.: cosine with edges, -1 is best, over "
        f"{ranked} pairs; hubness: skewness of how often a class is among the "
        f"{wide.hub_k} nearest, 0 is best; never "
        f"near: classes among the nearest of none; without a vector, scored 0: {small.without_vector:,} and "
        f"{wide.without_vector:,}",
        "dim",
    )
    yield Text()


def _coverage(found: Audit) -> Table:
    rows = [(VECTOR_FROM[one], f"{pair[0]:,}", f"{pair[1]:,}") for one, pair in found.sources.items()]
    return columns(("from", "trained", "others"), rows, right={1, 2})


def _cases(found: Audit) -> Table:
    rows = [(" / ".join(one.names), _number(one.labels), _number(one.words), one.one, one.other) for one in found.cases]
    return columns(("names", "labels", "words", "compared", ""), rows, right={1, 2})


def _pineapple(found: Audit) -> Table:
    labels = [(_number(one.cosine), one.label.name) for one in found.neighbours]
    words = [(_number(cosine), word.replace("_", " ")) for word, cosine in found.word_neighbours]
    count = max(len(labels), len(words))
    filled = [side + [("", "")] * (count - len(side)) for side in (labels, words)]
    rows = ((*one, *other) for one, other in zip(*filled, strict=True))
    return columns(("", "labels", "", "words"), rows, right={0, 2})


def _far(cases: Iterable[FarClass], names: Mapping[str, str]) -> Table:
    rows = []
    for case in cases:
        near = ", ".join(names[one] for one in case.nearest[:_SHOWN])
        known = [edges for edges in case.edges if edges is not None]
        span = " to ".join(map(str, dict.fromkeys((min(known), max(known))))) if known else "not joined"
        rows.append((names[case.id], case.id, span, near))
    return columns(("class", "id", "edges", "nearest"), rows, right={2})


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".replace("0.", ".", 1)
