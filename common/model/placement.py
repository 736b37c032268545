"""Where tasks may and should run, as the user wrote it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadOver:
    """Spread evenly over the values of a label, e.g. ``node.labels.datacenter``."""

    spread_descriptor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementPreference:
    """One preference; Docker knows only spread."""

    spread: SpreadOver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A processor architecture and an operating system, in Go's or in uname's words."""

    architecture: str = ""
    os: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Constraints, preferences and limits on where a service's tasks run."""

    constraints: tuple[str, ...] = ()
    """``key==value`` or ``key!=value``; parsed by ``manager.scheduler``, checked when the service is created."""
    preferences: tuple[PlacementPreference, ...] = ()
    max_replicas: int = 0
    platforms: tuple[Platform, ...] = ()
