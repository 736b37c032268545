"""What a container is shown with beside its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the engine and the images know of it."""

    log_path: str = ""
    etc: str = ""
    """The directory of its own hosts, hostname and resolv.conf."""
    layers: Sequence[str] = ()
    """Of its image, topmost first."""
    upper: str = ""
    work: str = ""
    merged: str = ""
    entrypoint: tuple[str, ...] = ()
    """Of its image."""
    image_volumes: tuple[str, ...] = ()
    exec_ids: Sequence[str] = ()
    network_id: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How much it takes on the disk, by Docker's names; empty unless it was asked for."""

    @property
    def graph(self) -> Mapping[str, str]:
        """The overlay's directories, as Docker names them."""
        return {
            "LowerDir": ":".join(self.layers),
            "MergedDir": self.merged,
            "UpperDir": self.upper,
            "WorkDir": self.work,
        }
