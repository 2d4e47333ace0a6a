"""The examples in the docstrings hold."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["lexicon", "synsets", "wordnet"])
def test_examples(module: str):
    result = doctest.testmod(import_module(f"devise.taxonomy.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
