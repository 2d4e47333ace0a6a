"""DeViSE: name what is in any photo, with any noun.

>>> import devise
>>> model = devise.load()  # the model in the package
>>> answer = model.label("cat.jpg", top=5)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from devise.lazy import lazily
from devise.version import __version__

if TYPE_CHECKING:
    from devise.errors import DeviseError
    from devise.labels import Label, LabelSet
    from devise.model.answers import Answer, Explanation, Guess, Hedge, Level
    from devise.model.labeller import Model, load
    from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "Answer",
    "DeviseError",
    "Explanation",
    "Guess",
    "Hedge",
    "Label",
    "LabelSet",
    "Level",
    "Model",
    "Taxonomy",
    "__version__",
    "load",
]

_HOMES = {
    "errors": ("DeviseError",),
    "labels": ("Label", "LabelSet"),
    "model.answers": ("Answer", "Explanation", "Guess", "Hedge", "Level"),
    "model.labeller": ("Model", "load"),
    "taxonomy.wordnet": ("Taxonomy",),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
