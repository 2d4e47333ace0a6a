"""The labeller as an HTTP service, and the page it serves."""
