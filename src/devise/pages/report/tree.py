"""The confusion tree of a report as nested, foldable lists."""

from collections.abc import Iterator

from devise.errors import counted
from devise.evaluation.confusion import Branch, Flow
from devise.pages.frame import html_text
from devise.pages.report.content import Content

__all__ = ["tree_section"]

_OPEN = 0.25  # branches with at least this share of all photos are open at first
_FLOWS = 12  # wrong ways named at one fork


def tree_section(content: Content) -> str:
    """Return the tree with its explanation, or empty text without photos."""
    tree = content.confusion
    if not tree.photos:
        return ""
    return (
        '<div class="card"><p class="soft">WordNet, reduced to the classes of these photos. Each line shows for how '
        f"many photos of a branch the first guess of {html_text(content.model)} stays in that branch. The wrong turns "
        "at each fork are listed below it, as <i>branch of the true class</i> → <i>branch of the guess</i>. If a "
        'synset has several hypernyms, the first is used.</p>\n<ul class="tree" role="list">\n'
        f"<li>{_branch(tree, content.names, tree.photos)}</li>\n</ul>"
        "</div>\n"
    )


def _branch(branch: Branch, names: dict[str, str], total: int) -> str:
    inside = "".join(_inside(branch, names, total))
    line = _line(branch, names)
    if not inside:
        return f'<div class="leaf">{line}</div>'
    opened = " open" if branch.photos >= _OPEN * total else ""
    return f'<details class="branch"{opened}><summary>{line}</summary>\n{inside}</details>'


def _line(branch: Branch, names: dict[str, str]) -> str:
    above = " › ".join(names[synset] for synset in branch.path[:-1][-2:])
    before = f'<span class="soft small">{html_text(above)} › </span>' if above else ""
    name = html_text(names[branch.path[-1]]) if branch.path else "all"
    right, kept, all_of = branch.right, branch.kept, branch.photos
    words = f"{right:,} right, {kept:,} of {all_of:,} kept" if branch.branches else f"{right:,} of {all_of:,} right"
    bar = "".join(
        f'<span class="{kind}" style="width:{100 * part / all_of:.1f}%"></span>'
        for kind, part in (("right", right), ("kept", kept - right))
        if part
    )
    return (
        f'<span class="branchname">{before}<b>{name}</b></span> '
        f'<span class="count">{words}</span><span class="stack" aria-hidden="true">{bar}</span>'
    )


def _inside(branch: Branch, names: dict[str, str], total: int) -> Iterator[str]:
    if branch.flows:
        shown = branch.flows[:_FLOWS]
        items = "".join(f"<li>{_flow(flow, names)}</li>" for flow in shown)
        if rest := branch.flows[_FLOWS:]:
            items += (
                f'<li class="soft">{counted(len(rest), "rarer way")}, '
                f"{counted(sum(f.photos for f in rest), 'photo')}</li>"
            )
        yield f'<ul class="flows" role="list" aria-label="Wrong turns">{items}</ul>\n'
    if branch.branches:
        items = "\n".join(f"<li>{_branch(below, names, total)}</li>" for below in branch.branches)
        yield f'<ul role="list">\n{items}\n</ul>\n'


def _flow(flow: Flow, names: dict[str, str]) -> str:
    return f"{html_text(names[flow.source])} → {html_text(names[flow.target])} <b>{flow.photos:,}</b>"
