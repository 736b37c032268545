"""What follows from how the managers stand. Pure."""

from collections.abc import Mapping

from common.model.node import ManagerStatus, Reachability


def has_leader(managers: Mapping[str, ManagerStatus]) -> bool:
    """Whether a leader is known."""
    return any(one.leader for one in managers.values())


def can_lose(managers: Mapping[str, ManagerStatus], node_id: str) -> bool:
    """Whether those that are reachable without this one are a majority of the rest."""
    rest = [one for other, one in managers.items() if other != node_id]
    reachable = sum(one.reachability is Reachability.REACHABLE for one in rest)
    return reachable >= len(rest) // 2 + 1
