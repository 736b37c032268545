"""An image as a container needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import HealthConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage:
    """An image ready to be run from."""

    id: str
    """"sha256:…" of its config."""
    layers: tuple[str, ...]
    """Directories of the host, topmost first, ready for overlayfs."""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    healthcheck: HealthConfig | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    """"80/tcp"."""
