"""The live tables, and the ways to find something in them."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from common.errors import InvalidInputError, NotFoundError
from common.model.cluster import Cluster
from common.model.config import Config
from common.model.endpoint import Protocol
from common.model.meta import Stored
from common.model.node import Node
from common.model.secret import Secret
from common.model.service import Service
from common.model.task import Task
from manager.store.changes import StoredObject
from manager.store.indexes import Groups, Names, Uses, configs_of, ports_of, secrets_of
from manager.store.watch import Changed

S = TypeVar("S", bound=Stored)


class State:
    """What all managers agree on.

    Objects are immutable and shared; tables and the collections given here are live, so look at them without
    awaiting anything in between.
    """

    def __init__(self) -> None:
        self.index = 0
        """Raft index of the last entry applied."""
        self.reign = 0
        """Raft index of the entry by which the latest leader began; 0 before there was one."""
        self._clusters: dict[str, Cluster] = {}
        self._nodes: dict[str, Node] = {}
        self._services: dict[str, Service] = {}
        self._tasks: dict[str, Task] = {}
        self._secrets: dict[str, Secret] = {}
        self._configs: dict[str, Config] = {}
        self.clusters: Mapping[str, Cluster] = self._clusters
        self.nodes: Mapping[str, Node] = self._nodes
        self.services: Mapping[str, Service] = self._services
        self.tasks: Mapping[str, Task] = self._tasks
        self.secrets: Mapping[str, Secret] = self._secrets
        self.configs: Mapping[str, Config] = self._configs
        self._tasks_by_service: Groups[Task] = Groups(lambda task: task.service_id)
        self._tasks_by_node: Groups[Task] = Groups(lambda task: task.node_id)
        self._service_names: Names[Service] = Names()
        self._secret_names: Names[Secret] = Names()
        self._config_names: Names[Config] = Names()
        self._published = Uses(ports_of)
        self._secret_uses, self._config_uses = Uses(secrets_of), Uses(configs_of)

    # ------------------------------------------------------------------------------- looking

    def cluster(self) -> Cluster | None:
        """The cluster's own settings; None before the swarm is initialised."""
        return next(iter(self._clusters.values()), None)

    def tasks_of_service(self, service_id: str) -> Collection[Task]:
        """Every task that is stored of a service, also when the service itself is gone."""
        return self._tasks_by_service.of(service_id)

    def tasks_of_node(self, node_id: str) -> Collection[Task]:
        """Every task that is stored for a node, also when the node itself is gone."""
        return self._tasks_by_node.of(node_id)

    def service_named(self, name: str) -> Service | None:
        """The service of exactly this name."""
        return self._service_names.named(name)

    def service_holding_name(self, name: str) -> Service | None:
        """The service because of which no other may take this name: equal in any case."""
        return self._service_names.holder(name)

    def services_publishing(self, protocol: Protocol, port: int) -> Collection[Service]:
        """The services that publish a port on every node, whether asked for or allocated."""
        return self._published.of((protocol, port))

    def secret_holding_name(self, name: str) -> Secret | None:
        """The secret because of which no other may take this name: equal in any case."""
        return self._secret_names.holder(name)

    def config_holding_name(self, name: str) -> Config | None:
        """The config because of which no other may take this name: equal in any case."""
        return self._config_names.holder(name)

    def services_using_secret(self, secret_id: str) -> Collection[Service]:
        """The services whose spec names it."""
        return self._secret_uses.of(secret_id)

    def services_using_config(self, config_id: str) -> Collection[Service]:
        """The services whose spec names it."""
        return self._config_uses.of(config_id)

    def find_secret(self, reference: str) -> Secret:
        """A secret by its id, its name or a unique beginning of its id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: several ids begin so.
        """
        named = self._secret_names.named(reference)
        return _find("secret", reference, self._secrets, (named,) if named else ())

    def find_config(self, reference: str) -> Config:
        """A config by its id, its name or a unique beginning of its id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: several ids begin so.
        """
        named = self._config_names.named(reference)
        return _find("config", reference, self._configs, (named,) if named else ())

    def find_service(self, reference: str) -> Service:
        """A service by its id, its name or a unique beginning of its id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: several ids begin so.
        """
        named = self.service_named(reference)
        return _find("service", reference, self._services, (named,) if named else ())

    def find_node(self, reference: str) -> Node:
        """A node by its id, its name or hostname, or a unique beginning of its id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: several are called or begin so.
        """
        called = (
            node
            for node in self._nodes.values()
            if reference in (node.spec.name, node.description.hostname)
        )
        return _find("node", reference, self._nodes, called)

    def find_task(self, reference: str) -> Task:
        """A task by its id, its name (``web.1.<id>``) or a unique beginning of its id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: several ids begin so.
        """
        named = self._tasks.get(reference.rpartition(".")[2])
        return _find(
            "task", reference, self._tasks, (named,) if named and _name(named) == reference else ()
        )

    def objects(self) -> dict[str, list[StoredObject]]:
        """Every object by the name of its table, each table in its own order: a copy that nothing changes.

        Tables that 0.1.0 does not know are left out while they are empty: it reads what holds none of them.
        """
        known: dict[str, list[StoredObject]] = {
            "cluster": [*self._clusters.values()],
            "node": [*self._nodes.values()],
            "service": [*self._services.values()],
            "task": [*self._tasks.values()],
        }
        since: dict[str, list[StoredObject]] = {
            "secret": [*self._secrets.values()],
            "config": [*self._configs.values()],
        }
        return known | {table: rows for table, rows in since.items() if rows}

    def counts(self) -> dict[str, int]:
        """How many objects each table has."""
        return {
            "cluster": len(self._clusters),
            "node": len(self._nodes),
            "service": len(self._services),
            "task": len(self._tasks),
            "secret": len(self._secrets),
            "config": len(self._configs),
        }

    # ------------------------------------------------------------------------------- writing

    def put(self, index: int, changed: Iterable[Changed]) -> None:
        """Takes in what applying one entry changes. Only the state machine calls this."""
        for item in changed:
            match item.new or item.old:
                case Task():
                    self._put_task(item)
                case Service():
                    self._put_service(item)
                case Node():
                    _put(self._nodes, item)
                case Secret():
                    self._secret_names.note(*_put(self._secrets, item))
                case Config():
                    self._config_names.note(*_put(self._configs, item))
                case _:
                    _put(self._clusters, item)
        self.index = index

    def become(self, other: "State") -> None:
        """Takes the place of ``other``, which nobody uses from then on. Only the state machine calls this."""
        self.__dict__.update(other.__dict__)

    def _put_task(self, item: Changed) -> None:
        old, new = _put(self._tasks, item)
        self._tasks_by_service.note(old, new)
        self._tasks_by_node.note(old, new)

    def _put_service(self, item: Changed) -> None:
        old, new = _put(self._services, item)
        self._service_names.note(old, new)
        for uses in (self._published, self._secret_uses, self._config_uses):
            uses.note(old, new)


def _put(table: dict[str, S], item: Changed) -> tuple[S | None, S | None]:
    old: S | None = item.old  # type: ignore[assignment]  # the caller looked at its class
    new: S | None = item.new  # type: ignore[assignment]
    if new is not None:
        table[new.id] = new
    elif old is not None:
        del table[old.id]
    return old, new


def _name(task: Task) -> str:
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"


def _find(kind: str, reference: str, table: Mapping[str, S], called: Iterable[S]) -> S:
    exact = table.get(reference)
    if exact is not None:
        return exact
    found = list(called)
    if not found and reference:
        found = [table[object_id] for object_id in table if object_id.startswith(reference)]
    if not found:
        raise NotFoundError(f"{kind} {reference} not found")
    if len(found) > 1:
        raise InvalidInputError(f"{kind} {reference} is ambiguous ({len(found)} matches found)")
    return found[0]
