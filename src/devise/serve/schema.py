"""Types of requests and answers, shared by the service and the client."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from devise.model.methods import Method
from devise.search.results import Likeness
from devise.xmp import Verdict

__all__ = [
    "Corrected",
    "CorrectionAsked",
    "Embedding",
    "Failure",
    "FailureBody",
    "Health",
    "Hit",
    "Hits",
    "IndexItem",
    "LabelAnswer",
    "LabelItem",
    "LabelList",
    "LabelMap",
    "LabelOptions",
    "Lean",
    "MethodAnswer",
    "Named",
    "Options",
    "OwnLabel",
    "OwnLabelKept",
    "OwnLabelRank",
    "PartName",
    "Parts",
    "PhotoItem",
    "PhotoList",
    "Said",
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
    """Options for labelling a picture."""

    top: Annotated[int, Field(ge=1, le=100, description="Most guesses per method.")] = 5
    method: Annotated[
        list[Method],
        Field(
            min_length=1,
            max_length=4,
            description="Method that scores labels for the picture; repeat it to compare methods.",
            examples=[["fused"], ["devise", "conse", "softmax", "fused"]],
        ),
    ] = ["fused"]
    candidates: Annotated[
        Literal["all", "seen", "unseen", "typed", "all-nouns"],
        Field(
            description="Candidate labels: all, the trained ones, the others, only typed ones, or also the nouns "
            "withheld because they judge people or cannot be seen."
        ),
    ] = "all"
    under: Annotated[
        Text | None,
        Field(description="Only labels below this one in WordNet.", examples=["musical instrument"]),
    ] = None
    labels: Annotated[
        LongText,
        Field(
            description="Labels to add for this request: NAME or NAME: DEFINITION, separated by semicolons.",
            examples=["kick scooter; zedonk: offspring of a zebra and a donkey"],
        ),
    ] = ""
    own: Annotated[bool, Field(description="Whether the labels stored by PUT /v1/labels are candidates too.")] = True
    reject: Annotated[
        Share | Literal["auto"] | None,
        Field(
            description="Answer 'none of these' if the best score is below this threshold; auto, for the method "
            "fused: if the picture makes no candidate more probable than before. Default: auto for that "
            "method if `sure` is given, else 0."
        ),
    ] = None
    explain: Annotated[
        bool, Field(description="Add the path in WordNet and the trained labels that a guess leans on.")
    ] = False
    sure: Annotated[
        float | None,
        Field(gt=0, le=1, description="Add the most informative name with at least this share of the probability."),
    ] = None
    standings: Annotated[bool, Field(description="Add the ranks of typed and stored labels.")] = False
    regions: Annotated[
        bool,
        Field(
            description="Add the parts of the picture that have a sure name, each with its box; for the method fused. "
            "The picture counts as four in the queue."
        ),
    ] = False
    lang: Annotated[
        Text | None, Field(description="Language of names, one of GET /v1/options. Default: the first of these.")
    ] = None


class Lean(BaseModel):
    """A trained label that a guess leans on, with its share."""

    id: str
    name: str
    share: Share


class Named(BaseModel):
    """A guess: a label and its probability.

    score: probability among the candidates. seen: whether the model was trained on photos of it; null in a model that
    was trained on no labels, such as CLIP. own: whether a user typed it. source: of its vector. path: names from the
    root of WordNet down to it.
    """

    id: Annotated[str, Field(examples=["n02128757"])]
    name: Annotated[str, Field(examples=["snow leopard"])]
    gloss: str
    score: Annotated[Share, Field(examples=[0.91])]
    seen: bool | None
    own: bool
    source: str
    path: list[str] = []
    leans_on: list[Lean] = []


class OwnLabelRank(BaseModel):
    """Rank of a typed label among all; 1 is best."""

    id: str
    name: str
    rank: int


class WideLevel(BaseModel):
    """A name on the path from wide to narrow; see `Level`. common: whether people use it, or it is exact."""

    id: str
    name: str
    share: Share
    bits: Annotated[float, Field(ge=0)]
    common: bool


class WideName(BaseModel):
    """The most informative name that is probable enough; see `Hedge`. name: null if there is none."""

    threshold: Share
    name: WideLevel | None
    narrower: list[WideLevel]
    way: list[WideLevel]


class PartName(BaseModel):
    """A part of a picture with a sure name: see `Region`. x, y, width, height: its box, in pixels."""

    id: str
    name: str
    share: Share
    bits: Annotated[float, Field(ge=0)]
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Parts(BaseModel):
    """The parts that have sure names, the most probable first. width, height: of the upright picture, in pixels."""

    width: int
    height: int
    found: list[PartName]


class MethodAnswer(BaseModel):
    """The answer of one method. candidates: labels it ranked. problem: why it has no guesses.

    sure, regions: if requested; regions for the method fused only.
    """

    method: Method
    candidates: int = 0
    rejected: bool = False
    guesses: list[Named] = []
    standings: list[OwnLabelRank] = []
    problem: str | None = None
    sure: WideName | None = None
    regions: Parts | None = None


class LabelAnswer(BaseModel):
    """One answer per method, in the requested order. notes: on the typed labels. seconds: of the request."""

    answers: list[MethodAnswer]
    notes: list[str] = []
    seconds: float


class Embedding(BaseModel):
    """A picture as a unit vector of the label space. place: its position on the map of GET /v1/map."""

    model: str
    vector: list[float]
    place: Annotated[list[float], Field(min_length=2, max_length=2)]


class OwnLabel(_Strict):
    """The user's own label: a name, and its meaning."""

    name: Annotated[Text, Field(min_length=1, examples=["zedonk"])]
    definition: Annotated[
        str,
        StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$"),
        Field(examples=["offspring of a zebra and a donkey"]),
    ] = ""


class OwnLabelKept(BaseModel):
    """A stored label. source: of its vector. notes: how it was read."""

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
    seen: bool | None
    own: bool
    path: list[str] = []


class LabelList(BaseModel):
    """Labels found for a query, best first, and the user's own.

    nearest: labels nearest in meaning to the first one found. total: labels of the model. A withheld label is found
    only by its exact name.
    """

    query: str
    found: list[LabelItem]
    nearest: list[LabelItem] = []
    own: list[OwnLabel]
    total: int


class Said(BaseModel):
    """A name of a photo that a person accepted or rejected."""

    id: Annotated[str, Field(examples=["n02124075"])]
    name: str
    verdict: Verdict


class PhotoItem(BaseModel):
    """A photo of the index.

    path: below the common folder of all photos. thumbnail: URL of a small JPEG. label, label_id: the photo's top label,
    "" if unknown. corrections: what a person said of its names; empty if the service does not keep that.
    """

    photo: int
    name: str
    path: str
    thumbnail: str
    label: str = ""
    label_id: str = ""
    corrections: list[Said] = []


class PhotoList(BaseModel):
    """Some of the `total` photos of the index, or of those that pass the filters. notes: on the filters."""

    photos: list[PhotoItem]
    total: int
    notes: list[str] = []


class CorrectionAsked(_Strict):
    """What a person says of a name of a photo; see PUT /v1/corrections."""

    photo: Annotated[int, Field(ge=0, le=2**31, description="Number of a photo of the index.")]
    name: Annotated[Text, Field(min_length=1, description="A noun, or the id of one.", examples=["tabby"])]
    verdict: Annotated[
        Literal["accept", "reject", "undo"],
        Field(description="The photo shows it; it does not; or nothing is said of it any more."),
    ]
    instead_of: Annotated[
        Text | None,
        Field(
            description="With accept: id of the label that the name replaces. It is rejected, unless the name is a "
            "kind of it."
        ),
    ] = None
    index: Annotated[Text | None, Field(description="Name of the index. Default: the first one.")] = None


class Corrected(BaseModel):
    """The corrections of a photo after a change. notes: how the name was read."""

    photo: int
    corrections: list[Said]
    notes: list[str] = []


class IndexItem(BaseModel):
    """A photo index of the service."""

    name: str
    photos: int


class Options(BaseModel):
    """What a request can choose: an index, a language. corrections: whether corrections are kept.

    trained: number of labels that the model was trained on; 0 for a model such as CLIP, which has only the method
    fused.
    """

    indexes: list[IndexItem]
    languages: Annotated[list[str], Field(examples=[["fr", "ar", "en"]])]
    corrections: bool
    trained: int


class Hit(PhotoItem):
    """A photo that was found.

    score: higher is better. likeness: the score in words.
    """

    score: float
    likeness: Likeness


class Sense(BaseModel):
    """A meaning of a word.

    kind: what it is a kind of. photos: number of photos found with this label, 0 if not counted.
    """

    id: Annotated[str, Field(examples=["n03797390"])]
    name: str
    kind: str
    gloss: str
    photos: int = 0


class Hits(BaseModel):
    """Photos nearest to a word, or to a photo, best first. photos: searched. notes: how the word was read.

    taken: the sense searched for; null if WordNet has no such word. others: its other visible senses, most probable
    first. kinds: labels of the photos found, below the sense searched for.
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
    """All labels that are not withheld on a plane; one list per field, names and ids separated by newlines.

    x, y: from -1000 to 1000. branch: which of `branches` a label is under.
    """

    branches: list[str]
    ids: str
    names: str
    x: list[float]
    y: list[float]
    branch: list[int]
    seen: list[int]


class Health(BaseModel):
    """State of the service. model: its name. search: whether it has a photo index."""

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
    """Reason of a failed request."""

    error: FailureBody
