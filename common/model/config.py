"""A config: bytes that containers get as a file, and that may be read back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import Driver
from common.model.fields import Bytes
from common.model.meta import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSpec:
    """What the user gave. Once it is stored, only the labels may change."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    data: Bytes = field(default=b"", repr=False)
    templating: Driver | None = None
    """How the node fills in placeholders in the data; None leaves it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Stored):
    """A stored config."""

    spec: ConfigSpec
