"""Self-contained HTML pages: report, gallery, contact sheet, map."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.pages.report.build import ReportOptions, build_content
    from devise.pages.report.figures import figures_of, write_figures
    from devise.pages.report.html import report_html
    from devise.pages.report.measured import finder, measured_of

__all__ = [
    "ReportOptions",
    "build_content",
    "figures_of",
    "finder",
    "measured_of",
    "report_html",
    "write_figures",
]

_HOMES = {
    "ReportOptions": "devise.pages.report.build",
    "build_content": "devise.pages.report.build",
    "figures_of": "devise.pages.report.figures",
    "finder": "devise.pages.report.measured",
    "measured_of": "devise.pages.report.measured",
    "report_html": "devise.pages.report.html",
    "write_figures": "devise.pages.report.figures",
}

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
