"""Benchmarks of devise: what its speed and memory are held to, measured in pairs inside one run."""
