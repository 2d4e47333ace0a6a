"""The labeller as an HTTP service with a web page."""
