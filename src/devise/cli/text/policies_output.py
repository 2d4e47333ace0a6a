"""Print the comparison of label policies as tables."""

from collections.abc import Iterator

from devise.cli.evaluation_output import Rows, print_rows
from devise.errors import counted
from devise.evaluation.audit import LabelSpaceAudit
from devise.evaluation.policytable import PolicyComparison
from devise.evaluation.tables import measure_cell

__all__ = ["print_policies"]

_KS = (5, 20)
_PHOTO_MEASURES = ("hit@1", "hit@5", "hit@20", "hp@5", "hp@20")
_SCORERS = ("devise", "conse", "fused")


def print_policies(found: PolicyComparison, *, markdown: bool) -> None:
    """Print one row per policy, then every scorer, then the legend."""
    print_rows(_cells(found), markdown=markdown)
    if found.rows[0].photos is not None:
        print()
        print_rows(_scorer_cells(found), markdown=markdown, left=2)
    for line in _notes(found):
        print(line)


def _cells(found: PolicyComparison) -> Rows:
    space = [f"{where} {name}" for where in ("trained", "wide") for name in (*(f"@{k}" for k in _KS), "rank", "hubs")]
    photos = [f"fused {name}" for name in _PHOTO_MEASURES] if found.rows[0].photos is not None else []
    rows = [["policy", *space, *photos, "no vector"]]
    for row in found.rows:
        cells = [*_space(row.trained), *_space(row.wide), *(_photos(found, row.policy, "fused") if photos else [])]
        rows.append([row.policy, *cells, f"{row.wide.without_vector:,}"])
    return rows


def _space(measures: LabelSpaceAudit) -> Iterator[str]:
    for k in _KS:
        yield measure_cell("share", measures.shares.get(k))
    correlation = measures.rank_correlation
    yield "-" if correlation is None else f"{correlation:.3f}".replace("0.", ".", 1)
    yield f"{measures.hubness:.2f}"


def _scorer_cells(found: PolicyComparison) -> Rows:
    rows = [["policy", "scorer", *_PHOTO_MEASURES]]
    return [
        *rows,
        *([row.policy, scorer, *_photos(found, row.policy, scorer)] for row in found.rows for scorer in _SCORERS),
    ]


def _photos(found: PolicyComparison, policy: str, scorer: str) -> Iterator[str]:
    result = next(row.photos for row in found.rows if row.policy == policy)
    means = {} if result is None else next(row.per_image for row in result.rows if row.scorer == scorer)
    for name in _PHOTO_MEASURES:
        yield measure_cell(name, means.get(name))


def _notes(found: PolicyComparison) -> Iterator[str]:
    first = found.rows[0]
    yield (
        f"trained: {counted(first.trained.classes, 'class')}; wide: {found.wide_list}, "
        f"{counted(first.wide.classes, 'class')}; @k: "
        "share of a class's k nearest in its correct set; rank: correlation of cosine with edges, -1 is best; "
        f"hubs: skewness of how often a class is among the {first.wide.hub_k} nearest, 0 is best; "
        "no vector: of the wide list"
    )
    for row in found.rows:
        yield f"{row.policy}: {row.space}"
    if first.photos is not None:
        of = first.photos
        yield (
            f"{counted(of.images, 'photo')} of {counted(of.classes, 'class')}, "
            f"{counted(of.candidates, 'candidate')}, surgery in closed "
            "form; hit@k in percent"
        )
    for reason, count in found.skipped.items():
        yield f"left out: {count:,} {reason}"
