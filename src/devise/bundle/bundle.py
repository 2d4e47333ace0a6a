"""A bundle opened for reading: each part is read on first use and checked against its hash."""

import hashlib
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from devise.arrays import LabelVectors
from devise.bundle.arrays_io import Array, from_bytes
from devise.bundle.label_table import LabelTable, TrainedPositions, decode_label_table
from devise.bundle.manifest import FORMAT, FORMAT_VERSION, LARGEST_MANIFEST, MANIFEST_FILE, Manifest, Part
from devise.bundle.parts import (
    CLASSIFIER,
    FAMILIARITY,
    FAST,
    KERNEL,
    LABEL_TABLE,
    LABEL_VECTORS,
    PRIOR,
    RANDOM_SURGERY,
    SURGERY,
    TEXT_TOWER,
    TOKENIZER,
    WORDS,
    SurgeryMap,
    decode_classifier,
    decode_fast,
    decode_kernel,
    decode_label_vectors,
    decode_prior,
    decode_surgery,
)
from devise.bundle.strict_json import parse_json
from devise.errors import BundleError, VectorsError
from devise.files import real_path
from devise.labels import LabelSet
from devise.space.evidence import Classifier
from devise.space.kernel import KernelSurgery
from devise.space.prior import Prior
from devise.space.scorers import FirstChoice, StackingRule
from devise.space.texttower import Prompts, TextTower
from devise.text.vectors import QuantizedRows, decoded
from devise.vision.bounds import Bounds

if TYPE_CHECKING:
    from devise.text.vectors import WordTable
    from devise.vision.preprocessing import Preprocessing

__all__ = ["Bundle", "describe", "file_sha256", "open_bundle", "set_aside"]


class Bundle:
    """A bundle whose manifest was read and whose parts all have their full length.

    A part is read from the disk each time it is asked for, and BundleError says so if it was altered: keep
    what you got. Only the label table is kept here. Safe to use from several threads.

    path: the directory. manifest: what it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest, *, called: Path | None = None) -> None:
        """Use `open_bundle`. `called`: the directory that error messages name, if it is not `path`."""
        self.path = path
        self.manifest = manifest
        self._called = called or path
        for part in manifest.parts:
            with self._naming(part.name):
                _check_length(path / part.name, part)

    def part_bytes(self, name: str) -> bytes:
        """Read the whole part; BundleError if it is missing or was changed."""
        with self._naming(name):
            part = self.manifest.part(name)
            data = (self.path / name).read_bytes()
            _check_hash(part, len(data), hashlib.sha256(data).hexdigest())
            return data

    def part_path(self, name: str) -> Path:
        """Check the part's hash and return its path; BundleError if it is missing or was changed."""
        with self._naming(name):
            part, path = self.manifest.part(name), self.path / name
            _check_hash(part, _check_length(path, part), file_sha256(path))
            return path

    def arrays(self, name: str) -> dict[str, Array]:
        """Read the arrays of a safetensors part by name, in their stored types."""
        data = self.part_bytes(name)
        with self._naming(name):
            return from_bytes(data)

    def preprocessing(self) -> "Preprocessing":
        """The preprocessing of a picture before the backbone."""
        from devise.vision.preprocessing import Preprocessing

        with self._naming(MANIFEST_FILE):
            return Preprocessing.from_dict(self.manifest.preprocessing)

    @cached_property
    def label_table(self) -> LabelTable:
        """The labels column by column."""
        data = self.part_bytes(LABEL_TABLE)
        with self._naming(LABEL_TABLE):
            table, space = decode_label_table(data), self.manifest.label_space
            got, wanted = (len(table.ids), len(table.trained)), (space.labels, space.trained)
            if got != wanted:
                raise BundleError(
                    f"has {got[0]} labels, {got[1]} trained, the manifest says {wanted[0]} and {wanted[1]}: "
                    "build the bundle again"
                )
            return table

    @cached_property
    def labels(self) -> LabelSet:
        """The labels, their glosses empty."""
        return self.label_table.labels()

    @property
    def trained(self) -> TrainedPositions:
        """The position in the labels of each row of the classifier."""
        return self.label_table.trained

    def classifier(self) -> Classifier:
        """The trained softmax."""
        data = self.part_bytes(CLASSIFIER)
        with self._naming(CLASSIFIER):
            return decode_classifier(data, self.manifest)

    def label_vectors(self) -> LabelVectors:
        """The label vectors, one row per label, in label order."""
        return decoded(self.stored_label_vectors())

    def stored_label_vectors(self) -> LabelVectors | QuantizedRows:
        """The label vectors as they are stored."""
        data = self.part_bytes(LABEL_VECTORS)
        with self._naming(LABEL_VECTORS):
            return decode_label_vectors(data, self.manifest)

    def surgery(self) -> SurgeryMap:
        """The map from features to the label space, and its centring vectors."""
        data = self.part_bytes(SURGERY)
        with self._naming(SURGERY):
            return decode_surgery(data, self.manifest)

    def setting(self, scorer: str, name: str) -> float:
        """A number the model keeps for a scorer; BundleError if it keeps none."""
        try:
            return float(self.manifest.scoring[scorer][name])
        except KeyError:
            raise BundleError(f"the model has no {name} for {scorer}: build the bundle again") from None

    def stacking(self) -> StackingRule:
        """The rule by which trained labels compete with all others; older bundles lack the first choice."""
        if self.has(TEXT_TOWER):
            return StackingRule(0.0, 0.0)  # no label is trained
        penalty, confidence = (self.setting("fused", name) for name in ("penalty", "confidence"))
        if "slope" not in self.manifest.scoring["fused"]:
            return StackingRule(penalty, confidence)
        slope, offset, temperature = (self.setting("fused", name) for name in ("slope", "offset", "temperature"))
        return StackingRule(penalty, confidence, FirstChoice(slope, offset, temperature))

    def has(self, name: str) -> bool:
        """Whether the manifest lists this part."""
        return any(part.name == name for part in self.manifest.parts)

    def prior(self) -> Prior:
        """The prior of each label, known before the picture is read; in older bundles from FAMILIARITY."""
        name = next((name for name in (PRIOR, FAMILIARITY) if self.has(name)), None)
        if name is None:
            return Prior()
        data = self.part_bytes(name)
        with self._naming(name):
            return decode_prior(data, self.manifest)

    def prior_weight(self) -> float:
        """The weight of the prior relative to the cosines; BundleError if the bundle has none."""
        return self.setting("fused", "prior" if self.has(PRIOR) else "familiarity")

    def kernel(self) -> KernelSurgery | None:
        """Kernel surgery; None if the bundle has none."""
        if not self.has(KERNEL):
            return None
        data = self.part_bytes(KERNEL)
        with self._naming(KERNEL):
            return decode_kernel(data, self.manifest)

    def words(self, only: Collection[str] | None = None) -> "WordTable":
        """Words and their vectors, for labels typed by the user; `only`: those of these words it has."""
        from devise.text.vectorstore import read_vector_store

        path = self.part_path(WORDS)
        with self._naming(WORDS):
            table = read_vector_store(path, only=only)
            dim = self.manifest.label_space.dim
            if table.dim != dim:
                raise BundleError(
                    f"word vectors must be {dim} long as label vectors are, got {table.dim}: build the bundle again"
                )
            return table

    def prompts(self) -> Prompts:
        """What the text tower reads of a label."""
        with self._naming(MANIFEST_FILE):
            return Prompts.from_dict(self.manifest.label_policy.parameters)

    def text_tower(self) -> TextTower:
        """The network that makes label vectors, ready to run; BundleError if the bundle has none."""
        onnx, tokenizer, prompts = self.part_bytes(TEXT_TOWER), self.part_bytes(TOKENIZER), self.prompts()
        with self._naming(TEXT_TOWER):
            return TextTower(onnx, tokenizer, prompts)

    def fast(self) -> Bounds:
        """The part that runs the network in 8-bit integers; BundleError if the bundle has none."""
        if not self.has(FAST):
            raise BundleError(
                f"{self._called}: has no {FAST}, which the fast form needs: leave --fast out, or make it with devise "
                "train fast"
            )
        data = self.part_bytes(FAST)
        with self._naming(FAST):
            return decode_fast(data, self.manifest)

    def verify(self) -> None:
        """Check each part's hash, each known part's format, and that the parts fit each other.

        BundleError for the first thing that is wrong. The network is hashed but not loaded.
        """
        self.preprocessing()
        readers: dict[str, Callable[[], object]] = {
            CLASSIFIER: self.classifier,
            LABEL_TABLE: lambda: self.label_table,
            LABEL_VECTORS: self.label_vectors,
            SURGERY: self.surgery,
            WORDS: self.words,
            FAMILIARITY: self.prior,
            PRIOR: self.prior,
            KERNEL: self.kernel,
            FAST: self.fast,
            RANDOM_SURGERY: lambda: decode_surgery(self.part_bytes(RANDOM_SURGERY), self.manifest),
        }
        for part in self.manifest.parts:
            if part.name in readers:
                readers[part.name]()
            elif part.name == TEXT_TOWER:
                self.part_path(part.name)
                self.prompts()
            elif part.kind == "safetensors":
                self.arrays(part.name)
            elif part.kind == "json":
                self._check_json(part.name)
            else:
                self.part_path(part.name)

    def _check_json(self, name: str) -> None:
        data = self.part_bytes(name)
        with self._naming(name):
            parse_json(data)

    @contextmanager
    def _naming(self, file: str) -> Iterator[None]:
        """Turn errors inside into BundleErrors that begin with the file."""
        try:
            yield
        except (BundleError, VectorsError) as error:
            raise BundleError(f"{self._called / file}: {error}") from None
        except OSError as error:
            raise BundleError(
                f"{self._called / file}: cannot be read ({error.strerror}): get or build the bundle again"
            ) from None


def open_bundle(path: Path) -> Bundle:
    """Read and check the manifest and the length of each part, without reading the parts.

    Files that the manifest does not list are ignored. If the directory is absent because its replacement
    was cut off between two renames, the old bundle, which was set aside whole, is opened: see
    `Bundle.path`.

    BundleError, one line, if this is not a bundle, if its format is newer than this package, or if it is
    damaged.
    """
    try:
        for folder in (path, set_aside(path), path):
            if folder.is_dir():
                return Bundle(folder, _read_manifest(folder))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
    problem = "is a file, but a bundle is a directory" if path.exists() else "does not exist"
    raise BundleError(f"{path}: {problem}: give the directory of a model bundle")


def describe(bundle: Bundle) -> dict[str, object]:
    """Describe a bundle in plain values, for people and for JSON; reads the label table.

    `manifest_sha256` identifies the bundle: the manifest has the hash of every part.
    """
    manifest = bundle.manifest
    sources = Counter(bundle.label_table.sources)
    return {
        "path": str(bundle.path),
        "format": f"{FORMAT} {FORMAT_VERSION}",
        "manifest_sha256": file_sha256(bundle.path / MANIFEST_FILE),
        "bytes": sum(part.bytes for part in manifest.parts),
        "vector_sources": {source: sources[source] for source in sorted(sources)},
        **asdict(manifest),
        "parts": [asdict(part) | {"kind": part.kind} for part in manifest.parts],
        "provenance": [asdict(item) for item in manifest.provenance],
    }


def set_aside(path: Path) -> Path:
    """Return the temporary path of the old bundle while a new one replaces it."""
    whole = real_path(path)
    return whole.parent / f".{whole.name}.devise-old"


def file_sha256(path: Path) -> str:
    """The hash of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise BundleError(f"{folder}: is not a bundle, it has no {MANIFEST_FILE}: give the directory of a model bundle")
    try:
        with path.open("rb") as file:
            return Manifest.from_json(file.read(LARGEST_MANIFEST + 1))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None


def _check_length(path: Path, part: Part) -> int:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise BundleError("is missing: get or build the bundle again") from None
    if not stat.S_ISREG(found.st_mode):
        raise BundleError("is not a file: get or build the bundle again")
    if found.st_size != part.bytes:
        problem = "truncated" if found.st_size < part.bytes else "too long"
        raise BundleError(
            f"is {problem}, it has {found.st_size} bytes instead of {part.bytes}: get or build the bundle again"
        )
    return found.st_size


def _check_hash(part: Part, length: int, sha256: str) -> None:
    if length != part.bytes or sha256 != part.sha256:
        raise BundleError(
            f"was changed, its sha256 is {sha256[:12]}... instead of {part.sha256[:12]}...: "
            "get or build the bundle again"
        )
