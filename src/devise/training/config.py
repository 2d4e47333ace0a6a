"""Configuration of a training job: one frozen dataclass, from a TOML file and the command line."""

import math
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from devise.errors import UsageError
from devise.files import read_text, reason_of

__all__ = ["OptimizerName", "RunConfig", "at_least", "below_one", "parse_settings", "recorded", "resolve"]

OptimizerName = Literal["adagrad", "adamw", "sgd"]

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The settings of every training run.

    epochs: passes over the samples. batch: samples of a step, over all processes. rate: the largest learning rate.
    warmup: epochs in which it rises from 0; after them it falls to 0 as a cosine does, or stays. momentum: of SGD.
    ema: share that the running mean of the weights keeps a step; 0 is none. bf16: products in bfloat16.
    clip: longest gradient; 0 is any. patience: epochs without a better measure before it ends; 0 is any.
    seed: of everything that is random. save_seconds: between two checkpoints inside an epoch.
    """

    epochs: int = 20
    batch: int = 256
    optimizer: OptimizerName = "adamw"
    rate: float = 1e-3
    warmup: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.0
    ema: float = 0.0
    bf16: bool = False
    clip: float = 0.0
    patience: int = 0
    seed: int = 0
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        _require(self.rate > 0, "rate", "above 0", self.rate)
        at_least(self, 1, "epochs", "batch")
        at_least(self, 0, "rate", "warmup", "weight_decay", "clip", "patience", "seed", "save_seconds")
        _require(self.seed < 2**63, "seed", "below 2^63", self.seed)  # as torch takes it
        below_one(self, "ema", "momentum")


def recorded(config: RunConfig) -> dict[str, object]:
    """Return the settings that determine the result: all except the time between checkpoints."""
    return {key: value for key, value in asdict(config).items() if key != "save_seconds"}


def at_least(job: object, least: int, *keys: str) -> None:
    """Raise UsageError if one of these settings is smaller, infinite or NaN."""
    for key in keys:
        _require(least <= getattr(job, key) < math.inf, key, f"at least {least} and finite", getattr(job, key))


def below_one(job: object, *keys: str) -> None:
    """Raise UsageError if one of these settings is below 0, or 1 or more."""
    for key in keys:
        _require(0 <= getattr(job, key) < 1, key, "from 0 to below 1", getattr(job, key))


def resolve(kind: type[Job], file: Path | None, given: Mapping[str, object]) -> Job:
    """The configuration of a job: its defaults, then the file's values, then those given that are not None.

    UsageError for a key that the job does not know, a value of another type, or a file that is not TOML.
    """
    values = _read(file) if file is not None else {}
    values |= {key: value for key, value in given.items() if value is not None}
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"unknown key {key!r}: expected one of {', '.join(sorted(known))}")
        values[key] = _typed(key, value, hints[key])
    return kind(**values)


def parse_settings(settings: list[str]) -> dict[str, object]:
    """`KEY=VALUE` texts as TOML values; a value that TOML does not know is taken as text.

    >>> parse_settings(["rate=0.1", "loss=l2", "bf16=true"])
    {'rate': 0.1, 'loss': 'l2', 'bf16': True}
    """
    found: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set needs KEY=VALUE, got {setting!r}")
        try:
            read = tomllib.loads(f"x = {value}")
        except (ValueError, RecursionError):  # RecursionError: brackets in brackets
            read = {"x": value.strip()}
        if len(read) > 1:  # a line break, and more settings after it
            raise UsageError(f"--set needs one KEY=VALUE, got {reprlib.repr(setting)}: repeat --set for each")
        found[key.strip()] = read["x"]
    return found


def _read(file: Path) -> dict[str, object]:
    try:
        return dict(tomllib.loads(read_text(file, UsageError, cure="give a TOML file")))
    except RecursionError:
        raise UsageError(f"{file} is not TOML (nested too deeply): write lines like rate = 0.1") from None
    except ValueError as error:
        raise UsageError(f"{file} is not TOML ({reason_of(error)}): write lines like rate = 0.1") from None


def _typed(key: str, value: object, hint: Any) -> object:
    if get_origin(hint) is Literal:
        _require(value in get_args(hint), key, f"one of {', '.join(map(str, get_args(hint)))}", value)
        return value
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_typed(key, one, get_args(hint)[0]) for one in value)
    if hint is float and type(value) is int and abs(value) < 2**63:
        return float(value)
    _require(type(value) is not int or abs(value) < 2**63, key, "between -2^63 and 2^63", value)
    _require(type(value) is hint, key, f"a value of type {getattr(hint, '__name__', hint)}", value)
    return value


def _require(holds: bool, key: str, wanted: str, got: object) -> None:
    if not holds:
        raise UsageError(f"{key} must be {wanted}, got {reprlib.repr(got)}")
