"""Tasks that are alike: the same version of the same service."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.model.task import Task
from manager.scheduler.demand import Demand

GroupKey = tuple[str, int, Demand]
"""Service id, version of its spec, and what its tasks ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is decided at once."""

    key: GroupKey
    tasks: Sequence[Task]

    @property
    def service_id(self) -> str:
        """The service of all of them."""
        return self.key[0]

    @property
    def demand(self) -> Demand:
        """What each of them asks."""
        return self.key[2]
