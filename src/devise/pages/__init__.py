"""HTML that loads nothing: report, gallery, contact sheet, map."""
