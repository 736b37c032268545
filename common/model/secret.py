"""A secret: bytes that containers get as a file, and that nobody reads back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import Driver
from common.model.fields import Bytes
from common.model.meta import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """What the user gave. Once it is stored, only the labels may change."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    data: Bytes = field(default=b"", repr=False)
    """Read from the API, never written there (``manager.api.render.secret``); in no text that is logged."""
    driver: Driver | None = None
    templating: Driver | None = None
    """How the node fills in placeholders in the data; None leaves it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret(Stored):
    """A stored secret."""

    spec: SecretSpec
