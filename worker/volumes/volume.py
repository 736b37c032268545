"""A volume as it is kept and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as it is kept."""

    name: str
    created_at: float
    is_anonymous: bool = False
    """Nobody named it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    """Of the local driver: "type", "device" and "o" (``options.py``)."""
    is_kept: bool = False
    """It is anonymous and stays all the same: it was made by itself, or its container went without it."""

    @property
    def shown_labels(self) -> Mapping[str, str]:
        """Its labels, and Docker's mark of an anonymous one."""
        return {**self.labels, ANONYMOUS_LABEL: ""} if self.is_anonymous else self.labels
