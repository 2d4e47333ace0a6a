"""Self-contained HTML pages: report, gallery, contact sheet, map."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.pages.report.build import ReportOptions, build_content, report_html
    from devise.pages.report.figures import figures_of, write_figures
    from devise.pages.report.measured import finder, measured_of

__all__ = ["ReportOptions", "build_content", "figures_of", "finder", "measured_of", "report_html", "write_figures"]

_HOMES = {
    "report.build": ("ReportOptions", "build_content", "report_html"),
    "report.figures": ("figures_of", "write_figures"),
    "report.measured": ("finder", "measured_of"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
