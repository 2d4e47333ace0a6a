"""The gallery of a report: each photo with the guesses of two scorers."""

from collections.abc import Iterator

from devise.errors import counted
from devise.evaluation.nearness import NEAR, Verdict
from devise.pages.frame import html_text, unseen_mark
from devise.pages.report.content import Competing, Content, GuessLine, PhotoCard, Side

__all__ = ["gallery_section"]

_CANDIDATES: dict[Competing, str] = {
    "both": "",
    "other": " None of the candidate labels is trained.",
    "trained": " All candidate labels are trained.",
}
_MARKS: dict[Verdict, tuple[str, str]] = {"right": ("✓", "right"), "near": ("≈", "near"), "far": ("", "")}


def gallery_section(content: Content) -> str:
    """Return the introduction and the cards."""
    if not content.cards:
        return ""
    cards = "\n".join(_card(number, card) for number, card in enumerate(content.cards, start=1))
    return f'{_introduction(content)}\n<div class="cards" id="cards">\n{cards}\n</div>\n'


def _introduction(content: Content) -> str:
    shown = len(content.cards)
    count = counted(shown, "photo") if shown == content.total else f"{shown:,} of {counted(content.total, 'photo')}"
    chosen = "" if shown == content.total else ", chosen evenly by class"
    missing = f" {counted(content.missing, 'picture')} not found."
    size = sum(len(card.picture) for card in content.cards)
    return (
        f'<p class="soft">{count} shown{chosen}; the pictures take {size / 1e6:.1f} MB of this page.'
        f"{missing if content.missing else ''} "
        '<span class="key"><span class="right">✓ right</span> <span class="near">≈ near</span></span>: at most '
        f"{NEAR} WordNet edges from the true class, ↑ to wider and ↓ to narrower kinds. Open a guess for its "
        f"definition and its full path. “Sure of” lists names from wide to narrow, each with the highest threshold "
        f"that its probability reaches; green names are right.{_CANDIDATES[content.competing]}</p>"
    )


def _card(number: int, card: PhotoCard) -> str:
    name, file = html_text(card.name), html_text(card.name.rsplit("/", 1)[-1])
    picture = (
        f'<img src="{card.picture}" decoding="async" alt="Photo {name}: {html_text(card.truth)}">'
        if card.picture
        else '<span class="nopicture">no picture</span>'
    )
    sides = "\n".join(_side(side) for side in card.sides)
    return (
        f'<article class="card shot" id="photo-{number}" aria-labelledby="name-{number}" '
        f'data-verdict="{card.verdict}" data-class="{html_text(card.truth)}">\n'
        f'<div class="thumb">{picture}</div>\n'
        f'<div class="truth"><h3 id="name-{number}">{html_text(card.truth)}{unseen_mark(card.seen)}</h3>\n'
        f'<p class="soft small">{html_text(card.gloss)}</p><p class="soft small file">{file}</p></div>\n'
        f'<div class="sides">\n{sides}\n</div>\n</article>'
    )


def _side(side: Side) -> str:
    items = "\n".join(f'<li class="{guess.verdict}">{_guess(guess)}</li>' for guess in side.guesses)
    rank = (
        f'<p class="soft small">the true class has rank {side.rank:,}</p>'
        if side.rank and side.rank > len(side.guesses)
        else ""
    )
    steps = " › ".join(
        f"<span{' class=right' if step.right else ''}>{html_text(step.name)}</span> {step.sure}" for step in side.trail
    )
    trail = f'<p class="soft small trail">sure of: {steps}</p>' if steps else ""
    return (
        f'<div class="side">\n<h4>{html_text(side.title)}</h4>\n<ol role="list">\n{items}\n</ol>\n{trail}{rank}</div>'
    )


def _guess(guess: GuessLine) -> str:
    sign, word = _MARKS[guess.verdict]
    mark = f'<span class="sign" role="img" aria-label="{word}">{sign}</span>' if sign else '<span class="sign"></span>'
    score = f'<span class="score">{html_text(guess.score)}</span>' if guess.score else ""
    near = f'<span class="way">{html_text(guess.turn)}</span>' if guess.verdict == "near" else ""
    return (
        f'<details><summary>{mark}<span class="what">{html_text(guess.name)}{unseen_mark(guess.seen)}{near}</span>'
        f'{score}</summary><div class="more">{"".join(_more(guess))}</div></details>'
    )


def _more(guess: GuessLine) -> Iterator[str]:
    if guess.gloss:
        yield f"<p>{html_text(guess.gloss)}</p>"
    if guess.meets:
        steps = counted(guess.edges, "edge")
        yield f"<p>{steps} from the true class; both are kinds of {html_text(guess.meets)}.</p>"
        yield f"<p>{html_text(guess.way)}</p>"
