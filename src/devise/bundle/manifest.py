"""The manifest: a bundle's contents, use and origin. Format version 1."""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from devise.bundle.strict_json import dump_json, number, parse_json, plain, record, sequence, shown_key, text, whole
from devise.errors import BundleError
from devise.version import __version__

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "LARGEST_MANIFEST",
    "MANIFEST_FILE",
    "BackboneFacts",
    "LabelPolicyFacts",
    "LabelSpaceFacts",
    "Manifest",
    "Part",
    "PartKind",
    "Plain",
    "Provenance",
    "part_kind",
]

FORMAT = "devise-bundle"
FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
LARGEST_MANIFEST = 1 << 20
"""In bytes; a manifest that says more was not made here."""

PartKind = Literal["json", "onnx", "safetensors", "text"]
"""The form a part is stored in, as the end of its name says. No form can contain code to be run on loading."""

Plain = Mapping[str, object]
"""Values that JSON keeps: text, numbers, true, false, None, and lists and mappings of them."""

_KINDS: dict[str, PartKind] = {"json": "json", "onnx": "onnx", "safetensors": "safetensors", "txt": "text"}
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_LONGEST_NAME = 100
_RANGES = {
    "temperature": (1e-6, 1e6),
    "width": (1e-6, 1e6),
    "seed": (0, 2**63 - 1),
    "top": (1, 1e6),
    "rank": (1, 1e6),
    "ridge": (0, 1e9),
    **dict.fromkeys(("share", "conse", "penalty", "confidence", "prior", "slope"), (0, 1e6)),
    "": (-1e6, 1e6),
}
"""Least and greatest of a scoring setting, by the end of its name; the first that fits."""
_WHOLE = ("seed", "top", "rank")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle; `sha256` in lower-case hexadecimal digits."""

    name: str
    bytes: int
    sha256: str

    @property
    def kind(self) -> PartKind:
        """The format of the part."""
        return part_kind(self.name)


@dataclass(frozen=True, slots=True)
class Provenance:
    """A source of the model: weights, a taxonomy, a text.

    what: its role here. source: its name, as a person would look it up. version: text, "" if it has none.
    licence: a key of the manifest's `licences`, or an SPDX identifier. At least one of sha256 (of the file
    that was read) and url must be known.
    """

    what: str
    source: str
    version: str
    licence: str
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class BackboneFacts:
    """The network: the name of its architecture and its number of features per picture."""

    architecture: str
    features: int


@dataclass(frozen=True, slots=True)
class LabelSpaceFacts:
    """The number of labels and of trained labels, and the length of a label vector."""

    labels: int
    trained: int
    dim: int


@dataclass(frozen=True, slots=True)
class LabelPolicyFacts:
    """The rule that made label vectors from words."""

    name: str
    parameters: Plain = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a bundle except the content of its parts.

    name: of the model. preprocessing: as `Preprocessing.to_dict` gives it.
    scoring: by scorer, its settings by name.
    licences: the text or the notice that has to go with the bundle, by the licence's name.
    config: the resolved configuration of the build. created_by and parts are filled in by `write_bundle`.
    There is no time stamp: building again gives the same bytes.
    """

    name: str
    preprocessing: Plain
    backbone: BackboneFacts
    label_space: LabelSpaceFacts
    label_policy: LabelPolicyFacts
    scoring: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)
    provenance: tuple[Provenance, ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)
    config: Plain = field(default_factory=dict)
    created_by: str = f"devise-zsl {__version__}"
    parts: tuple[Part, ...] = ()

    def part(self, name: str) -> Part:
        """Return the part of this name; BundleError if the bundle has none."""
        for part in self.parts:
            if part.name == name:
                return part
        held = ", ".join(part.name for part in self.parts) or "nothing"
        raise BundleError(f"is not in the bundle, which contains {held}: use a bundle that has this part")

    def to_json(self) -> str:
        """Canonical text: equal manifests give equal text. BundleError if a value is not plain."""
        stored = asdict(self)
        stored["parts"] = [asdict(part) | {"kind": part.kind} for part in self.parts]
        return dump_json({"format": FORMAT, "format_version": FORMAT_VERSION, **stored})

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """The inverse of `to_json`.

        BundleError naming the key if one is unknown, missing or of another type; if this is not a bundle's
        manifest; if its format is newer than this package.
        """
        if len(data) > LARGEST_MANIFEST:
            raise BundleError(
                f"is larger than {LARGEST_MANIFEST} bytes, the limit of a manifest: "
                "get the bundle again, or build it with less config and shorter notices"
            )
        stored = _of_this_format(parse_json(data))
        found = record(stored, {"format", "format_version", *(item.name for item in fields(cls))})
        return cls(
            name=text(found["name"], "name"),
            preprocessing=plain(found["preprocessing"], "preprocessing"),
            backbone=_backbone(found["backbone"]),
            label_space=_label_space(found["label_space"]),
            label_policy=_label_policy(found["label_policy"]),
            scoring=_scoring(found["scoring"]),
            provenance=tuple(
                _provenance(item, f"provenance[{i}]")
                for i, item in enumerate(sequence(found["provenance"], "provenance"))
            ),
            licences={
                key: text(value, f"licences.{key}") for key, value in plain(found["licences"], "licences").items()
            },
            config=plain(found["config"], "config"),
            created_by=text(found["created_by"], "created_by"),
            parts=_parts(found["parts"]),
        )


def part_kind(name: str) -> PartKind:
    """Return the format given by the extension of a part's name; BundleError if the name is invalid.

    A name is letters a-z and digits with single dots, hyphens and underscores between them: it cannot lead
    out of the bundle, nor differ from another only by case.
    """
    stem, _, suffix = name.rpartition(".")
    well_formed = stem and _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME
    if not well_formed or name == MANIFEST_FILE or suffix not in _KINDS:
        endings = ", ".join(f".{ending}" for ending in _KINDS)
        raise BundleError(
            f"part name {reprlib.repr(name)} is refused: use a-z, 0-9, '.', '-', '_' and one of {endings}"
        )
    return _KINDS[suffix]


def _of_this_format(stored: object) -> object:
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise BundleError(f"is not a bundle's manifest: its key format must be {FORMAT!r}")
    version = whole(stored.get("format_version"), "format_version", least=1)
    if version > FORMAT_VERSION:
        raise BundleError(
            f"bundle format {version} is newer than this devise (reads {FORMAT_VERSION}): "
            "upgrade with pip install -U devise-zsl"
        )
    return stored


def _backbone(value: object) -> BackboneFacts:
    found = record(value, {"architecture", "features"}, "backbone")
    return BackboneFacts(
        architecture=text(found["architecture"], "backbone.architecture"),
        features=whole(found["features"], "backbone.features", least=1),
    )


def _label_space(value: object) -> LabelSpaceFacts:
    found = record(value, {"labels", "trained", "dim"}, "label_space")
    space = LabelSpaceFacts(
        labels=whole(found["labels"], "label_space.labels", least=1),
        trained=whole(found["trained"], "label_space.trained"),
        dim=whole(found["dim"], "label_space.dim", least=1),
    )
    if space.trained > space.labels:
        raise BundleError(
            f"key label_space.trained must be at most the {space.labels} labels, got {space.trained}: "
            "build the bundle again"
        )
    return space


def _label_policy(value: object) -> LabelPolicyFacts:
    found = record(value, {"name", "parameters"}, "label_policy")
    return LabelPolicyFacts(
        text(found["name"], "label_policy.name"), plain(found["parameters"], "label_policy.parameters")
    )


def _scoring(value: object) -> dict[str, dict[str, int | float]]:
    return {
        scorer: {
            name: _setting(setting, name, f"scoring.{scorer}.{name}")
            for name, setting in plain(settings, f"scoring.{scorer}").items()
        }
        for scorer, settings in plain(value, "scoring").items()
    }


def _setting(value: object, name: str, where: str) -> int | float:
    """Check that a number is in the range of its name; others give nonsense or take hours."""
    found = number(value, where)
    least, most = next(bounds for ending, bounds in _RANGES.items() if name.endswith(ending))
    if name in _WHOLE and type(found) is not int:
        raise BundleError(
            f"key {shown_key(where)} must be a whole number, got {found!r}: get or build the bundle again"
        )
    if not least <= found <= most:
        shown = reprlib.repr(found)
        raise BundleError(
            f"key {shown_key(where)} must be from {least:g} to {most:g}, got {shown}: get or build the bundle again"
        )
    return found


def _provenance(value: object, where: str) -> Provenance:
    found = record(value, {item.name for item in fields(Provenance)}, where)
    if found["sha256"] is None and found["url"] is None:
        raise BundleError(f"key {where} must have a sha256 or a url, got neither: say where it came from")
    return Provenance(
        what=text(found["what"], f"{where}.what"),
        source=text(found["source"], f"{where}.source"),
        version="" if found["version"] == "" else text(found["version"], f"{where}.version"),
        licence=text(found["licence"], f"{where}.licence"),
        sha256=None if found["sha256"] is None else _sha256(found["sha256"], f"{where}.sha256"),
        url=None if found["url"] is None else text(found["url"], f"{where}.url"),
    )


def _parts(value: object) -> tuple[Part, ...]:
    parts: dict[str, Part] = {}
    for i, item in enumerate(sequence(value, "parts")):
        where = f"parts[{i}]"
        found = record(item, {"name", "kind", "bytes", "sha256"}, where)
        name = text(found["name"], f"{where}.name")
        kind = part_kind(name)
        if found["kind"] != kind:
            raise BundleError(f"key {where}.kind must be {kind!r}, the form of {name}: build the bundle again")
        if name in parts:
            raise BundleError(f"duplicate part {name} in key parts: build the bundle again")
        parts[name] = Part(name, whole(found["bytes"], f"{where}.bytes"), _sha256(found["sha256"], f"{where}.sha256"))
    return tuple(parts.values())


def _sha256(value: object, where: str) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BundleError(f"key {where} must be 64 hexadecimal digits, got {value!r:.80}: build the bundle again")
    return value
