"""The report of an evaluation: one HTML file, and its figures as PNG and CSV."""
