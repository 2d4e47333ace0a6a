"""What goes over the wire, as types: the service answers with them, the client reads them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from devise.model.scorers import Method
from devise.search.results import Likeness

__all__ = [
    "Embedding",
    "Failure",
    "FailureBody",
    "Health",
    "Hit",
    "Hits",
    "LabelAnswer",
    "LabelItem",
    "LabelList",
    "LabelMap",
    "LabelOptions",
    "Lean",
    "MethodAnswer",
    "Named",
    "OwnLabel",
    "OwnLabelKept",
    "OwnLabelRank",
    "PhotoItem",
    "PhotoList",
    "Sense",
    "WideLevel",
    "WideName",
]

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
LongText = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$")]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelOptions(_Strict):
    """How a picture is to be labelled."""

    top: Annotated[int, Field(ge=1, le=100, description="Guesses of each method, at most.")] = 5
    method: Annotated[
        list[Method],
        Field(
            min_length=1,
            max_length=4,
            description="How picture and labels are joined; give it several times to compare methods.",
            examples=[["fused"], ["devise", "conse", "softmax", "fused"]],
        ),
    ] = ["fused"]
    candidates: Annotated[
        Literal["all", "seen", "unseen", "typed", "all-nouns"],
        Field(
            description="Which labels compete: all, those trained on, the others, only those typed, or also the nouns "
            "that are withheld because they judge people or cannot be seen."
        ),
    ] = "all"
    under: Annotated[
        Text | None,
        Field(description="Only labels below this one in WordNet.", examples=["musical instrument"]),
    ] = None
    labels: Annotated[
        LongText,
        Field(
            description="Labels to add for this request: NAME or NAME: DEFINITION, parted by semicolons.",
            examples=["kick scooter; zedonk: offspring of a zebra and a donkey"],
        ),
    ] = ""
    own: Annotated[bool, Field(description="Whether the labels kept by PUT /v1/labels compete too.")] = True
    reject: Annotated[
        Share | Literal["auto"] | None,
        Field(
            description="A best score below this is 'none of these'; auto: if no label asked is likelier than before "
            "the picture was looked at, for the method fused. Not given: auto for that method if `sure` is, else 0."
        ),
    ] = None
    explain: Annotated[bool, Field(description="Add the path through WordNet and what a guess leans on.")] = False
    sure: Annotated[
        float | None,
        Field(gt=0, le=1, description="Add the most informative name with at least this share of the probability."),
    ] = None
    standings: Annotated[bool, Field(description="Add the ranks of the labels typed and kept.")] = False


class Lean(BaseModel):
    """A trained label that a guess leans on, and its share of the lean."""

    id: str
    name: str
    share: Share


class Named(BaseModel):
    """A guess: a label and how sure the model is of it.

    score: a probability over the labels that competed. seen: whether photos of it were trained on. own: whether it
    was typed by a user. source: how it came by its vector. path: names from the root of WordNet down to it.
    """

    id: Annotated[str, Field(examples=["n02128757"])]
    name: Annotated[str, Field(examples=["snow leopard"])]
    gloss: str
    score: Annotated[Share, Field(examples=[0.91])]
    seen: bool
    own: bool
    source: str
    path: list[str] = []
    leans_on: list[Lean] = []


class OwnLabelRank(BaseModel):
    """Where a typed label came among all; 1 is best."""

    id: str
    name: str
    rank: int


class WideLevel(BaseModel):
    """A name on the way from wide to narrow; see `Level`. common: whether people use it, or it is exact."""

    id: str
    name: str
    share: Share
    bits: Annotated[float, Field(ge=0)]
    common: bool


class WideName(BaseModel):
    """As wide a name as is sure; see `Hedge`. name: null if none that people use is."""

    threshold: Share
    name: WideLevel | None
    narrower: list[WideLevel]
    way: list[WideLevel]


class MethodAnswer(BaseModel):
    """What one method says. candidates: labels it ranked. problem: why it has no guesses. sure: if it was asked for."""

    method: Method
    candidates: int = 0
    rejected: bool = False
    guesses: list[Named] = []
    standings: list[OwnLabelRank] = []
    problem: str | None = None
    sure: WideName | None = None


class LabelAnswer(BaseModel):
    """One answer a method, in the order asked. notes: how typed labels were read. seconds: of the whole request."""

    answers: list[MethodAnswer]
    notes: list[str] = []
    seconds: float


class Embedding(BaseModel):
    """A picture as a unit vector of the label space. place: where it stands on the map of GET /v1/map."""

    model: str
    vector: list[float]
    place: Annotated[list[float], Field(min_length=2, max_length=2)]


class OwnLabel(_Strict):
    """A label of the user's own: a name, and what it means."""

    name: Annotated[Text, Field(min_length=1, examples=["zedonk"])]
    definition: Annotated[
        str,
        StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$"),
        Field(examples=["offspring of a zebra and a donkey"]),
    ] = ""


class OwnLabelKept(BaseModel):
    """A label that is kept now. source: how it came by its vector. notes: how it was read."""

    id: str
    name: str
    definition: str
    source: str
    created: bool
    notes: list[str] = []


class LabelItem(BaseModel):
    """A label that a picture can get."""

    id: str
    name: str
    gloss: str
    seen: bool
    own: bool
    path: list[str] = []


class LabelList(BaseModel):
    """Labels found for a query, best first, and the user's own.

    nearest: labels nearest in meaning to the first one found. total: labels of the model. A label that is withheld is
    found by its own name alone.
    """

    query: str
    found: list[LabelItem]
    nearest: list[LabelItem] = []
    own: list[OwnLabel]
    total: int


class PhotoItem(BaseModel):
    """A photo of the index. path: below the folder of all photos. thumbnail: where a small JPEG of it is."""

    photo: int
    name: str
    path: str
    thumbnail: str


class PhotoList(BaseModel):
    """Some photos of the index, which has `total`."""

    photos: list[PhotoItem]
    total: int


class Hit(PhotoItem):
    """A photo that was found.

    score: up is better. likeness: the score in words. label: what the photo is called, "" if that is not known.
    """

    score: float
    likeness: Likeness
    label: str = ""


class Sense(BaseModel):
    """A meaning of a word.

    kind: what it is a kind of. photos: how many of those found are called so, 0 where this is not counted.
    """

    id: Annotated[str, Field(examples=["n03797390"])]
    name: str
    kind: str
    gloss: str
    photos: int = 0


class Hits(BaseModel):
    """Photos nearest to a word, or to a photo, best first. photos: in the index. notes: how the word was read.

    taken: the sense of the word that was looked for; null if WordNet has no such word. others: its further senses
    that can be seen, the likeliest first. kinds: what the photos found are called, of the kinds of what was looked for.
    """

    query: str
    label: str
    gloss: str
    photos: int
    hits: list[Hit]
    taken: Sense | None = None
    others: list[Sense] = []
    kinds: list[Sense] = []
    notes: list[str] = []


class LabelMap(BaseModel):
    """All labels that are not withheld on a plane, a column a field; names and ids parted by line ends.

    x, y: from -1000 to 1000. branch: which of `branches` a label stands under.
    """

    branches: list[str]
    ids: str
    names: str
    x: list[float]
    y: list[float]
    branch: list[int]
    seen: list[int]


class Health(BaseModel):
    """How the service is. model: its name. search: whether a photo index is there."""

    status: Literal["ok", "closing"]
    version: str
    model: str
    labels: int
    own_labels: int
    search: bool


class FailureBody(BaseModel):
    """code: a word for programs. message: a sentence for people."""

    code: Annotated[str, Field(examples=["picture"])]
    message: Annotated[str, Field(examples=["not a picture of a known format"])]


class Failure(BaseModel):
    """Why a request failed."""

    error: FailureBody
