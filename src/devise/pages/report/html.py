"""The report as one HTML page."""

from base64 import b64encode
from urllib.parse import quote

from devise.evaluation.confusion import NEAR
from devise.pages.frame import page
from devise.pages.report.charts import png, svg
from devise.pages.report.content import Content
from devise.pages.report.figures import Figure, figures_of

__all__ = ["report_html"]


def report_html(content: Content) -> str:
    """Return the page: it loads nothing, and is complete without scripts."""
    from markupsafe import Markup

    figures = {figure.name: figure for figure in figures_of(content)}

    def named(*names: str) -> list[Figure]:
        return [figures[name] for name in names if name in figures]

    def drawing(figure: Figure) -> Markup:
        name = f"fig-{figure.name}"
        return Markup(svg(figure.drawing, name=name, title=figure.title, description=figure.description))

    return page(
        "report.html",
        css=("theme.css", "report/report.css"),
        script="report/report.js",
        title=content.title,
        content=content,
        figures={
            "curves": named("hit-at-k", "hp-at-k", "hedging"),
            "classes": named("classes"),
            "wrong": named("confusion", "distance"),
            "scores": [figure for name, figure in figures.items() if name.startswith("reliab")],
        },
        near=NEAR,
        svg=drawing,
        png64=lambda figure: b64encode(png(figure.drawing)).decode("ascii"),
        quoted=quote,
    )
