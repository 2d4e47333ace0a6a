"""The languages of a service: one model in each, which share their memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

from devise.errors import UsageError
from devise.model.labeller import Model
from devise.taxonomy.languages import CODES

__all__ = ["open_languages"]

_ENGLISH = ("en", "eng")


def open_languages(load: Callable[[str | None], Model], asked: Sequence[str]) -> dict[str, Model]:
    """Return a model for each language, by code; the first is the default, and English is always there.

    load: makes the model of the first one. asked: codes ("fr", "fra", "en") or files of names, which are called by
    their names without endings. UsageError for an unknown language, or for two of one code.
    """
    found: dict[str, Model] = {}
    short = {three: two for two, three in CODES.items()}
    wanted = [None if one.strip().lower() in _ENGLISH else one for one in asked]
    for language in wanted if None in wanted else [*wanted, None]:
        model = next(iter(found.values())).in_language(language) if found else load(language)
        names = model.parts.taxonomy.language
        code = "en" if names is None else short.get(names.code, Path(names.code).stem)
        if code in found:
            raise UsageError(f"duplicate language {code}: give each once")
        found[code] = model
    return found
