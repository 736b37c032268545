"""Where a volume lies, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlace:
    """A volume's name and the directory of the host that holds its content."""

    name: str
    path: str
